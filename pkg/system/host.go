package system

import (
	"net/netip"
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

// registryConfig lists the registries that are trusted without TLS. Loopback
// always is, as with Docker.
func registryConfig(insecure []string) *registry.ServiceConfig {
	c := &registry.ServiceConfig{
		InsecureRegistryCIDRs: []netip.Prefix{netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("127.0.0.0/8")},
		IndexConfigs: map[string]*registry.IndexInfo{
			"docker.io": {Name: "docker.io", Mirrors: []string{}, Secure: true, Official: true},
		},
		Mirrors: []string{},
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
