package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
)

func (s *settings) resolveRegistries(c *Config) error {
	for _, r := range s.insecure {
		checked, err := registry(r)
		if err != nil {
			return err
		}
		c.InsecureRegistries = append(c.InsecureRegistries, checked)
	}
	for _, m := range s.mirrors {
		checked, err := mirror(m)
		if err != nil {
			return err
		}
		c.RegistryMirrors = append(c.RegistryMirrors, checked)
	}
	for _, p := range []struct {
		name  string
		value int
		dst   *int
	}{
		{"concurrent downloads", s.downloads, &c.MaxDownloads},
		{"concurrent uploads", s.uploads, &c.MaxUploads},
		{"download attempts", s.attempts, &c.MaxDownloadAttempts},
	} {
		if p.value < 1 {
			return fmt.Errorf("invalid max %s: %d", p.name, p.value)
		}
		*p.dst = p.value
	}
	for name, value := range map[string]string{"http-proxy": s.proxies.HTTP, "https-proxy": s.proxies.HTTPS} {
		if u, err := url.Parse(value); value != "" && (err != nil || u.Host == "" && !strings.Contains(value, ":")) {
			return fmt.Errorf("invalid %s: it is no URL", name) // which may hold a password
		}
	}
	c.Proxies = s.proxies
	return nil
}

// resolveImages checks where images are kept, and how long.
func (s *settings) resolveImages(c *Config) error {
	if err := s.imageGC.Validate(); err != nil {
		return fmt.Errorf("image-gc: %w", err)
	}
	c.ImageGC, c.DiscardLayers = s.imageGC, s.discard
	for name, socket := range s.snapshotters {
		if !identifier.MatchString(name) || !filepath.IsAbs(socket) {
			return fmt.Errorf("proxy-snapshotters: %s=%s is not a name and the absolute path of a socket", name, socket)
		}
		if c.Containerd != "" {
			return errors.New("proxy-snapshotters: they are configured in the containerd that is used")
		}
	}
	c.ProxySnapshotters = s.snapshotters
	return nil
}

// mirror checks one value of registry-mirrors, in dockerd's words.
func mirror(value string) (string, error) {
	u, err := url.Parse(value)
	if err != nil {
		return "", fmt.Errorf("invalid mirror: %q is not a valid URI: %w", value, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return "", fmt.Errorf("invalid mirror: no scheme specified for %q: must use either 'https://' or 'http://'", value)
	}
	if u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return "", fmt.Errorf("invalid mirror: query or fragment at end of the URI %q", value)
	}
	if u.User != nil {
		return "", fmt.Errorf("invalid mirror: username/password not allowed in URI %q", u.Redacted())
	}
	return strings.TrimSuffix(u.String(), "/"), nil
}

// registry checks one value of insecure-registries. A scheme is dropped, as
// dockerd does with a warning.
func registry(value string) (string, error) {
	v := strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(value, "http://"), "https://"), "/")
	if p, err := netip.ParsePrefix(v); err == nil {
		return p.Masked().String(), nil
	}
	if v == "" || strings.ContainsAny(v, "/ \t\x00@?#") || strings.HasPrefix(v, "-") {
		return "", fmt.Errorf("insecure registry %q is neither HOST[:PORT] nor a CIDR", value)
	}
	return v, nil
}
