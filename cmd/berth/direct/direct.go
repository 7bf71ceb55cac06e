// Package direct makes requests over the connection of moby's client that this one
// does not know, or makes in a slower way: the body is copied as it comes, and a
// connection that breaks ends the reading of it.
package direct

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/api/types/common"
	"github.com/moby/moby/client"
)

// maxMessage bounds an error's body.
const maxMessage = 1 << 20

// bufferSize is that of what is sent and received at once: tar streams are large.
const bufferSize = 256 << 10

// Do makes a request, with a body if there is a function to write one, a tar stream.
// It gives the body of a good answer. Should the daemon go away, Do does not wait for
// write, which may have nothing to read: a stdin that nobody writes to. What write
// writes fails from then on.
func Do(ctx context.Context, c command.Cli, method, path string, query url.Values, write func(io.Writer) error) (io.ReadCloser, error) {
	r, w := io.Pipe()
	httpClient := http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			conn, err := c.Client().Dialer()(ctx)
			if err != nil {
				return nil, err
			}
			return watched{conn, r}, nil
		},
		DisableKeepAlives: true, // one request
		WriteBufferSize:   bufferSize,
		ReadBufferSize:    bufferSize,
	}}
	target := url.URL{Scheme: "http", Host: client.DummyHost, Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), nil)
	if err != nil {
		return nil, err
	}
	if write != nil {
		req.Body, req.ContentLength = body{r}, -1
		req.Header.Set("Content-Type", "application/x-tar")
		go func() { _ = w.CloseWithError(write(w)) }() // cannot fail
	}
	for k, v := range c.ConfigFile().HTTPHeaders {
		req.Header.Set(k, v)
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return nil, unwrap(err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// body is sent in pieces of bufferSize; net/http would take smaller ones.
type body struct{ *io.PipeReader }

func (b body) WriteTo(w io.Writer) (int64, error) {
	return io.CopyBuffer(w, struct{ io.Reader }{b.PipeReader}, make([]byte, bufferSize))
}

// watched ends the body when the connection is over, which net/http would only after
// the body's next byte.
type watched struct {
	net.Conn
	body *io.PipeReader
}

func (w watched) Read(p []byte) (int, error) {
	n, err := w.Conn.Read(p)
	if err != nil {
		_ = w.body.CloseWithError(fmt.Errorf("the daemon has gone: %w", err)) // cannot fail
	}
	return n, err
}

// unwrap drops the made-up address from what went wrong.
func unwrap(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func refusal(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return err
	}
	var e common.ErrorResponse
	if json.Unmarshal(raw, &e) != nil || e.Message == "" {
		e.Message = strings.TrimSpace(resp.Status + " " + string(raw))
	}
	if resp.StatusCode == http.StatusNotFound && e.Message == "page not found" {
		return errors.New("the daemon is not Berth's: it has no such operation")
	}
	return fmt.Errorf("Error response from daemon: %s", e.Message)
}
