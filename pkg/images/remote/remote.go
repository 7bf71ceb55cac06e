// Package remote reaches registries: it finds the hosts of a registry with
// their certificates, mirrors and proxies, asks them for what is not content —
// tags, search, log-in, what a name stands for — and puts their errors into
// Docker's words.
//
// A registry is a stranger: documents are bounded, redirects and lists stay on
// its host, and one that falls silent is given up. Credentials go to the registry
// that they are for and to nobody else, mirrors included.
package remote

import (
	"cmp"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/berth-engine/berth/pkg/version"
	"golang.org/x/net/http/httpproxy"
)

// Config says how registries are reached.
type Config struct {
	// CertsDirs hold HOST/hosts.toml (or Docker's *.crt, *.cert, *.key) per
	// registry; the first folder that knows the host wins.
	CertsDirs []string
	// Insecure are hosts ("registry:5000") and networks ("10.0.0.0/8") that
	// may be spoken to without TLS or with an unknown certificate. Loopback
	// always may.
	Insecure []string
	// Mirrors are URLs of mirrors of Docker Hub, tried before it in this order.
	Mirrors []string
	// Proxies to use; the zero value is what the environment says.
	Proxies Proxies
	// Patience is how long a registry may be silent, before an answer and within
	// one; 0 is a minute.
	Patience time.Duration
	// Hub is where Docker Hub is searched; "" is https://index.docker.io.
	Hub string
}

// Proxies are URLs of proxies, and the hosts that are reached without
// (comma-separated names, .suffixes and networks).
type Proxies struct{ HTTP, HTTPS, No string }

// Registries are all registries, reached as a Config says. Its methods may be
// called concurrently.
type Registries struct {
	cfg   Config
	trust atomic.Pointer[trust]
	proxy func(*url.URL) (*url.URL, error)
}

// trust is what Trust changes.
type trust struct{ insecure, mirrors []string }

// Trust puts other lists in the place of Config's Insecure and Mirrors, for the
// requests that come.
func (r *Registries) Trust(insecure, mirrors []string) { r.trust.Store(&trust{insecure, mirrors}) }

// New makes it.
func New(c Config) *Registries {
	c.Patience = cmp.Or(c.Patience, time.Minute)
	c.Hub = cmp.Or(c.Hub, "https://index.docker.io")
	env := httpproxy.FromEnvironment()
	p := httpproxy.Config{
		HTTPProxy: cmp.Or(c.Proxies.HTTP, env.HTTPProxy), HTTPSProxy: cmp.Or(c.Proxies.HTTPS, env.HTTPSProxy),
		NoProxy: cmp.Or(c.Proxies.No, env.NoProxy),
	}
	r := &Registries{cfg: c, proxy: p.ProxyFunc()}
	r.Trust(c.Insecure, c.Mirrors)
	return r
}

// equip prepares a client that containerd made for registries.
func (r *Registries) equip(c *http.Client) error {
	if t, ok := c.Transport.(*http.Transport); ok {
		t.ResponseHeaderTimeout = r.cfg.Patience
		t.Proxy = func(req *http.Request) (*url.URL, error) { return r.proxy(req.URL) }
		c.Transport = patient{base: t, patience: r.cfg.Patience}
	}
	return nil
}

// UserAgent is what requests to registries say of their sender.
func UserAgent() http.Header {
	return http.Header{"User-Agent": []string{"berth/" + version.Version}}
}
