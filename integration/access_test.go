package integration

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/sys/unix"
)

// TestReadOnlyHost has clients look at a host on a socket that lets them do no more.
func TestReadOnlyHost(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	look := filepath.Join(dir, "look.sock")
	d := start(t, harness.Options{Flags: []string{"--read-only-host", "unix://" + look}})
	d.Berth("run", "-d", "--name", "web", image, "sleep", "600").OK(t)
	for name, client := range clients(t) {
		t.Run(name, func(t *testing.T) {
			do := func(args ...string) harness.Result {
				return d.Client(client, nil, append([]string{"-H", "unix://" + look}, args...)...)
			}
			if got := do("ps", "--format", "{{.Names}}").OK(t); got != "web" {
				t.Errorf("ps: %q", got)
			}
			do("logs", "web").OK(t)
			do("stats", "--no-stream", "web").OK(t)
			for _, refused := range [][]string{{"stop", "web"}, {"run", "--rm", image}, {"exec", "web", "true"}, {"rmi", image}, {"volume", "create"}} {
				if r := do(refused...); r.Code == 0 || !strings.Contains(r.Stderr, "is not allowed on a read-only socket") {
					t.Errorf("%v: %d %s", refused, r.Code, r.Stderr)
				}
			}
			do("attach", "web").Fails(t, 1, "received 403") // the CLI does not read the body of this one
		})
	}
	if got := d.Berth("inspect", "-f", "{{.State.Running}}", "web").OK(t); got != "true" {
		t.Errorf("running: %s", got)
	}
}

// TestSocketGroup gives the socket to a group, and nothing to others.
func TestSocketGroup(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{Flags: []string{"--group", "adm"}})
	adm, err := user.LookupGroup("adm")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(d.Socket, &st); err != nil || st.Mode&0o777 != 0o660 || st.Uid != 0 || fmt.Sprint(st.Gid) != adm.Gid {
		t.Errorf("the socket: mode %o, user %d, group %d, %v", st.Mode, st.Uid, st.Gid, err)
	}
	code, out := berthd(t, "--data-root", d.Root+"/2", "--exec-root", d.Root+"/e2", "-H", "unix://"+d.Root+"/2.sock", "--bridge", "none", "--group", "nobody-has-this")
	if _, err := os.Stat(d.Root + "/2.sock"); code == 0 || !strings.Contains(out, "group nobody-has-this not found") || err == nil {
		t.Errorf("an unknown group: code %d, %v: %s", code, err, out)
	}
}

// TestStructuredLog has each line of the daemon's log be an object.
func TestStructuredLog(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{Flags: []string{"--log-format", "json"}})
	d.Berth("run", "--rm", image, "true").OK(t)
	ready := false
	for line := range strings.Lines(d.Log()) {
		var l struct{ Time, Level, Msg string }
		if err := json.Unmarshal([]byte(line), &l); err != nil || l.Time == "" || l.Level == "" {
			t.Errorf("%q: %v", line, err)
		}
		ready = ready || l.Msg == "berthd is ready"
	}
	if !ready {
		t.Errorf("nothing says that the daemon is ready:\n%s", d.Log())
	}
}

// TestMetricsAndProfiles reads what a monitoring system and a developer read.
func TestMetricsAndProfiles(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{Flags: []string{"--metrics-addr", "127.0.0.1:0"}})
	d.Berth("run", "-d", image, "sleep", "600").OK(t)
	address := regexp.MustCompile(`metrics are served" address=(\S+)`).FindStringSubmatch(d.Log())
	if address == nil {
		t.Fatal("no address of metrics in the log")
	}
	figures := get(t, http.DefaultClient, "http://"+address[1]+"/metrics")
	parser := expfmt.NewTextParser(model.UTF8Validation) // Prometheus's own
	if families, err := parser.TextToMetricFamilies(strings.NewReader(figures)); err != nil || families["engine_daemon_container_states_containers"].GetType() != dto.MetricType_GAUGE {
		t.Errorf("metrics: %v, %v", err, families["engine_daemon_container_states_containers"])
	}
	for _, line := range []string{
		`engine_daemon_container_states_containers{state="running"} 1`,
		`engine_daemon_container_actions_seconds_count{action="start"} 1`,
		`engine_daemon_container_actions_seconds_count{action="create"} 1`,
		`berth_api_request_seconds_count{code="204",operation="ContainerStart"} 1`,
	} {
		if !strings.Contains(figures, line+"\n") {
			t.Errorf("there is no %s in\n%s", line, figures)
		}
	}
	plain := &http.Client{Transport: &http.Transport{DialContext: d.Dial}}
	defer plain.CloseIdleConnections()
	if got := get(t, plain, "http://berth/debug/pprof/goroutine?debug=1"); !strings.Contains(got, "goroutine profile:") {
		t.Errorf("profile: %s", got)
	}
}

func get(t *testing.T, c *http.Client, url string) string {
	t.Helper()
	resp, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v", url, resp.StatusCode, err)
	}
	return string(b)
}

