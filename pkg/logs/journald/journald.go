// Package journald sends a log to systemd's journal, with the fields of Docker's
// driver of that name, in the journal's native protocol
// (https://systemd.io/JOURNAL_NATIVE_PROTOCOL/).
package journald

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/streams"
)

// Socket is where the journal listens.
const Socket = "/run/systemd/journal/socket"

// Severities, syslog's.
const (
	severityErr  = "3"
	severityInfo = "6"
)

// Validate checks the driver's own log-opts. All errors are InvalidArgument.
func Validate(opts map[string]string) error {
	for k := range opts {
		switch k {
		case "labels", "labels-regex", "env", "env-regex", "tag":
		default:
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("unknown log opt '%s' for journald log driver", k))
		}
	}
	return nil
}

// Sender sends entries to one journal.
type Sender struct {
	conn   *net.UnixConn // not connected, so that it outlives a restart of the journal
	to     *net.UnixAddr
	leave  func() bool
	fields []byte // those that all entries of the container share
	buf    []byte
}

// Open makes a sender to the journal at socket. ctx is for as long as it is used.
func Open(ctx context.Context, socket string, log streams.Log) (*Sender, error) {
	fi, err := os.Stat(socket)
	if err != nil || fi.Mode().Type() != os.ModeSocket {
		return nil, errors.New("journald is not enabled on this host")
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram"}) // a name of the kernel's choice
	if err != nil {
		return nil, err
	}
	s := &Sender{conn: conn, to: &net.UnixAddr{Net: "unixgram", Name: socket}}
	s.leave = context.AfterFunc(ctx, func() { _ = conn.Close() })
	vars := map[string]string{
		"CONTAINER_ID": log.ID[:min(12, len(log.ID))], "CONTAINER_ID_FULL": log.ID, "CONTAINER_NAME": log.Name,
		"CONTAINER_TAG": log.Tag, "IMAGE_NAME": log.Image, "SYSLOG_IDENTIFIER": log.Tag,
	}
	for k, v := range log.Attrs {
		if k = fieldName(k); k != "" {
			vars[k] = v
		}
	}
	for _, k := range slices.Sorted(maps.Keys(vars)) {
		s.fields = appendField(s.fields, k, vars[k])
	}
	return s, nil
}

// fieldName makes a field's name of any: capitals, digits and, not at the
// beginning, underscores; "" if nothing is left.
func fieldName(s string) string {
	return strings.TrimLeft(strings.Map(func(r rune) rune {
		switch {
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		case 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
			return r
		}
		return '_'
	}, s), "_")
}

// Send sends an entry. It waits while the journal's queue is full.
func (s *Sender) Send(m *record.Message) error {
	severity := severityInfo
	if m.Source == "stderr" {
		severity = severityErr
	}
	b := append(s.buf[:0], s.fields...)
	b = appendField(b, "PRIORITY", severity)
	b = appendField(b, "SYSLOG_TIMESTAMP", m.Time.UTC().Format(time.RFC3339Nano))
	if p := m.Partial; p != nil {
		if !p.Last {
			b = appendField(b, "CONTAINER_PARTIAL_MESSAGE", "true")
		}
		b = appendField(b, "CONTAINER_PARTIAL_ID", p.ID)
		b = appendField(b, "CONTAINER_PARTIAL_ORDINAL", strconv.Itoa(p.Ordinal))
		b = appendField(b, "CONTAINER_PARTIAL_LAST", strconv.FormatBool(p.Last))
	}
	b = appendField(b, "MESSAGE", bytes.TrimSuffix(m.Line, []byte{'\n'}))
	s.buf = b
	_, _, err := s.conn.WriteMsgUnix(b, nil, s.to)
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		return s.sendFile(b)
	}
	return err
}

// sendFile is how what does not fit in a datagram is sent: as a descriptor of
// memory that cannot change any more.
func (s *Sender) sendFile(b []byte) error {
	fd, err := unix.MemfdCreate("journal-entry", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "journal-entry")
	defer f.Close()
	if _, err = f.Write(b); err != nil {
		return err
	}
	const all = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE | unix.F_SEAL_SEAL
	if _, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, all); err != nil {
		return err
	}
	_, _, err = s.conn.WriteMsgUnix(nil, unix.UnixRights(fd), s.to)
	return err
}

// appendField appends a field. One with a newline has its length before it.
func appendField[T string | []byte](b []byte, name string, value T) []byte {
	b = append(b, name...)
	if !bytes.Contains([]byte(value), []byte{'\n'}) {
		b = append(append(b, '='), value...)
		return append(b, '\n')
	}
	b = append(b, '\n')
	b = binary.LittleEndian.AppendUint64(b, uint64(len(value)))
	return append(append(b, value...), '\n')
}

// Close gives the socket back.
func (s *Sender) Close() error {
	s.leave()
	return s.conn.Close()
}
