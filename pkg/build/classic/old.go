package classic

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"

	"github.com/berth-engine/berth/pkg/decompress"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter/containerimage/exptypes"
	"github.com/moby/buildkit/frontend/dockerui"
	gateway "github.com/moby/buildkit/frontend/gateway/client"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/upload/uploadprovider"
	"github.com/moby/moby/api/types/jsonstream"
	"golang.org/x/sync/errgroup"
)

// old builds and answers in the first builder's words.
func old(ctx context.Context, client *bkclient.Client, r Request, body io.Reader, send Send) error {
	if r.Remote == "client-session" {
		return invalid("a session needs version=2")
	}
	attrs, allow, err := r.attrs(hostGateway(ctx, client))
	if err != nil {
		return err
	}
	exports, err := r.exports()
	if err != nil {
		return err
	}
	for _, t := range r.Tags {
		if _, err := reference.ParseNormalizedNamed(t); err != nil {
			return invalid("invalid tag %q: %v", t, err)
		}
	}
	opt := bkclient.SolveOpt{
		FrontendAttrs: attrs, Exports: exports, CacheImports: r.imports(), AllowedEntitlements: allow,
		// The first builder found the steps of any image that cachefrom names: the
		// image must say which they were.
		CacheExports: []bkclient.CacheOptionsEntry{{Type: "inline"}},
		Session:      []session.Attachable{credentials{auth: r.Auth}},
	}
	read := &telling{}
	if r.Remote == "" {
		up, url, done, err := upload(body, read)
		if err != nil {
			return err
		}
		defer done()
		attrs["context"] = url
		opt.Session = append(opt.Session, up)
	}
	b := &oldBuild{r: r, attrs: attrs, send: send, planned: make(chan *progress, 1)}
	id, err := b.run(ctx, client, opt)
	if err == nil {
		return b.succeeded(id)
	}
	if wrong := read.wrong(); wrong != nil && ctx.Err() == nil {
		return wrong // of which BuildKit says no more than that it could not go on
	}
	return b.failed(ctx, err)
}

// upload gives BuildKit the archive of a context, at a URL that the session knows which
// has the attachable. Unpacked here and not by a program that BuildKit would run for it.
// read is told what is wrong with the archive.
func upload(body io.Reader, read *telling) (up session.Attachable, url string, done func(), err error) {
	plain, err := decompress.Open(body)
	if err != nil {
		return nil, "", nil, invalid("the build context: %v", err)
	}
	read.r = plain
	provider, archive := uploadprovider.New(), decompress.Stored(read)
	return provider, provider.Add(archive), func() { _ = archive.Close(); _ = plain.Close() }, nil
}

// telling is a reader that knows afterwards what it failed by.
type telling struct {
	r   io.Reader
	err atomic.Pointer[error]
}

func (t *telling) Read(p []byte) (int, error) {
	n, err := t.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		t.err.CompareAndSwap(nil, &err)
	}
	return n, err
}

// wrong is InvalidArgument, nil if nothing was.
func (t *telling) wrong() error {
	err := t.err.Load()
	switch {
	case err == nil:
		return nil
	case errdefs.IsInvalidArgument(*err):
		return *err
	}
	return invalid("the build context: %v", *err)
}

// oldBuild is one of old's builds.
type oldBuild struct {
	r       Request
	attrs   map[string]string
	send    Send
	planned chan *progress // holds the one that there is once the Dockerfile is read
	wrong   error          // of the Dockerfile, before the first message
	show    *progress      // of the goroutine that reads the status, then of the caller
}

// run builds, and returns the image's digest, "" if none was to be made.
func (b *oldBuild) run(ctx context.Context, client *bkclient.Client, opt bkclient.SolveOpt) (string, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	status := make(chan *bkclient.SolveStatus)
	var group errgroup.Group
	var answer *bkclient.SolveResponse
	group.Go(func() (err error) {
		answer, err = client.Build(ctx, opt, "berth", b.build, status)
		return err
	})
	group.Go(func() error {
		err := b.follow(status)
		if err != nil {
			cancel() // nobody listens
		}
		for range status {
		}
		return err
	})
	if err := group.Wait(); err != nil {
		return "", err
	}
	return answer.ExporterResponse[exptypes.ExporterImageDigestKey], nil
}

// build reads the Dockerfile, wherever it is, and has it built.
func (b *oldBuild) build(ctx context.Context, c gateway.Client) (*gateway.Result, error) {
	ui, err := dockerui.NewClient(c)
	if err != nil {
		return nil, err
	}
	name := b.r.Dockerfile
	if name == "" {
		name = dockerui.DefaultDockerfileName
	}
	source, err := ui.ReadEntrypoint(ctx, "Dockerfile")
	if err != nil {
		if strings.Contains(err.Error(), "open ") && strings.Contains(err.Error(), "no such file or directory") {
			err = invalid("Cannot locate specified Dockerfile: %s", name)
			b.wrong = err
		}
		return nil, err
	}
	args := map[string]string{}
	for key, value := range b.r.BuildArgs {
		if value != nil {
			args[key] = *value
		}
	}
	steps, err := plan(source.Data, b.r.Target, args)
	if err != nil {
		b.wrong = err
		return nil, err
	}
	b.planned <- newProgress(steps, b.say)
	return c.Solve(ctx, gateway.SolveRequest{Frontend: "dockerfile.v0", FrontendOpt: b.attrs})
}

func (b *oldBuild) say(text string) error {
	if b.r.Quiet || text == "" {
		return nil
	}
	return b.send(jsonstream.Message{Stream: text})
}

// follow shows the progress until the build ends.
func (b *oldBuild) follow(status <-chan *bkclient.SolveStatus) error {
	var before []*bkclient.SolveStatus // the Dockerfile was not read yet
	for s := range status {
		if b.show == nil {
			select {
			case b.show = <-b.planned:
			default:
				before = append(before, s)
				continue
			}
			for _, s := range before {
				if err := b.show.update(s); err != nil {
					return err
				}
			}
		}
		if err := b.show.update(s); err != nil {
			return err
		}
	}
	if b.show == nil {
		select {
		case b.show = <-b.planned: // all was in the cache
			for _, s := range before {
				if err := b.show.update(s); err != nil {
					return err
				}
			}
		default:
		}
	}
	return nil
}

func (b *oldBuild) succeeded(id string) error {
	if id == "" {
		return b.show.show(true)
	}
	if err := b.show.end(id); err != nil {
		return err
	}
	if b.r.Quiet {
		return b.send(jsonstream.Message{Stream: id + "\n"})
	}
	if err := sendAux(b.send, "", map[string]string{"ID": id}); err != nil {
		return err
	}
	if err := b.say("Successfully built " + short(id) + "\n"); err != nil {
		return err
	}
	for _, t := range b.r.Tags {
		ref, err := reference.ParseNormalizedNamed(t)
		if err != nil {
			return err
		}
		if err := b.say("Successfully tagged " + reference.FamiliarString(reference.TagNameOnly(ref)) + "\n"); err != nil {
			return err
		}
	}
	return nil
}

// failed words an error as the first builder did.
func (b *oldBuild) failed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return fmt.Errorf("build cancelled: %w", context.Cause(ctx))
	}
	if b.wrong != nil {
		return b.wrong
	}
	if b.show == nil {
		return err
	}
	st := b.show.by[failedVertex(err)]
	if serr := b.show.fail(st); serr != nil {
		return serr
	}
	if st == nil {
		return placed(err)
	}
	return explain(err, st)
}