// TestMutualTLS reaches a daemon by tcp with a certificate that its CA signed, and
// is turned away without one and with one of another CA.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	good, other := newCA(t), newCA(t)
	late := good.expired(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	l.Close()
	d := start(t, harness.Options{Flags: []string{
		"-H", "tcp://" + address, "--tlsverify", "--tlscacert", good.file("ca.pem"), "--tlscert", good.file("cert.pem"), "--tlskey", good.file("key.pem"),
	}})
	for name, client := range harness.Dockers() {
		t.Run(name, func(t *testing.T) {
			do := func(ca, pair authority, args ...string) harness.Result {
				return d.Client(client, nil, append([]string{
					"-H", "tcp://" + address, "--tlsverify", "--tlscacert", ca.file("ca.pem"), "--tlscert", pair.file("cert.pem"), "--tlskey", pair.file("key.pem"),
				}, args...)...)
			}
			if got := do(good, good, "run", "--rm", image, "echo", "by", "TLS").OK(t); got != "by TLS" {
				t.Errorf("run: %q", got)
			}
			if got := d.Client(client, strings.NewReader("both ways\n"), append([]string{
				"-H", "tcp://" + address, "--tlsverify", "--tlscacert", good.file("ca.pem"), "--tlscert", good.file("cert.pem"), "--tlskey", good.file("key.pem"),
			}, "run", "--rm", "-i", image, "cat")...).OK(t); got != "both ways" {
				t.Errorf("run -i: %q", got)
			}
			if r := do(good, other, "version"); r.Code == 0 {
				t.Error("a certificate of another CA is taken")
			}
			if r := do(other, good, "version"); r.Code == 0 {
				t.Error("the client takes a server of another CA")
			}
			// A client that is still sending may miss what it is told.
			if r := do(good, late, "version"); r.Code == 0 || !strings.Contains(r.Stderr, "expired certificate") && !strings.Contains(r.Stderr, "connection reset by peer") {
				t.Errorf("a certificate that has expired: %d, %s", r.Code, r.Stderr)
			}
			if got := strings.Count(d.Log(), "certificate has expired"); got == 0 {
				t.Error("the daemon does not say that a certificate has expired")
			}
		})
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // whom it trusts is not asked here
	if resp, err := (&http.Client{Transport: transport}).Get("https://" + address + "/_ping"); err == nil || !strings.Contains(err.Error(), "certificate required") {
		t.Errorf("no certificate: %v, %v", resp, err)
	}
	if resp, err := http.Get("http://" + address + "/_ping"); err == nil {
		resp.Body.Close()
		if resp.StatusCode == http.StatusOK {
			t.Error("plain HTTP is answered")
		}
	}
}

// authority is a folder with ca.pem, and a pair of cert.pem and key.pem that it signed.
type authority string

func (a authority) file(name string) string { return filepath.Join(string(a), name) }

func newCA(t *testing.T) authority {
	t.Helper()
	a := authority(t.TempDir())
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "CA of a test"}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a.sign(t, "ca.pem", ca, ca, key, key)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "ca-key.pem", "PRIVATE KEY", der)
	a.pair(t, ca, key, time.Now().Add(time.Hour))
	return a
}

// pair writes cert.pem, which is good until then, and key.pem.
func (a authority) pair(t *testing.T, ca *x509.Certificate, by *ecdsa.PrivateKey, until time.Time) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	a.sign(t, "cert.pem", &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "one of a test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: until.Add(-2 * time.Hour), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}, ca, own, by)
	der, err := x509.MarshalPKCS8PrivateKey(own)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "key.pem", "PRIVATE KEY", der)
}

// expired is a pair that the authority signed, and that is good no more.
func (a authority) expired(t *testing.T) authority {
	t.Helper()
	both, err := tls.LoadX509KeyPair(a.file("ca.pem"), a.file("ca-key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	late := authority(t.TempDir())
	late.pair(t, both.Leaf, both.PrivateKey.(*ecdsa.PrivateKey), time.Now().Add(-time.Minute))
	return late
}

func (a authority) sign(t *testing.T, name string, cert, parent *x509.Certificate, key, by *ecdsa.PrivateKey) {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, by)
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, name, "CERTIFICATE", der)
}

func (a authority) write(t *testing.T, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(a.file(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestDialStdio is what a client does at the far end of ssh.
func TestDialStdio(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
	defer cancel()
	for name, client := range clients(t) {
		cmd := d.Command(ctx, client, "system", "dial-stdio")
		cmd.Stdin = strings.NewReader("GET /_ping HTTP/1.1\r\nHost: berth\r\nConnection: close\r\n\r\n")
		var out, errs bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &errs
		if err := cmd.Run(); err != nil {
			t.Fatal(fmt.Errorf("%s: %w: %s", name, err, errs.String()))
		}
		if !strings.HasPrefix(out.String(), "HTTP/1.1 200 OK\r\n") || !strings.HasSuffix(out.String(), "OK") {
			t.Errorf("%s: %q", name, out.String())
		}
	}
}
