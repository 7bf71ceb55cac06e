package syslog

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/streams"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 789012345, time.Local)

// message is what every server here is sent: a line of stdout and one of stderr.
func send(t *testing.T, opts map[string]string) *Sender {
	t.Helper()
	s, err := Open(t.Context(), streams.Log{Options: opts, Tag: "web"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	for _, m := range []record.Message{
		{Line: []byte("out 1\n"), Source: "stdout", Time: at},
		{Line: []byte("\n"), Source: "stdout", Time: at}, // which Docker does not send
		{Line: []byte("err 2"), Source: "stderr", Time: at},
	} {
		if err := s.Send(&m); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestFormats(t *testing.T) {
	host, _ := os.Hostname()
	pid := os.Getpid()
	for format, want := range map[string]string{
		"":             fmt.Sprintf("Feb  3 04:05:06 web[%d]: ", pid),
		"rfc3164":      fmt.Sprintf("Feb  3 04:05:06 %s web[%d]: ", host, pid),
		"rfc5424":      fmt.Sprintf("1 %s %s web %d web - ", at.Format(time.RFC3339), host, pid),
		"rfc5424micro": fmt.Sprintf("1 %s %s web %d web - ", at.Format("2006-01-02T15:04:05.000000Z07:00"), host, pid),
	} {
		t.Run(format, func(t *testing.T) {
			server, err := net.ListenPacket("udp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer server.Close()
			send(t, map[string]string{"syslog-address": "udp://" + server.LocalAddr().String(), "syslog-format": format, "syslog-facility": "local1"})
			for _, w := range []string{"<142>" + want + "out 1\n", "<139>" + want + "err 2\n"} {
				buf := make([]byte, 1000)
				n, _, err := server.ReadFrom(buf)
				if err != nil || string(buf[:n]) != w {
					t.Errorf("got %q (%v), want %q", buf[:n], err, w)
				}
			}
		})
	}
}

func TestUnixSockets(t *testing.T) {
	gram := filepath.Join(t.TempDir(), "gram")
	server, err := net.ListenPacket("unixgram", gram)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	send(t, map[string]string{"syslog-address": "unixgram://" + gram})
	buf := make([]byte, 1000)
	if n, _, err := server.ReadFrom(buf); err != nil || !strings.HasPrefix(string(buf[:n]), "<30>Feb") {
		t.Errorf("%q, %v", buf[:n], err)
	}
	stream := filepath.Join(t.TempDir(), "stream")
	l, err := net.Listen("unix", stream)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	send(t, map[string]string{"syslog-address": "unix://" + stream})
	expectLines(t, l, "out 1", "err 2")
}

// expectLines accepts a client and reads lines that end in want.
func expectLines(t *testing.T, l net.Listener, want ...string) {
	t.Helper()
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for _, w := range want {
		if line, err := r.ReadString('\n'); err != nil || !strings.HasSuffix(line, " "+w+"\n") {
			t.Fatalf("got %q (%v), want %q", line, err, w)
		}
	}
}

// TestRestartedServer: a server that goes away and comes back, at the same address.
func TestRestartedServer(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	s := send(t, map[string]string{"syslog-address": "tcp://" + address})
	expectLines(t, l, "out 1", "err 2")
	_ = l.Close()
	m := record.Message{Line: []byte("lost\n"), Source: "stdout", Time: at}
	for s.Send(&m) == nil { // until the kernel has heard of the end
	}
	if err := s.Send(&m); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Fatal(err)
	}
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s.failed = s.failed.Add(-pause)
	m.Line = []byte("again\n")
	if err := s.Send(&m); err != nil {
		t.Fatal(err)
	}
	expectLines(t, l, "again")
}

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	pair := certificate(t, dir)
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{pair}, ClientAuth: tls.RequireAnyClientCert, MinVersion: tls.VersionTLS12,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	opts := map[string]string{
		"syslog-address": "tcp+tls://" + l.Addr().String(), "syslog-format": "rfc5424",
		"syslog-tls-cert": filepath.Join(dir, "cert.pem"), "syslog-tls-key": filepath.Join(dir, "key.pem"),
	}
	received := make(chan string, 1)
	go func() {
		defer close(received)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			var size int
			r := bufio.NewReader(conn)
			if _, err := fmt.Fscanf(r, "%d ", &size); err == nil {
				b := make([]byte, size)
				_, _ = io.ReadFull(r, b)
				received <- string(b)
				return
			}
			_ = conn.Close()
		}
	}()
	if _, err := Open(t.Context(), streams.Log{Options: opts}); err == nil || !strings.Contains(err.Error(), "certificate signed by unknown authority") {
		t.Fatal("an unknown certificate:", err)
	}
	opts["syslog-tls-ca-cert"] = filepath.Join(dir, "cert.pem")
	send(t, opts)
	if got := <-received; !strings.HasPrefix(got, "<30>1 ") || !strings.HasSuffix(got, "out 1\n") {
		t.Errorf("%q", got)
	}
	delete(opts, "syslog-tls-ca-cert")
	opts["syslog-tls-skip-verify"] = ""
	if s, err := parse(opts); err != nil || !s.skipVerify {
		t.Error(s, err)
	}
	opts["syslog-tls-ca-cert"], opts["syslog-tls-key"] = "", "/no/such"
	if _, err := Open(t.Context(), streams.Log{Options: opts}); err == nil || !strings.Contains(err.Error(), "could not load X509 key pair") {
		t.Error(err)
	}
}

// certificate makes one for 127.0.0.1 that vouches for itself.
func certificate(t *testing.T, dir string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, &c, &c, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{
		"cert.pem": {Type: "CERTIFICATE", Bytes: der}, "key.pem": {Type: "PRIVATE KEY", Bytes: secret},
	} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.LoadX509KeyPair(filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	return pair
}

// TestStop: a server that takes nothing any more is waited for until the log's
// context ends.
func TestStop(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Open(ctx, streams.Log{Options: map[string]string{"syslog-address": "tcp://" + l.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ended := make(chan error)
	sent := make(chan struct{}, 1)
	go func() {
		m := record.Message{Line: []byte(strings.Repeat("x", record.MaxLine)), Source: "stdout", Time: at}
		for {
			if err := s.Send(&m); err != nil {
				ended <- err
				return
			}
			select {
			case sent <- struct{}{}:
			default:
			}
		}
	}()
	<-sent
	cancel()
	if err := <-ended; err == nil {
		t.Error("no error")
	}
}

func TestOptions(t *testing.T) {
	for _, c := range []struct {
		opts map[string]string
		want string // the error
	}{
		{nil, ""},
		{map[string]string{"syslog-address": "tcp://192.0.2.1", "syslog-facility": "23", "tag": "x", "env": "A"}, ""},
		{map[string]string{"syslog-address": "http://x"}, "unsupported scheme: 'http'"},
		{map[string]string{"syslog-address": "192.0.2.1:514"}, "first path segment in URL cannot contain colon"},
		{map[string]string{"syslog-address": "unix:///no/such"}, "stat /no/such: no such file or directory"},
		{map[string]string{"syslog-facility": "24"}, "invalid syslog facility"},
		{map[string]string{"syslog-facility": "kernel"}, "invalid syslog facility"},
		{map[string]string{"syslog-format": "rfc1"}, "invalid syslog format"},
		{map[string]string{"max-size": "1"}, "unknown log opt 'max-size' for syslog log driver"},
	} {
		if err := Validate(c.opts); (err == nil) != (c.want == "") || err != nil && !strings.HasSuffix(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s", c.opts, err, c.want)
		}
	}
	if o, err := parse(map[string]string{"syslog-address": "tcp://192.0.2.1"}); err != nil || o.address != "192.0.2.1:514" {
		t.Error(o, err)
	}
}
