package images

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/berth-engine/berth/pkg/images/remote"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// static serves one manifest and some blobs by their digests.
func static(t *testing.T, mediaType string, manifest []byte, blobs ...[]byte) string {
	t.Helper()
	byDigest := map[string][]byte{}
	for _, b := range blobs {
		byDigest[fmt.Sprintf("%x", sha256.Sum256(b))] = b
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		data, ok := byDigest[r.URL.Path[strings.LastIndexAny(r.URL.Path, ":/")+1:]]
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", mediaType)
			w.Header().Set("Docker-Content-Digest", fmt.Sprintf("sha256:%x", sha256.Sum256(manifest)))
			data, ok = manifest, true
		}
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(data)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(data)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func TestPullSchema1(t *testing.T) {
	b := newBench(t)
	for _, media := range []string{images.MediaTypeDockerSchema1Manifest, "application/vnd.docker.distribution.manifest.v1+json"} {
		host := static(t, media, []byte(`{"schemaVersion":1,"name":"x","tag":"1","fsLayers":[]}`))
		_, err := b.fetched(host+"/x:1", PullOptions{})
		if !errdefs.IsNotImplemented(err) {
			t.Errorf("%s: %v", media, err)
		}
		if media == images.MediaTypeDockerSchema1Manifest && !strings.Contains(fmt.Sprint(err), "schema 1 support has been removed. Suggest the author of "+host+"/x:1 to upgrade") {
			t.Error(err)
		}
	}
}

// TestPullForeign: a layer that only another server has, and one without content.
func TestPullForeign(t *testing.T) {
	foreign, empty := gzipped(t, changes(t, "foreign", t.Name())), gzipped(t, make([]byte, 1024))
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("credentials were sent elsewhere")
		}
		_, _ = w.Write(foreign)
	}))
	defer elsewhere.Close()
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x","sha256:%x"]}}`,
		sha256.Sum256(changes(t, "foreign", t.Name())), sha256.Sum256(make([]byte, 1024)))
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"sha256:%x","size":%d},"layers":[
		{"mediaType":%q,"digest":"sha256:%x","size":%d,"urls":["file:///etc/passwd","%s/layer"]},{"mediaType":%q,"digest":"sha256:%x","size":%d}]}`,
		images.MediaTypeDockerSchema2Manifest, images.MediaTypeDockerSchema2Config, sha256.Sum256(config), len(config),
		images.MediaTypeDockerSchema2LayerForeignGzip, sha256.Sum256(foreign), len(foreign), elsewhere.URL,
		images.MediaTypeDockerSchema2LayerGzip, sha256.Sum256(empty), len(empty))
	host, b := static(t, images.MediaTypeDockerSchema2Manifest, manifest, config, empty), newBench(t)
	if _, err := b.fetched(host+"/x:1", PullOptions{Auth: &registry.AuthConfig{Username: "u", Password: "p"}}); err != nil {
		t.Fatal(err)
	}
	if _, chain, _, err := b.Resolve(b.ctx, host+"/x:1", nil); err != nil || chain == "" {
		t.Error(chain, err)
	}
}

// TestPullZstd: layers of each compression in one image.
func TestPullZstd(t *testing.T) {
	a, c, d := changes(t, "a", t.Name()), changes(t, "c", t.Name()), changes(t, "d", t.Name())
	layers := [][]byte{a, zstded(t, c), gzipped(t, d)}
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x","sha256:%x","sha256:%x"]}}`, sha256.Sum256(a), sha256.Sum256(c), sha256.Sum256(d))
	var list []string
	for i, media := range []string{ocispec.MediaTypeImageLayer, ocispec.MediaTypeImageLayerZstd, ocispec.MediaTypeImageLayerGzip} {
		list = append(list, fmt.Sprintf(`{"mediaType":%q,"digest":"sha256:%x","size":%d}`, media, sha256.Sum256(layers[i]), len(layers[i])))
	}
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"sha256:%x","size":%d},"layers":[%s]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, sha256.Sum256(config), len(config), strings.Join(list, ","))
	host, b := static(t, ocispec.MediaTypeImageManifest, manifest, append(layers, config)...), newBench(t)
	if _, err := b.fetched(host+"/x:1", PullOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, _, img, err := b.Resolve(b.ctx, host+"/x:1", nil); err != nil || len(img.RootFS.DiffIDs) != 3 {
		t.Error(img, err)
	}
}

