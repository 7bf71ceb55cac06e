package fluentd

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/streams"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.UTC)

// event is one that a server received, decoded by a library that is not ours.
type event struct {
	tag    string
	time   any
	record map[string]any
	option map[string]any
}

func receive(t *testing.T, r *msgp.Reader) event {
	t.Helper()
	v, err := r.ReadIntf()
	if err != nil {
		t.Fatal(err)
	}
	a, ok := v.([]any)
	if !ok || len(a) != 4 {
		t.Fatalf("%v", v)
	}
	return event{a[0].(string), a[1], a[2].(map[string]any), a[3].(map[string]any)}
}

var web = streams.Log{ID: "0123456789abcdef", Name: "web", Tag: "0123456789ab", Attrs: map[string]string{"label": "1"}}

func open(t *testing.T, opts map[string]string) *Sender {
	t.Helper()
	log := web
	log.Options = opts
	s, err := Open(t.Context(), log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestRecords(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := open(t, map[string]string{"fluentd-address": "unix://" + path})
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := msgp.NewReader(conn)
	long := strings.Repeat("x", 70000)
	for _, x := range []struct {
		m    record.Message
		want map[string]any
	}{
		{record.Message{Line: []byte("out\n"), Source: "stdout"}, map[string]any{"log": "out", "source": "stdout"}},
		{record.Message{Line: []byte(long), Source: "stderr", Partial: &record.Partial{ID: "p", Ordinal: 3, Last: true}}, map[string]any{
			"log": long, "source": "stderr", "partial_message": "true", "partial_id": "p", "partial_ordinal": "3", "partial_last": "true",
		}},
	} {
		x.m.Time = at
		sent := make(chan error, 1)
		go func() { sent <- s.Send(&x.m) }()
		got := receive(t, r)
		if err := <-sent; err != nil {
			t.Fatal(err)
		}
		x.want["container_id"], x.want["container_name"], x.want["label"] = web.ID, "/web", "1"
		if got.tag != web.Tag || got.time != uint64(at.Unix()) && got.time != at.Unix() || !reflect.DeepEqual(got.record, x.want) {
			t.Errorf("%.300v", got)
		}
	}
}

// TestAcknowledged: the server wants a chunk again by closing before it answers.
func TestAcknowledged(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := open(t, map[string]string{"fluentd-address": l.Addr().String(), "fluentd-request-ack": "true", "fluentd-sub-second-precision": "true"})
	sent := make(chan error, 1)
	go func() { sent <- s.Send(&record.Message{Line: []byte("out\n"), Source: "stdout", Time: at}) }()
	for i := range 2 {
		conn, err := l.Accept()
		if err != nil {
			t.Fatal(err)
		}
		e := receive(t, msgp.NewReader(conn))
		ext, ok := e.time.(*msgp.RawExtension)
		if !ok || ext.Type != 0 || !bytes.Equal(ext.Data, binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32(nil, uint32(at.Unix())), 789012345)) {
			t.Errorf("%#v", e.time)
		}
		if i == 1 {
			w := msgp.NewWriter(conn)
			if err := errors.Join(w.WriteMapStrIntf(map[string]any{"ack": e.option["chunk"]}), w.Flush()); err != nil {
				t.Fatal(err)
			}
			if err := <-sent; err != nil {
				t.Error(err)
			}
		}
		_ = conn.Close()
	}
}

func TestServerIsDown(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	opts := map[string]string{"fluentd-address": address, "fluentd-max-retries": "2", "fluentd-retry-wait": "1ms"}
	log := web
	log.Options = opts
	if _, err := Open(t.Context(), log); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Fatal("a start without a server:", err)
	}
	opts["fluentd-async"] = "true"
	s := open(t, opts)
	m := record.Message{Line: []byte("out\n"), Source: "stdout", Time: at}
	if err := s.Send(&m); err == nil || err.Error() != "fluent#write: could not connect to fluentd after 2 retries" {
		t.Fatal(err)
	}
	// For ever, but for the end of the log.
	opts["fluentd-max-retries"], opts["fluentd-retry-wait"] = "", "1h"
	ctx, cancel := context.WithCancel(t.Context())
	if s, err = Open(ctx, log); err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := s.Send(&m); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		key, value, want string // want is the error's end
	}{
		{"fluentd-address", "", ""},
		{"fluentd-address", "tls://192.0.2.1", ""},
		{"fluentd-address", "udp://x", "invalid fluentd-address (udp://x): unsupported scheme: 'udp'"},
		{"fluentd-address", "unix://", "invalid fluentd-address (unix://): path is empty"},
		{"fluentd-address", "x/y", "should not contain a path element"},
		{"fluentd-address", "x:65536", `invalid port: strconv.ParseUint: parsing "65536": value out of range`},
		{"fluentd-async", "maybe", `parsing "maybe": invalid syntax`},
		{"fluentd-buffer-limit", "x", "invalid size: 'x'"},
		{"fluentd-max-retries", "-1", "invalid syntax"},
		{"fluentd-max-retries", "2147483648", "invalid fluentd-max-retries: value out of range"},
		{"fluentd-retry-wait", "1", `missing unit in duration "1"`},
		{"fluentd-write-timeout", "-1s", "invalid value for fluentd-write-timeout: value must be a duration that is non-negative"},
		{"fluentd-async-reconnect-interval", "1ms", "must be between 100ms and 10s"},
		{"x", "", "unknown log opt 'x' for fluentd log driver"},
	} {
		err := Validate(map[string]string{c.key: c.value})
		if (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%s=%s: %v, want %s", c.key, c.value, err, c.want)
		}
	}
	o, err := parse(map[string]string{"fluentd-address": "[::1]"})
	if err != nil || o.address != "[::1]:24224" {
		t.Error(o.address, err)
	}
}

// FuzzDecodeAck: what is taken for an answer, another decoder takes too.
func FuzzDecodeAck(f *testing.F) {
	f.Add([]byte("\x81\xa3ack\xa1x"))
	f.Add([]byte("\x81\xd9\x03ack\xda\x00\x01x"))
	f.Fuzz(func(t *testing.T, p []byte) {
		chunk, whole, err := decodeAck(p)
		if err != nil || !whole {
			return
		}
		m, _, err := msgp.ReadMapStrIntfBytes(p, nil)
		if err != nil || m["ack"] != chunk {
			t.Fatalf("%q: %q, but %v, %v", p, chunk, m, err)
		}
	})
}
