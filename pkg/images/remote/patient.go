package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/errdefs"
)

// patient gives up answers that bring nothing for a while: a registry, or
// something between, that keeps the connection and sends no more.
type patient struct {
	base     http.RoundTripper
	patience time.Duration
}

var errSilent = errors.New("the registry has fallen silent")

func (p patient) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(req.Context())
	resp, err := p.base.RoundTrip(req.WithContext(ctx))
	if err != nil {
		cancel(nil)
		return nil, err
	}
	resp.Request = req
	b := &watchedBody{ReadCloser: resp.Body, ctx: ctx, cancel: cancel, patience: p.patience}
	b.timer = time.AfterFunc(p.patience, func() { cancel(errSilent) })
	b.timer.Stop()
	resp.Body = b
	if asked := first(req); strings.Contains(asked.URL.Path, "/manifests/") {
		// Where an answer to HEAD says neither digest nor size, containerd reads the
		// manifest to its end to find out.
		resp.Body = &short{ReadCloser: b, left: blob.MaxManifest, what: asked.URL.Redacted()}
	}
	return resp, nil
}

// first is the request that was redirected to req, if any was.
func first(req *http.Request) *http.Request {
	for req.Response != nil && req.Response.Request != nil {
		req = req.Response.Request
	}
	return req
}

// maxToken bounds a token server's answer in bytes: containerd decodes whatever comes.
const maxToken = 1 << 20

// brief gives up answers that are too long for what is asked.
type brief struct {
	base  http.RoundTripper
	limit int64 // bytes
}

func (b brief) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := b.base.RoundTrip(req)
	if err == nil {
		resp.Body = &short{ReadCloser: resp.Body, left: b.limit, what: req.URL.Redacted()}
	}
	return resp, err
}

// short is a body that must end within so many bytes.
type short struct {
	io.ReadCloser
	left int64
	what string
}

func (s *short) Read(p []byte) (int, error) {
	n, err := 0, error(nil)
	if s.left >= 0 {
		n, err = s.ReadCloser.Read(p[:min(int64(len(p)), s.left+1)])
		s.left -= int64(n)
	}
	if s.left < 0 {
		return n, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("the answer to %s is too long", s.what))
	}
	return n, err
}

// watchedBody runs its timer while somebody waits in Read.
type watchedBody struct {
	io.ReadCloser
	ctx      context.Context
	cancel   context.CancelCauseFunc
	timer    *time.Timer
	patience time.Duration
}

func (b *watchedBody) Read(p []byte) (int, error) {
	b.timer.Reset(b.patience)
	n, err := b.ReadCloser.Read(p)
	b.timer.Stop()
	if err != nil && errors.Is(context.Cause(b.ctx), errSilent) {
		// What containerd's fetcher takes for a connection that was cut, and resumes.
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *watchedBody) Close() error {
	b.timer.Stop()
	err := b.ReadCloser.Close()
	b.cancel(nil)
	return err
}
