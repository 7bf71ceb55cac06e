package images

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/version"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/remotes/docker/config"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
)

// headerTimeout bounds how long a registry may think about a request.
const headerTimeout = time.Minute

// hosts says how to reach the registry of ref, and its mirrors, with the
// client's credentials. Those go to the registry itself only.
func (r Registry) hosts(ctx context.Context, ref reference.Named, auth *registry.AuthConfig) (docker.RegistryHosts, error) {
	domain := reference.Domain(ref)
	own := domain
	if domain == "docker.io" {
		own = "registry-1.docker.io"
	}
	user, secret, err := credentials(auth)
	if err != nil {
		return nil, err
	}
	o := r.options(domain)
	o.Credentials = func(host string) (string, string, error) {
		if host != own {
			return "", "", nil
		}
		return user, secret, nil
	}
	hosts := config.ConfigureHosts(ctx, o)
	if auth == nil || auth.RegistryToken == "" {
		return hosts, nil
	}
	return func(host string) ([]docker.RegistryHost, error) {
		list, err := hosts(host)
		for i := range list {
			if list[i].Host == own {
				list[i].Authorizer = bearer(auth.RegistryToken)
			}
		}
		return list, err
	}, nil
}

// options is how the registry at domain is reached by anybody.
func (r Registry) options(domain string) config.HostOptions {
	o := config.HostOptions{
		HostDir: r.hostDir,
		UpdateClient: func(c *http.Client) error {
			if t, ok := c.Transport.(*http.Transport); ok {
				t.ResponseHeaderTimeout = headerTimeout
			}
			return nil
		},
	}
	if insecure(domain, r.Insecure) {
		// Tries TLS without verifying first, then plain HTTP, as dockerd does.
		o.DefaultScheme, o.DefaultTLS = "http", &tls.Config{InsecureSkipVerify: true}
	}
	return o
}

// Hosts says how any registry is reached, for who brings credentials by itself.
func (r Registry) Hosts(ctx context.Context) docker.RegistryHosts {
	return func(host string) ([]docker.RegistryHost, error) {
		return config.ConfigureHosts(ctx, r.options(host))(host)
	}
}

func resolver(hosts docker.RegistryHosts) remotes.Resolver {
	return docker.NewResolver(docker.ResolverOptions{Hosts: hosts, Headers: userAgent()})
}

func userAgent() http.Header {
	return http.Header{"User-Agent": []string{"berth/" + version.Version}}
}

// hostDir finds the first configuration folder of a host.
func (r Registry) hostDir(host string) (string, error) {
	for _, root := range r.CertsDirs {
		dir, err := config.HostDirFromRoot(root)(host)
		if err == nil || !errdefs.IsNotFound(err) {
			return dir, err
		}
	}
	return "", errdefs.ErrNotFound
}

// credentials returns the user and password that the client sent; no user and
// a token for an identity token. InvalidArgument for a malformed Auth.
func credentials(auth *registry.AuthConfig) (user, secret string, err error) {
	switch {
	case auth == nil:
		return "", "", nil
	case auth.IdentityToken != "":
		return "", auth.IdentityToken, nil
	case auth.Username == "" && auth.Auth != "":
		p, err := base64.StdEncoding.DecodeString(auth.Auth)
		user, secret, ok := strings.Cut(string(p), ":")
		if err != nil || !ok {
			return "", "", errdefs.ErrInvalidArgument.WithMessage("invalid registry credentials: auth is not the base64 of user:password")
		}
		return user, strings.TrimRight(secret, "\x00"), nil
	}
	return auth.Username, auth.Password, nil
}

// bearer is a token that the client obtained by itself.
type bearer string

func (b bearer) Authorize(_ context.Context, req *http.Request) error {
	req.Header.Set("Authorization", "Bearer "+string(b))
	return nil
}

func (b bearer) AddResponses(context.Context, []*http.Response) error {
	return fmt.Errorf("%w: the registry token was refused", docker.ErrInvalidAuthorization)
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
