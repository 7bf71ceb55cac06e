package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"
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
	return resp, nil
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
