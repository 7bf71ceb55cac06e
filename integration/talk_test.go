package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/api"
	"golang.org/x/net/websocket"
)

// talk speaks one version of the API and remembers which operations it was
// answered.
type talk struct {
	t       *testing.T
	h       *http.Client
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	version string // "/v1.44"; "" is the newest
	done    map[string]bool
}

// engine speaks of all that an engine has; pulled is an image of a registry.
func (c *talk) engine(pulled string) {
	began := time.Now()
	c.images(pulled)
	c.volumes()
	c.networks()
	c.container()
	c.process()
	c.build()
	c.system(began)
}

var variable = regexp.MustCompile(`\{\w+\}`)

// request makes the request for an operation on an object, with JSON of the
// body or, when it is a reader, an archive.
func (c *talk) request(o api.Operation, object string, query url.Values, body any) *http.Request {
	c.t.Helper()
	var r io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
		kind = ""
	case io.Reader:
		r, kind = b, "application/x-tar"
	default:
		j, err := json.Marshal(b)
		if err != nil {
			c.t.Fatal(err)
		}
		r = bytes.NewReader(j)
	}
	path := c.version + variable.ReplaceAllLiteralString(o.Path, object)
	req, err := http.NewRequest(o.Method, "http://berth"+path+"?"+query.Encode(), r)
	if err != nil {
		c.t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	return req
}

func (c *talk) operation(id string) api.Operation {
	c.t.Helper()
	for _, o := range api.Operations {
		if o.ID == id {
			return o
		}
	}
	c.t.Fatalf("no operation %s", id)
	return api.Operation{}
}

// ask gives the whole answer, which must have a status.
func (c *talk) ask(operation, object string, query url.Values, body any, status int) []byte {
	c.t.Helper()
	resp, err := c.h.Do(c.request(c.operation(operation), object, query, body))
	if err != nil {
		c.t.Fatalf("%s: %v", operation, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s: %v", operation, err)
	}
	if resp.StatusCode != status {
		c.t.Fatalf("%s %s %s: status %d, want %d: %s", c.version, operation, object, resp.StatusCode, status, b)
	}
	if status < http.StatusBadRequest {
		c.done[operation] = true
	}
	return b
}

// into asks and decodes the answer.
func (c *talk) into(dst any, operation, object string, query url.Values, body any, status int) {
	c.t.Helper()
	b := c.ask(operation, object, query, body, status)
	if err := json.Unmarshal(b, dst); err != nil {
		c.t.Fatalf("%s: %v: %s", operation, err, b)
	}
}

// upgrade asks for the connection itself.
func (c *talk) upgrade(operation, object string, query url.Values, body any) *stream {
	c.t.Helper()
	req := c.request(c.operation(operation), object, query, body)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "tcp")
	resp, err := c.h.Do(req)
	if err != nil {
		c.t.Fatalf("%s: %v", operation, err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		b, _ := io.ReadAll(resp.Body)
		c.t.Fatalf("%s: status %d: %s", operation, resp.StatusCode, b)
	}
	c.done[operation] = true
	c.t.Cleanup(func() { conn.Close() })
	return &stream{c.t, conn, nil}
}

// webSocket asks for the connection itself, in messages.
func (c *talk) webSocket(operation, object string, query url.Values) *stream {
	c.t.Helper()
	r := c.request(c.operation(operation), object, query, nil)
	config, err := websocket.NewConfig("ws://berth"+r.URL.RequestURI(), "http://berth")
	if err != nil {
		c.t.Fatal(err)
	}
	raw, err := c.dial(c.t.Context(), "", "")
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { raw.Close() })
	conn, err := websocket.NewClient(config, raw)
	if err != nil {
		c.t.Fatalf("%s: %v", operation, err)
	}
	c.done[operation] = true
	return &stream{c.t, conn, nil}
}

// stream is a terminal over an upgraded connection.
type stream struct {
	t    *testing.T
	conn io.ReadWriteCloser
	seen []byte
}

// says writes to the terminal and reads until the answer.
func (s *stream) says(input, want string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, input); err != nil {
		s.t.Fatal(err)
	}
	b := make([]byte, 4096)
	for !strings.Contains(string(s.seen), want) {
		n, err := s.conn.Read(b)
		s.seen = append(s.seen, b[:n]...)
		if err != nil {
			s.t.Fatalf("the terminal shows %q, want %q: %v", s.seen, want, err)
		}
	}
	s.seen = nil
}

// end writes the last line and reads until the end.
func (s *stream) end(input string) {
	s.t.Helper()
	if _, err := io.WriteString(s.conn, input); err != nil {
		s.t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, s.conn); err != nil {
		s.t.Fatal(err)
	}
}
