package journald

import (
	"bytes"
	"encoding/binary"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/streams"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC)

// journal listens as systemd's does.
func journal(t *testing.T) (*net.UnixConn, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "socket")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c, path
}

// receive gives the fields of the next entry.
func receive(t *testing.T, c *net.UnixConn) map[string]string {
	t.Helper()
	buf, oob := make([]byte, 64<<10), make([]byte, 100)
	n, nob, _, _, err := c.ReadMsgUnix(buf, oob)
	if err != nil {
		t.Fatal(err)
	}
	p := buf[:n]
	if nob > 0 {
		p = sealed(t, oob[:nob])
	}
	fields := map[string]string{}
	for len(p) > 0 {
		line, rest, _ := bytes.Cut(p, []byte{'\n'})
		name, value, whole := bytes.Cut(line, []byte{'='})
		if p = rest; !whole {
			size := binary.LittleEndian.Uint64(p)
			value, p = p[8:8+size], p[8+size+1:]
		}
		fields[string(name)] = string(value)
	}
	return fields
}

// sealed reads the descriptor that came, and makes sure that it cannot change.
func sealed(t *testing.T, oob []byte) []byte {
	t.Helper()
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil || len(messages) != 1 {
		t.Fatal(messages, err)
	}
	fds, err := unix.ParseUnixRights(&messages[0])
	if err != nil || len(fds) != 1 {
		t.Fatal(fds, err)
	}
	f := os.NewFile(uintptr(fds[0]), "received")
	defer f.Close()
	if _, err := f.WriteAt([]byte("x"), 0); err == nil {
		t.Error("the entry can be written")
	}
	fi, err := f.Stat()
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, fi.Size())
	if _, err := f.ReadAt(p, 0); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFields(t *testing.T) {
	c, path := journal(t)
	id := strings.Repeat("0123456789ab", 5) + "0123"
	s, err := Open(t.Context(), path, streams.Log{
		ID: id, Name: "web", Image: "busybox", Tag: "the tag", Attrs: map[string]string{"com.example/a": "1\n2", "_env": "e", "ü": "nothing is left"},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	base := map[string]string{
		"CONTAINER_ID": id[:12], "CONTAINER_ID_FULL": id, "CONTAINER_NAME": "web", "CONTAINER_TAG": "the tag", "IMAGE_NAME": "busybox",
		"SYSLOG_IDENTIFIER": "the tag", "SYSLOG_TIMESTAMP": "2026-02-03T04:05:06.789012345Z", "COM_EXAMPLE_A": "1\n2", "ENV": "e",
	}
	for _, x := range []struct {
		m    record.Message
		want map[string]string
	}{
		{record.Message{Line: []byte("out\n"), Source: "stdout"}, map[string]string{"MESSAGE": "out", "PRIORITY": "6"}},
		{record.Message{Line: []byte("err"), Source: "stderr", Partial: &record.Partial{ID: "p", Ordinal: 1}}, map[string]string{
			"MESSAGE": "err", "PRIORITY": "3", "CONTAINER_PARTIAL_MESSAGE": "true", "CONTAINER_PARTIAL_ID": "p",
			"CONTAINER_PARTIAL_ORDINAL": "1", "CONTAINER_PARTIAL_LAST": "false",
		}},
		{record.Message{Line: []byte("end\n"), Source: "stdout", Partial: &record.Partial{ID: "p", Ordinal: 2, Last: true}}, map[string]string{
			"MESSAGE": "end", "PRIORITY": "6", "CONTAINER_PARTIAL_ID": "p", "CONTAINER_PARTIAL_ORDINAL": "2", "CONTAINER_PARTIAL_LAST": "true",
		}},
	} {
		x.m.Time = at
		if err := s.Send(&x.m); err != nil {
			t.Fatal(err)
		}
		for k, v := range base {
			x.want[k] = v
		}
		if got := receive(t, c); !reflect.DeepEqual(got, x.want) {
			t.Errorf("got  %v\nwant %v", got, x.want)
		}
	}
}

// TestLargeEntry: labels that fit in no datagram.
func TestLargeEntry(t *testing.T) {
	c, path := journal(t)
	big := strings.Repeat("x", 400<<10)
	s, err := Open(t.Context(), path, streams.Log{ID: "x", Attrs: map[string]string{"big": big}})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Send(&record.Message{Line: []byte("hi\n"), Source: "stdout", Time: at}); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, c); got["BIG"] != big || got["MESSAGE"] != "hi" {
		t.Errorf("%d fields, %d bytes", len(got), len(got["BIG"]))
	}
}

// TestRestartedJournal: another journal at the same place.
func TestRestartedJournal(t *testing.T) {
	c, path := journal(t)
	s, err := Open(t.Context(), path, streams.Log{ID: "x"})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	_ = c.Close()
	m := record.Message{Line: []byte("hi\n"), Source: "stdout", Time: at}
	if err := s.Send(&m); err == nil {
		t.Fatal("sent to nobody")
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if c, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: path}); err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := s.Send(&m); err != nil {
		t.Fatal(err)
	}
	if got := receive(t, c); got["MESSAGE"] != "hi" {
		t.Error(got)
	}
}

func TestNoJournal(t *testing.T) {
	if _, err := Open(t.Context(), t.TempDir()+"/x", streams.Log{}); err == nil || err.Error() != "journald is not enabled on this host" {
		t.Error(err)
	}
	if err := Validate(map[string]string{"labels": "a", "tag": "x"}); err != nil {
		t.Error(err)
	}
	if err := Validate(map[string]string{"x": ""}); err == nil || err.Error() != "unknown log opt 'x' for journald log driver" {
		t.Error(err)
	}
}
