package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// selfSigned writes a certificate that is its own CA, and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "berth"}, DNSNames: []string{"berth"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return cert, key
}

func TestTLSDemandsAClientCertificate(t *testing.T) {
	cert, key := selfSigned(t)
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	server, err := (&TLS{Verify: true, CA: cert, Cert: cert, Key: key}).Server()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name  string
		certs []tls.Certificate
		ok    bool
	}{{"with", []tls.Certificate{pair}, true}, {"without", nil, false}} {
		a, b := net.Pipe()
		client := tls.Client(a, &tls.Config{RootCAs: server.ClientCAs, ServerName: "berth", Certificates: c.certs})
		done := make(chan error, 1)
		go func() {
			err := client.Handshake()
			if err == nil {
				_, err = client.Read(make([]byte, 1)) // TLS 1.3 tells a client of its refusal after the handshake
			}
			done <- err
			_ = a.Close()
		}()
		conn := tls.Server(b, server)
		err := conn.Handshake()
		if (err == nil) != c.ok {
			t.Errorf("%s a certificate: %v", c.name, err)
		}
		_ = b.Close()
		t.Logf("%s a certificate the client saw: %v", c.name, <-done)
	}
}

func TestTLSNamesTheFileThatIsWrong(t *testing.T) {
	cert, key := selfSigned(t)
	for _, c := range []struct {
		tls  TLS
		want string
	}{
		{TLS{Cert: "/nonexistent/cert", Key: key}, "/nonexistent/cert"},
		{TLS{Verify: true, CA: "/nonexistent/ca", Cert: cert, Key: key}, "/nonexistent/ca"},
		{TLS{Verify: true, CA: key, Cert: cert, Key: key}, "holds no PEM certificate"},
	} {
		if _, err := c.tls.Server(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q in it", err, c.want)
		}
	}
	plain := &TLS{Cert: cert, Key: key}
	got, err := plain.Server()
	if err != nil || got.ClientAuth != tls.NoClientCert {
		t.Errorf("without verification: %v, %v", got, err)
	}
	if err := os.Remove(cert); err != nil {
		t.Fatal(err)
	}
	if again, err := plain.Server(); err != nil || again != got {
		t.Errorf("the files are read again: %v, %v", again, err)
	}
}
