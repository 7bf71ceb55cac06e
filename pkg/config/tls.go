package config

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
)

// TLS says how tcp hosts are protected.
type TLS struct {
	Verify        bool // clients must show a certificate that CA signed
	CA, Cert, Key string

	server *tls.Config // what Server gave
}

func (s *settings) resolveTLS(c *Config) error {
	if s.tlsVerify && s.given(&s.tls) && !s.tls {
		return fmt.Errorf("tlsverify needs TLS, but tls is false")
	}
	if !s.tls && !s.tlsVerify {
		return nil
	}
	t := &TLS{Verify: s.tlsVerify, CA: s.tlsCACert, Cert: s.tlsCert, Key: s.tlsKey}
	for _, f := range []struct{ name, path string }{{"tlscacert", t.CA}, {"tlscert", t.Cert}, {"tlskey", t.Key}} {
		if !filepath.IsAbs(f.path) {
			return fmt.Errorf("%s: %q is not an absolute path", f.name, f.path)
		}
	}
	c.TLS = t
	return nil
}

// Server makes the configuration of a listener. It reads the files once: what was
// checked is what is used, whoever replaces them meanwhile.
func (t *TLS) Server() (*tls.Config, error) {
	if t.server != nil {
		return t.server, nil
	}
	cfg, err := t.read()
	if err == nil {
		t.server = cfg
	}
	return cfg, err
}

func (t *TLS) read() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(t.Cert, t.Key)
	if err != nil {
		return nil, fmt.Errorf("TLS certificate %s with key %s: %w", t.Cert, t.Key, err)
	}
	cfg := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		NextProtos:   []string{"http/1.1"}, // attach and exec take the connection over, which HTTP/2 cannot
	}
	if !t.Verify {
		return cfg, nil
	}
	pem, err := os.ReadFile(t.CA)
	if err != nil {
		return nil, fmt.Errorf("TLS client CA: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("TLS client CA %s holds no PEM certificate", t.CA)
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	return cfg, nil
}
