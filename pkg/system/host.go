package system

import (
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/moby/moby/api/types/registry"
)

// release gives the distribution's name and version (os-release(5)).
func release() (name, version string) {
	for _, file := range []string{"/etc/os-release", "/usr/lib/os-release"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for l := range strings.Lines(string(b)) {
			key, value, _ := strings.Cut(strings.TrimSpace(l), "=")
			value = strings.Trim(value, `"'`)
			switch key {
			case "PRETTY_NAME":
				name = value
			case "VERSION_ID":
				version = value
			}
		}
		break
	}
	if name == "" {
		name = "Linux"
	}
	return name, version
}

// withoutCredentials is a proxy's URL as anyone may see it.
func withoutCredentials(proxy string) string {
	u, err := url.Parse(proxy)
	if err != nil || u.User == nil {
		return proxy
	}
	u.User = url.UserPassword("xxxxx", "xxxxx") // Docker's way
	return u.String()
}

// shown are mirrors in Docker's spelling.
func shown(mirrors []string) []string {
	out := make([]string, len(mirrors))
	for i, m := range mirrors {
		out[i] = m + "/"
	}
	return out
}

// registryConfig lists the registries that are trusted without TLS. Loopback
// always is, as with Docker.
func registryConfig(insecure, mirrors []string) *registry.ServiceConfig {
	c := &registry.ServiceConfig{
		InsecureRegistryCIDRs: []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8")},
		IndexConfigs: map[string]*registry.IndexInfo{
			"docker.io": {Name: "docker.io", Mirrors: shown(mirrors), Secure: true, Official: true},
		},
		Mirrors: shown(mirrors),
	}
	for _, r := range insecure {
		if p, err := netip.ParsePrefix(r); err == nil {
			c.InsecureRegistryCIDRs = append(c.InsecureRegistryCIDRs, p)
			continue
		}
		c.IndexConfigs[r] = &registry.IndexInfo{Name: r, Mirrors: []string{}}
	}
	return c
}
