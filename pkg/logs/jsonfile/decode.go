package jsonfile

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math/bits"
	"time"
	"unicode/utf8"

	"github.com/berth-engine/berth/pkg/logs/record"
)

// decoder turns lines of a log file into messages. It keeps one message, and what
// neighbouring lines share: all that follows their text.
type decoder struct {
	msg      record.Message
	text     []byte // backs msg.Line
	tail     []byte // of the line that msg has all but its text of; none if another way was taken
	stamp    []byte // time of that line, as written
	attrs    []byte // attributes that were met last, likewise
	attrsMap map[string]string
}

// decode reads one line, with or without its newline. The message is valid until
// the next call.
func (d *decoder) decode(line []byte) (*record.Message, error) {
	if d.fast(line) {
		return &d.msg, nil
	}
	var e struct {
		Log    string            `json:"log"`
		Stream string            `json:"stream"`
		Attrs  map[string]string `json:"attrs"`
		Time   *time.Time        `json:"time"`
	}
	if err := json.Unmarshal(line, &e); err != nil {
		return nil, err
	}
	if e.Time == nil {
		return nil, fmt.Errorf("log entry without a time")
	}
	d.msg = record.Message{Line: []byte(e.Log), Source: e.Stream, Attrs: e.Attrs, Time: *e.Time}
	d.tail, d.stamp = d.tail[:0], d.stamp[:0]
	return &d.msg, nil
}

// fast decodes what Docker's and our writers produce, byte for byte; anything
// else is left to encoding/json, eight times slower.
func (d *decoder) fast(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte(`{"log":"`))
	if !ok {
		return false
	}
	if d.text, rest, ok = unescape(d.text[:0], rest); !ok {
		return false
	}
	if len(rest) == 0 || !bytes.Equal(rest, d.tail) {
		if !d.decodeTail(rest) {
			return false
		}
		d.tail = append(d.tail[:0], rest...)
	}
	d.msg.Line = d.text
	return true
}

// decodeTail reads what follows the text of a line. It leaves the message alone if it
// cannot.
func (d *decoder) decodeTail(rest []byte) bool {
	rest, ok := bytes.CutPrefix(rest, []byte(`,"stream":"`))
	if !ok {
		return false
	}
	var source string
	switch {
	case bytes.HasPrefix(rest, []byte(`stdout"`)):
		source = "stdout"
	case bytes.HasPrefix(rest, []byte(`stderr"`)):
		source = "stderr"
	default:
		return false
	}
	rest = rest[len(`stdout"`):]
	var attrs map[string]string
	if after, ok := bytes.CutPrefix(rest, []byte(`,"attrs":`)); ok {
		if attrs, rest, ok = d.attributes(after); !ok {
			return false
		}
	}
	if rest, ok = bytes.CutPrefix(rest, []byte(`,"time":"`)); !ok {
		return false
	}
	stamp, rest, ok := bytes.Cut(rest, []byte{'"'})
	if !ok || len(rest) == 0 || rest[0] != '}' || len(bytes.TrimRight(rest[1:], "\r\n")) != 0 {
		return false
	}
	t := d.msg.Time
	if len(stamp) == 0 || !bytes.Equal(stamp, d.stamp) {
		if err := t.UnmarshalText(stamp); err != nil { // as strict as encoding/json
			return false
		}
		d.stamp = append(d.stamp[:0], stamp...)
	}
	d.msg = record.Message{Source: source, Time: t, Attrs: attrs}
	return true
}

// attributes reads a JSON object of strings, which all lines of a container share.
func (d *decoder) attributes(p []byte) (map[string]string, []byte, bool) {
	if len(d.attrs) > 0 && bytes.HasPrefix(p, d.attrs) {
		return d.attrsMap, p[len(d.attrs):], true
	}
	end, quoted := -1, false
scan:
	for i := 0; i < len(p); i++ {
		switch {
		case quoted && p[i] == '\\':
			i++
		case p[i] == '"':
			quoted = !quoted
		case !quoted && p[i] == '}':
			end = i + 1
			break scan
		}
	}
	var m map[string]string
	if end < 0 || json.Unmarshal(p[:end], &m) != nil {
		return nil, nil, false
	}
	d.attrs, d.attrsMap = append(d.attrs[:0], p[:end]...), m
	return m, p[end:], true
}

// unescape appends the string whose inside p begins with, and returns what follows
// its closing quote. Not ok: no valid string, or one that needs encoding/json.
func unescape(dst, p []byte) (out, rest []byte, ok bool) {
	for {
		i := simple(p)
		dst, p = append(dst, p[:i]...), p[i:]
		if len(p) == 0 {
			return dst, nil, false
		}
		switch {
		case p[0] == '"':
			return dst, p[1:], true
		case p[0] >= utf8.RuneSelf:
			r, size := utf8.DecodeRune(p)
			if r == utf8.RuneError && size == 1 {
				return dst, nil, false
			}
			dst, p = append(dst, p[:size]...), p[size:]
		case p[0] == '\\':
			var n int
			if dst, n = unescapeOne(dst, p); n == 0 {
				return dst, nil, false
			}
			p = p[n:]
		default: // a control character
			return dst, nil, false
		}
	}
}

// simple is how many bytes p begins with that stand for themselves in JSON and are
// ASCII. It looks at eight at a time.
func simple(p []byte) int {
	i := 0
	for ; len(p)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(p[i:])
		if found := (noText(w) | is(w, '"') | is(w, '\\')) & highest; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(p) && p[i] >= ' ' && p[i] < utf8.RuneSelf && p[i] != '"' && p[i] != '\\' {
		i++
	}
	return i
}

// unescapeOne appends what the escape at p[0] stands for; n is its length, 0 for
// one that is invalid or half of a surrogate pair.
func unescapeOne(dst, p []byte) (_ []byte, n int) {
	if len(p) < 2 {
		return dst, 0
	}
	switch p[1] {
	case 'n':
		return append(dst, '\n'), 2
	case 'r':
		return append(dst, '\r'), 2
	case 't':
		return append(dst, '\t'), 2
	case '"', '\\', '/':
		return append(dst, p[1]), 2
	case 'u':
		if len(p) < 6 {
			return dst, 0
		}
		var r rune
		for _, c := range p[2:6] {
			i := bytes.IndexByte([]byte(hex), c|0x20)
			if i < 0 || (i < 10 && c|0x20 != c) {
				return dst, 0
			}
			r = r<<4 | rune(i) //nolint:gosec // below 16
		}
		if r >= 0xd800 && r < 0xe000 {
			return dst, 0
		}
		return utf8.AppendRune(dst, r), 6
	}
	return dst, 0
}
