package streams

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/pkg/stdcopy"
)

func TestURI(t *testing.T) {
	c := Config{
		ID: "c1", Exec: "e1", Socket: "/run/berth/io/c1.sock", Tty: true, Stdin: true, StdinOnce: true,
		Log: Log{Driver: "json-file", Path: "/x/c1-json.log", Options: map[string]string{"max-size": "1m"}, Attrs: map[string]string{"a": "ü<"}},
	}
	got, ok, err := ParseURI(URI(c))
	if err != nil || !ok || !reflect.DeepEqual(got, c) {
		t.Fatalf("got %+v, %v, %v", got, ok, err)
	}
}

func TestParseURIRefuses(t *testing.T) {
	for _, s := range []string{"", "/run/fifo", "file:///x", "binary:///x", "BERTH:x"} {
		if _, ok, err := ParseURI(s); ok || err != nil {
			t.Errorf("%q: %v, %v; want another client's", s, ok, err)
		}
	}
	for name, s := range map[string]string{
		"no base64":       "berth:!!",
		"no JSON":         "berth:AAAA",
		"no ID":           URI(Config{Socket: "/a/b"}),
		"relative socket": URI(Config{ID: "x", Socket: "a/b"}),
		"unclean socket":  URI(Config{ID: "x", Socket: "/a/../b"}),
		"relative log":    URI(Config{ID: "x", Socket: "/a", Log: Log{Path: "x"}}),
		"too long":        "berth:" + strings.Repeat("A", maxURI),
	} {
		if _, ok, err := ParseURI(s); !ok || !errdefs.IsInvalidArgument(err) {
			t.Errorf("%s: %v, %v; want InvalidArgument", name, ok, err)
		}
	}
}

func FuzzParseURI(f *testing.F) {
	f.Add("berth:")
	f.Add(URI(Config{ID: "c", Socket: "/s", Log: Log{Options: map[string]string{"a": "b"}}}))
	f.Fuzz(func(t *testing.T, s string) {
		c, ok, err := ParseURI(s)
		if !ok || err != nil {
			return
		}
		again, ok, err := ParseURI(URI(c))
		if err != nil || !ok || URI(again) != URI(c) {
			t.Fatalf("%+v does not survive: %+v, %v", c, again, err)
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	f.Add([]byte("{\"Stdin\":true}\nrest"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		if _, err := ReadRequest(r); err == nil && b[len(b)-r.Len()-1] != '\n' {
			t.Fatal("did not stop at the newline")
		}
	})
}

func TestFrameWriter(t *testing.T) {
	var out bytes.Buffer
	w := NewFrameWriter(&out, Stderr)
	big := bytes.Repeat([]byte("x"), maxPayload+3)
	for _, p := range [][]byte{[]byte("hi"), nil, big} {
		if n, err := w.Write(p); n != len(p) || err != nil {
			t.Fatal(n, err)
		}
	}
	want := append([]byte("\x02\x00\x00\x00\x00\x00\x00\x02hi\x02\x00\x00\x00\x00\x01\x00\x00"), big[:maxPayload]...)
	want = append(want, "\x02\x00\x00\x00\x00\x00\x00\x03xxx"...)
	if !bytes.Equal(out.Bytes(), want) {
		t.Fatalf("%d bytes, want %d", out.Len(), len(want))
	}
}

func TestResponseKeepsClass(t *testing.T) {
	for _, class := range []error{errdefs.ErrNotFound, errdefs.ErrInvalidArgument, errdefs.ErrConflict, errdefs.ErrUnavailable} {
		err := NewResponse(errors.Join(errors.New("text"), class)).Err()
		if !errors.Is(err, class) || !strings.HasPrefix(err.Error(), "text") {
			t.Errorf("%v became %v", class, err)
		}
	}
	if err := NewResponse(errors.New("odd")).Err(); !errdefs.IsUnknown(err) || err.Error() != "odd" {
		t.Error(err)
	}
	if err := NewResponse(nil).Err(); err != nil {
		t.Error(err)
	}
}

// serve answers the first client of path with resp and, on a grant, "out".
func serve(t *testing.T, path string, resp Response) {
	t.Helper()
	l, err := Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := l.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if q, err := ReadRequest(conn); err != nil || q.Exec != "e" {
			t.Errorf("%+v, %v", q, err)
		}
		_ = WriteResponse(conn, resp)
		if resp.Class == "" {
			_, _ = io.WriteString(conn, "out")
			_, _ = io.Copy(conn, conn)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

func TestAttach(t *testing.T) {
	long := filepath.Join(t.TempDir(), strings.Repeat("d", 100), strings.Repeat("e", 64)+".sock")
	for name, path := range map[string]string{"short": filepath.Join(t.TempDir(), "s"), "long": long} {
		t.Run(name, func(t *testing.T) {
			serve(t, path, Response{})
			if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
				t.Fatal(fi, err)
			}
			conn, err := Attach(t.Context(), path, Request{Exec: "e"})
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			_, _ = io.WriteString(conn, " in")
			_ = conn.CloseWrite()
			if b, err := io.ReadAll(conn); err != nil || string(b) != "out in" {
				t.Fatalf("%q, %v", b, err)
			}
		})
	}
}

func TestAttachFails(t *testing.T) {
	dir := t.TempDir()
	refused := filepath.Join(dir, "refused")
	serve(t, refused, NewResponse(errdefs.ErrNotFound.WithMessage("No such exec instance: e")))
	if _, err := Attach(t.Context(), refused, Request{Exec: "e"}); !errdefs.IsNotFound(err) || err.Error() != "No such exec instance: e" {
		t.Error(err)
	}
	if _, err := Attach(t.Context(), filepath.Join(dir, "absent", strings.Repeat("x", 120)), Request{}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	stale := filepath.Join(dir, "stale")
	l, err := Listen(stale)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if _, err := Attach(t.Context(), stale, Request{}); !errdefs.IsNotFound(err) {
		t.Error(err)
	}
	if l, err = Listen(stale); err != nil {
		t.Fatal("a stale socket was not replaced:", err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		var c net.Conn
		if c, err = l.Accept(); err == nil {
			_, _ = ReadRequest(c)
			cancel() // the request is there and nobody answers
		}
	}()
	if _, err := Attach(ctx, stale, Request{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// FuzzFrameWriter: Docker's own reader gets from two writers what was written to each.
func FuzzFrameWriter(f *testing.F) {
	f.Add([]byte("out"), []byte("err"), 2)
	f.Add(bytes.Repeat([]byte("x"), maxPayload+1), []byte{}, maxPayload)
	f.Fuzz(func(t *testing.T, out, err []byte, step int) {
		step = max(1, step)
		var wire bytes.Buffer
		stdout, stderr := NewFrameWriter(&wire, Stdout), NewFrameWriter(&wire, Stderr)
		for o, e := out, err; len(o)+len(e) > 0; {
			for w, p := range map[io.Writer]*[]byte{stdout: &o, stderr: &e} {
				n := min(step, len(*p))
				if wrote, err := w.Write((*p)[:n]); wrote != n || err != nil {
					t.Fatal(wrote, err)
				}
				*p = (*p)[n:]
			}
		}
		var gotOut, gotErr bytes.Buffer
		if _, err := stdcopy.StdCopy(&gotOut, &gotErr, &wire); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(gotOut.Bytes(), out) || !bytes.Equal(gotErr.Bytes(), err) {
			t.Fatalf("%d and %d bytes, want %d and %d", gotOut.Len(), gotErr.Len(), len(out), len(err))
		}
	})
}
