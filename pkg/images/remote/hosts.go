package remote

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
)

// hub is the domain of names without one, and hubHost who answers for it.
const (
	hub     = "docker.io"
	hubHost = "registry-1.docker.io"
)

// Hosts says how to reach the registry of ref, and its mirrors, with the
// client's credentials. InvalidArgument when those are malformed.
func (r *Registries) Hosts(ctx context.Context, ref reference.Named, auth *registry.AuthConfig) (docker.RegistryHosts, error) {
	domain := reference.Domain(ref)
	find, err := r.hosts(ctx, domain, auth)
	if err != nil {
		return nil, err
	}
	// Once, so that requests of one operation share connections and tokens.
	list := sync.OnceValues(func() ([]docker.RegistryHost, error) { return r.mirrored(ctx, domain, find) })
	return func(host string) ([]docker.RegistryHost, error) {
		if host == domain {
			return list()
		}
		return find(host)
	}, nil
}

// Anyone says how any registry is reached, for who brings credentials by himself.
func (r *Registries) Anyone(ctx context.Context) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		find, err := r.hosts(ctx, host, nil)
		if err != nil {
			return nil, err
		}
		return r.mirrored(ctx, host, find)
	}
}

// mirrored puts the mirrors of a domain before its own hosts.
func (r *Registries) mirrored(ctx context.Context, domain string, find docker.RegistryHosts) ([]docker.RegistryHost, error) {
	list, err := find(domain)
	if err != nil || domain != hub {
		return list, err
	}
	mirrors, err := r.mirrors(ctx)
	return append(mirrors, list...), err
}

// hosts configures the hosts of one domain.
func (r *Registries) hosts(ctx context.Context, domain string, auth *registry.AuthConfig, o ...docker.AuthorizerOpt) (docker.RegistryHosts, error) {
	own := domain
	if domain == hub {
		own = hubHost
	}
	user, secret, err := credentials(auth)
	if err != nil {
		return nil, err
	}
	if auth != nil && auth.ServerAddress != "" && Domain(auth.ServerAddress) != domain {
		user, secret, auth = "", "", nil // they are for another registry
	}
	options := config.HostOptions{
		HostDir: r.hostDir,
		Credentials: func(host string) (string, string, error) {
			if host != own {
				return "", "", nil
			}
			return user, secret, nil
		},
		UpdateClient: r.equip,
	}
	if insecure(domain, r.trust.Load().insecure) {
		// Tries TLS without verifying first, then plain HTTP, as dockerd does.
		options.DefaultScheme, options.DefaultTLS = "http", &tls.Config{InsecureSkipVerify: true}
	}
	find := modest(config.ConfigureHosts(ctx, options), append(o, docker.WithAuthCreds(options.Credentials))...)
	if auth == nil || auth.RegistryToken == "" {
		return find, nil
	}
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := find(host)
		for i := range list {
			if list[i].Host == own {
				list[i].Authorizer = bearer(auth.RegistryToken)
			}
		}
		return list, err
	}, nil
}

// modest gives hosts authorizers that do not take any length of answer from a token
// server.
func modest(find docker.RegistryHosts, o ...docker.AuthorizerOpt) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := find(host)
		for i, h := range list {
			c := *h.Client
			c.Transport = brief{c.Transport, maxToken}
			list[i].Authorizer = docker.NewDockerAuthorizer(append(slices.Clone(o), docker.WithAuthClient(&c), docker.WithAuthHeader(h.Header))...)
		}
		return list, err
	}
}

// mirrors are the hosts of Docker Hub's mirrors. Their certificates are
// configured under their own names.
func (r *Registries) mirrors(ctx context.Context) (out []docker.RegistryHost, err error) {
	for _, m := range r.trust.Load().mirrors {
		u, err := url.Parse(m)
		if err != nil {
			return nil, err
		}
		find, err := r.hosts(ctx, u.Host, nil)
		if err != nil {
			return nil, err
		}
		list, err := find(u.Host)
		if err != nil {
			return nil, err
		}
		for _, h := range list {
			if h.Host == u.Host {
				h.Scheme, h.Path = u.Scheme, strings.TrimSuffix(u.Path, "/")+"/v2"
				h.Capabilities = docker.HostCapabilityPull | docker.HostCapabilityResolve
				out = append(out, h)
			}
		}
	}
	return out, nil
}

// Resolver resolves and fetches with hosts; tracker may be nil.
func Resolver(hosts docker.RegistryHosts, tracker docker.StatusTracker) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{Hosts: hosts, Headers: UserAgent(), Tracker: tracker})
}

// hostDir finds the first configuration folder of a host.
func (r *Registries) hostDir(host string) (string, error) {
	for _, root := range r.cfg.CertsDirs {
		dir, err := config.HostDirFromRoot(root)(host)
		if err == nil || !errdefs.IsNotFound(err) {
			return dir, err
		}
	}
	return "", errdefs.ErrNotFound
}

// Domain is the registry that an address of a client means: a host with or
// without scheme and path, or one of the names of Docker Hub.
func Domain(address string) string {
	_, host, found := strings.Cut(address, "://")
	if !found {
		host = address
	}
	host, _, _ = strings.Cut(host, "/")
	if slices.Contains([]string{"", "index.docker.io", hubHost}, host) {
		return hub
	}
	return host
}

// insecure says whether host ("name" or "name:port") is listed by name, or
// lies in a listed network by address.
func insecure(host string, listed []string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	addr, addrErr := netip.ParseAddr(strings.Trim(name, "[]"))
	for _, entry := range listed {
		if entry == host || entry == name {
			return true
		}
		if prefix, err := netip.ParsePrefix(entry); err == nil && addrErr == nil && prefix.Contains(addr.Unmap()) {
			return true
		}
	}
	return false
}