// TestPullBombed: a layer that unpacks to something else than it was announced as.
func TestPullBombed(t *testing.T) {
	layer := gzipped(t, changes(t, "x", "text"))
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","rootfs":{"type":"layers","diff_ids":["sha256:%x"]}}`, sha256.Sum256([]byte("another")))
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,"config":{"mediaType":%q,"digest":"sha256:%x","size":%d},"layers":[{"mediaType":%q,"digest":"sha256:%x","size":%d}]}`,
		ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageConfig, sha256.Sum256(config), len(config), ocispec.MediaTypeImageLayerGzip, sha256.Sum256(layer), len(layer))
	host, b := static(t, ocispec.MediaTypeImageManifest, manifest, config, layer), newBench(t)
	if _, err := b.fetched(host+"/x:1", PullOptions{}); err == nil || !strings.Contains(err.Error(), "wrong diff id") {
		t.Error(err)
	}
	blobs, snaps, ingests := b.left()
	is(t, blobs+snaps+ingests, 0)
}

// authority makes certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key = a.issue("ca", x509.ExtKeyUsageAny)
	return a
}

// issue writes NAME.crt and NAME.key; the first is the authority's own.
func (a *authority) issue(name string, usage x509.ExtKeyUsage) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, ExtKeyUsage: []x509.ExtKeyUsage{usage},
		IsCA: a.cert == nil, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = cert, key
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, parent, &key.PublicKey, signer)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	for file, block := range map[string]*pem.Block{name + ".crt": {Type: "CERTIFICATE", Bytes: der}, name + ".key": {Type: "EC PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(a.dir, file), pem.EncodeToMemory(block), 0o600); err != nil {
			a.t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return parsed, key
}

// TestTLS: Debian's registry with TLS, clients' certificates and passwords, as
// certs.d configures it, with skopeo beside us.
func TestTLS(t *testing.T) {
	a := newAuthority(t)
	a.issue("server", x509.ExtKeyUsageServerAuth)
	a.issue("client", x509.ExtKeyUsageClientAuth)
	file := func(name string) string { return filepath.Join(a.dir, name) }
	r := startRegistryWith(t, true, fmt.Sprintf(", tls: {certificate: %s, key: %s, clientcas: [%s]}", file("server.crt"), file("server.key"), file("ca.crt")))
	certs := filepath.Join(t.TempDir(), "certs.d")
	dir := filepath.Join(certs, r.host)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	copyTo := func(name, as string) {
		t.Helper()
		p, err := os.ReadFile(file(name))
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, as), p, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	copyTo("ca.crt", "ca.crt")
	b := openBench(t, fmt.Sprintf("t%d", namespaceCount.Add(1)), remote.Config{CertsDirs: []string{certs}})
	auth := &registry.AuthConfig{Username: "berth", Password: "secret"}
	b.have(archive.Options{Names: []string{r.host + "/x:1"}, Layers: 1})
	if _, _, err := b.sent(r.host+"/x:1", PushOptions{Auth: auth}); err == nil || !strings.Contains(err.Error(), r.host) || !strings.Contains(err.Error(), "tls: ") {
		t.Errorf("without a certificate of ours: %v", err)
	}
	copyTo("client.crt", "client.cert")
	copyTo("client.key", "client.key")
	if _, _, err := b.sent(r.host+"/x:1", PushOptions{Auth: auth}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.cfg.Registries.Login(b.ctx, registry.AuthConfig{Username: "berth", Password: "secret", ServerAddress: r.host}); err != nil {
		t.Error(err)
	}
	// Another client of the same registry sees what we pushed, and we its push.
	out, err := exec.Command("skopeo", "copy", "--src-creds=berth:secret", "--dest-creds=berth:secret", "--src-cert-dir="+dir, "--dest-cert-dir="+dir,
		"docker://"+r.host+"/x:1", "docker://"+r.host+"/y:2").CombinedOutput()
	if err != nil {
		t.Fatalf("skopeo: %v: %s", err, out)
	}
	if _, err := b.fetched(r.host+"/y:2", PullOptions{Auth: auth}); err != nil {
		t.Error(err)
	}
	if _, err := b.fetched(r.host+"/y:2", PullOptions{}); err == nil || !strings.Contains(err.Error(), "no basic auth credentials") {
		t.Error(err)
	}
}

// TestTLSUnknown: the certificate of a stranger is an error that says so, and where.
func TestTLSUnknown(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	defer server.Close()
	certs := t.TempDir()
	dir := filepath.Join(certs, "registry.test")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts.toml"), []byte(fmt.Sprintf("server = %q\n", server.URL)), 0o600); err != nil {
		t.Fatal(err)
	}
	b := openBench(t, fmt.Sprintf("t%d", namespaceCount.Add(1)), remote.Config{CertsDirs: []string{certs}})
	_, err := b.fetched("registry.test/x:1", PullOptions{})
	for _, want := range []string{"registry.test/x:1", server.URL + "/v2/x/manifests/1", "certificate signed by unknown authority"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// TestLoadBombs: archives that are small and pretend or become to be large.
func TestLoadBombs(t *testing.T) {
	b := newBench(t)
	deep := bytes.Repeat([]byte("["), 3<<20)
	for name, in := range map[string][]byte{
		"deep json":  tarFiles(t, map[string][]byte{"manifest.json": deep}),
		"many names": tarFiles(t, map[string][]byte{"manifest.json": []byte(`[{"Config":"c","RepoTags":[` + strings.Repeat(`"x:1",`, 200000) + `"x:1"],"Layers":[]}]`), "c": []byte(`{}`)}),
		"zeros":      gzipped(t, tarFiles(t, map[string][]byte{"oci-layout": make([]byte, 100<<20)})),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.load(in); !errdefs.IsInvalidArgument(err) {
				t.Error(err)
			}
			blobs, snaps, ingests := b.count()
			is(t, blobs+snaps+ingests, 0)
		})
	}
}

func tarFiles(t *testing.T, files map[string][]byte) []byte {
	t.Helper()
	var out bytes.Buffer
	for name, data := range files {
		// One tar after the other, without the ends but the last.
		one := changes(t, name, string(data))
		out.Write(one[:len(one)-1024])
	}
	_, _ = io.CopyN(&out, zeros{}, 1024)
	return out.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }
