package fluentd

import (
	"encoding/binary"
	"errors"
	"time"
)

// What of MessagePack the forward protocol needs
// (https://github.com/msgpack/msgpack/blob/master/spec.md).

func appendArray(b []byte, n int) []byte { return appendHead(b, n, 0x90, 0x0f, 0, 0xdc) }

func appendMap(b []byte, n int) []byte { return appendHead(b, n, 0x80, 0x0f, 0, 0xde) }

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(appendHead(b, len(s), 0xa0, 0x1f, 0xd9, 0xda), s...)
}

// appendHead appends a length n in the shortest form: in the byte fix up to most,
// after the byte one (0: there is no such form), or after the byte two, which the
// form of four bytes follows.
func appendHead(b []byte, n int, fix, most, one, two byte) []byte {
	switch {
	case n <= int(most):
		return append(b, fix|byte(n)) //nolint:gosec // at most most
	case n <= 0xff && one != 0:
		return append(b, one, byte(n))
	case n <= 0xffff:
		return binary.BigEndian.AppendUint16(append(b, two), uint16(n))
	}
	return binary.BigEndian.AppendUint32(append(b, two+1), uint32(n)) //nolint:gosec // messages are smaller
}

func appendUint(b []byte, n uint64) []byte {
	return binary.BigEndian.AppendUint64(append(b, 0xcf), n)
}

// appendEventTime appends the protocol's extension type 0: seconds and nanoseconds.
func appendEventTime(b []byte, t time.Time) []byte {
	b = append(b, 0xd7, 0)
	b = binary.BigEndian.AppendUint32(b, uint32(t.Unix())) //nolint:gosec // the protocol's own range
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

// maxAnswer bounds a server's answer.
const maxAnswer = 4 << 10

var errAnswer = errors.New("fluent: unexpected answer")

// decodeAck reads the answer {"ack": chunk}. Not whole: more has to come.
func decodeAck(p []byte) (chunk string, whole bool, err error) {
	if len(p) == 0 {
		return "", false, nil
	}
	if p[0] != 0x81 {
		return "", false, errAnswer
	}
	key, rest, err := cutString(p[1:])
	if err != nil || key == nil {
		return "", false, err
	}
	value, _, err := cutString(rest)
	if err != nil || value == nil {
		return "", false, err
	}
	if string(key) != "ack" {
		return "", false, errAnswer
	}
	return string(value), true, nil
}

// cutString takes a string; s is nil when it is not complete.
func cutString(p []byte) (s, rest []byte, err error) {
	if len(p) == 0 {
		return nil, nil, nil
	}
	var n, head int
	switch {
	case p[0]&^0x1f == 0xa0:
		n, head = int(p[0]&0x1f), 1
	case p[0] == 0xd9 && len(p) >= 2:
		n, head = int(p[1]), 2
	case p[0] == 0xda && len(p) >= 3:
		n, head = int(binary.BigEndian.Uint16(p[1:])), 3
	case p[0] == 0xd9 || p[0] == 0xda:
		return nil, nil, nil
	default:
		return nil, nil, errAnswer
	}
	if len(p) < head+n {
		return nil, nil, nil
	}
	return p[head : head+n], p[head+n:], nil
}
