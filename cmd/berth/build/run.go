package build

import (
	"context"
	"errors"
	"net"
	"os"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/config"
	bkclient "github.com/moby/buildkit/client"
	buildflags "github.com/moby/buildkit/cmd/buildctl/build"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/auth/authprovider"
	"github.com/moby/buildkit/session/sshforward/sshprovider"
	"github.com/moby/buildkit/util/entitlements"
	mobyclient "github.com/moby/moby/client"
	"github.com/tonistiigi/fsutil"
	"golang.org/x/sync/errgroup"
)

// run builds. What it says of progress goes to the standard error.
func run(ctx context.Context, dockerCLI command.Cli, o *options) (err error) {
	display, err := newDisplay(dockerCLI, o)
	if err != nil {
		return err
	}
	client, err := connect(ctx, dockerCLI)
	if err != nil {
		return err
	}
	defer client.Close()
	solve, in, err := o.solve(ctx, dockerCLI, client)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.close()) }()
	if o.check {
		o.call = "check"
	}
	if o.call != "" && o.call != "build" {
		return ask(ctx, dockerCLI, client, o.call, solve, display)
	}
	status := make(chan *bkclient.SolveStatus)
	// The display reads to the end also when the build is cancelled: it shows
	// what ended how.
	var group errgroup.Group
	var answer *bkclient.SolveResponse
	group.Go(func() (err error) {
		answer, err = client.Solve(ctx, nil, *solve, status)
		return err
	})
	group.Go(func() error { return display.show(status) })
	if err := group.Wait(); err != nil {
		return explain(ctx, dockerCLI.Err(), err)
	}
	display.warnings()
	return o.report(dockerCLI, answer.ExporterResponse)
}

// connect speaks BuildKit's API through the daemon's socket.
func connect(ctx context.Context, dockerCLI command.Cli) (*bkclient.Client, error) {
	api := dockerCLI.Client()
	if _, err := api.Ping(ctx, mobyclient.PingOptions{}); err != nil {
		return nil, err // gRPC would try again and tell less
	}
	return bkclient.New(ctx, "",
		bkclient.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return api.DialHijack(ctx, "/grpc", "h2c", nil)
		}),
		bkclient.WithSessionDialer(func(ctx context.Context, proto string, meta map[string][]string) (net.Conn, error) {
			return api.DialHijack(ctx, "/session", proto, meta)
		}))
}

// solve is what BuildKit is asked for. in must be closed after the build.
func (o *options) solve(ctx context.Context, dockerCLI command.Cli, client *bkclient.Client) (_ *bkclient.SolveOpt, in *input, err error) {
	attrs, err := o.attrs(os.LookupEnv, func() (string, error) { return hostGateway(ctx, client) })
	if err != nil {
		return nil, nil, err
	}
	for key, value := range dockerCLI.ConfigFile().ParseProxyConfig(dockerCLI.Client().DaemonHost(), nil) {
		if _, set := attrs["build-arg:"+key]; !set && value != nil {
			attrs["build-arg:"+key] = *value
		}
	}
	s := &bkclient.SolveOpt{
		Frontend: "dockerfile.v0", FrontendAttrs: attrs,
		LocalMounts: map[string]fsutil.FS{}, OCIStores: map[string]content.Store{},
		AllowedEntitlements: o.allow,
	}
	if syntax, ok := attrs["build-arg:BUILDKIT_SYNTAX"]; ok {
		s.Frontend = "gateway.v0"
		attrs["source"], _, _ = strings.Cut(strings.TrimSpace(syntax), " ")
		attrs["cmdline"] = syntax
	}
	if o.network == "host" && !slices.Contains(s.AllowedEntitlements, "network.host") {
		s.AllowedEntitlements = append(slices.Clone(s.AllowedEntitlements), "network.host") // asked for by the flag
	}
	for _, e := range s.AllowedEntitlements {
		if _, _, err := entitlements.Parse(e); err != nil {
			return nil, nil, err
		}
	}
	if err := o.results(s, dockerCLI); err != nil {
		return nil, nil, err
	}
	if s.Session, err = o.attachables(); err != nil {
		return nil, nil, err
	}
	in = &input{solve: s, stdin: dockerCLI.In()}
	if err := in.load(o); err != nil {
		return nil, nil, errors.Join(err, in.close())
	}
	return s, in, nil
}

// results are where the image and the cache go.
func (o *options) results(s *bkclient.SolveOpt, dockerCLI command.Cli) error {
	all, err := o.exports()
	if err != nil {
		return err
	}
	if s.Exports, err = entries(all, dockerCLI.Out()); err != nil {
		return err
	}
	if s.CacheImports, err = cacheEntries(o.cacheFrom); err != nil {
		return err
	}
	if s.CacheExports, err = cacheEntries(o.cacheTo); err != nil {
		return err
	}
	if v := s.FrontendAttrs["build-arg:BUILDKIT_INLINE_CACHE"]; v == "1" || v == "true" {
		s.CacheExports = append(s.CacheExports, bkclient.CacheOptionsEntry{Type: "inline", Attrs: map[string]string{}})
	}
	return nil
}

// attachables are what the builder may ask this process for.
func (o *options) attachables() ([]session.Attachable, error) {
	all := []session.Attachable{authprovider.NewDockerAuthProvider(authprovider.DockerAuthProviderConfig{
		AuthConfigProvider: authprovider.LoadAuthConfig(config.LoadDefaultConfigFile(os.Stderr)),
	})}
	secrets, err := buildflags.ParseSecret(o.secrets)
	if err != nil {
		return nil, err
	}
	all = append(all, secrets)
	keys, err := buildflags.ParseSSH(o.ssh)
	if err != nil {
		return nil, err
	}
	if len(keys) == 0 {
		return all, nil
	}
	agents, err := sshprovider.NewSSHAgentProvider(keys)
	if err != nil {
		return nil, err
	}
	return append(all, agents), nil
}

// hostGateway asks the builder how steps reach the host.
func hostGateway(ctx context.Context, client *bkclient.Client) (string, error) {
	const label = "org.mobyproject.buildkit.worker.moby.host-gateway-ip"
	workers, err := client.ListWorkers(ctx)
	if err != nil {
		return "", err
	}
	for _, w := range workers {
		if ip := w.Labels[label]; ip != "" {
			return ip, nil
		}
	}
	return "", errors.New("the builder does not say")
}
