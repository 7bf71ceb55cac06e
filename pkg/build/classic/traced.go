package classic

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"

	controlapi "github.com/moby/buildkit/api/services/control"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/util/entitlements"
	"github.com/moby/moby/api/types/jsonstream"
	"golang.org/x/sync/errgroup"
)

// traced builds for a client that reads BuildKit's progress. It has a session with the
// files and secrets; one that has none sends the files as the first builder's clients do.
func traced(ctx context.Context, client *bkclient.Client, r Request, body io.Reader, send Send) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if r.Session == "" && r.Remote == "client-session" {
		return invalid("remote=client-session needs a session")
	}
	own, url, done, err := r.ownSession(ctx, client, body)
	if err != nil {
		return err
	}
	defer done()
	if r.Session = cmp.Or(r.Session, own); r.Remote == "client-session" {
		r.Remote = ""
	}
	req, err := r.solve(ctx, client)
	if err != nil {
		return err
	}
	if url != "" {
		req.FrontendAttrs["context"] = url
	}
	return solve(ctx, cancel, client.ControlClient(), req, send)
}

// ownSession is one of ours for a client that has none: with the archive that is the
// request's body, at the URL that it returns, and the request's credentials.
func (r *Request) ownSession(ctx context.Context, client *bkclient.Client, body io.Reader) (id, url string, done func(), err error) {
	if r.Session != "" {
		return "", "", func() {}, nil
	}
	s, err := session.NewSession(ctx, "")
	if err != nil {
		return "", "", nil, err
	}
	s.Allow(credentials{auth: r.Auth})
	end := func() {}
	if r.Remote == "" {
		var up session.Attachable
		if up, url, end, err = upload(body, &telling{}); err != nil {
			return "", "", nil, err
		}
		s.Allow(up)
	}
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = s.Run(ctx, client.Dialer()) // a solve that needs it says so
	}()
	return s.ID(), url, func() {
		cancel()
		<-ended
		end()
	}, nil
}

// solve builds, and tells of it as it goes.
func solve(ctx context.Context, cancel func(), control controlapi.ControlClient, req *controlapi.SolveRequest, send Send) error {
	var group errgroup.Group
	var answer *controlapi.SolveResponse
	// The status is read to its end, which comes after the solve's: it has what
	// failed. Its own context ends when the solve could not even begin.
	follow, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	group.Go(func() (err error) {
		if answer, err = control.Solve(ctx, req); err != nil && answer == nil && ctx.Err() != nil {
			stop()
		}
		return err
	})
	group.Go(func() error {
		err := trace(follow, control, req.Ref, send)
		if err != nil && follow.Err() == nil {
			cancel()
			return err
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	id := answer.ExporterResponse[exptypes.ExporterImageDigestKey]
	if id == "" {
		return nil
	}
	return sendAux(send, "moby.image.id", map[string]string{"ID": id})
}

func (r *Request) solve(ctx context.Context, client *bkclient.Client) (*controlapi.SolveRequest, error) {
	attrs, allow, err := r.attrs(hostGateway(ctx, client))
	if err != nil {
		return nil, err
	}
	exports, err := r.exports()
	if err != nil {
		return nil, err
	}
	req := &controlapi.SolveRequest{
		Ref: r.ID, Session: r.Session, Frontend: "dockerfile.v0", FrontendAttrs: attrs, Cache: &controlapi.CacheOptions{},
	}
	if req.Ref == "" {
		req.Ref = identity.NewID()
	}
	for _, e := range exports {
		req.Exporters = append(req.Exporters, &controlapi.Exporter{Type: e.Type, Attrs: e.Attrs})
	}
	for _, c := range r.imports() {
		req.Cache.Imports = append(req.Cache.Imports, &controlapi.CacheOptionsEntry{Type: c.Type, Attrs: c.Attrs})
	}
	if v := r.BuildArgs["BUILDKIT_INLINE_CACHE"]; v != nil && (*v == "1" || *v == "true") {
		req.Cache.Exports = append(req.Cache.Exports, &controlapi.CacheOptionsEntry{Type: "inline"})
	}
	for _, a := range allow {
		req.Entitlements = append(req.Entitlements, string(entitlements.Entitlement(a)))
	}
	return req, nil
}

// trace sends each message of the progress as it is.
func trace(ctx context.Context, control controlapi.ControlClient, ref string, send Send) error {
	stream, err := control.Status(ctx, &controlapi.StatusRequest{Ref: ref})
	if err != nil {
		return err
	}
	for {
		s, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		raw, err := s.MarshalVT()
		if err != nil {
			return err
		}
		if err := sendAux(send, "moby.buildkit.trace", raw); err != nil {
			return err
		}
	}
}

func sendAux(send Send, id string, v any) error {
	raw, err := json.Marshal(v)
	if err != nil {
		return err
	}
	aux := json.RawMessage(raw)
	return send(jsonstream.Message{ID: id, Aux: &aux})
}
