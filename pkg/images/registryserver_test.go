package images

import (
	"archive/tar"
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/hack/sampleimage/archive"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// registryServer is Debian's docker-registry on a loopback port.
type registryServer struct {
	t          *testing.T
	host       string
	user, pass string
}

// htpasswd is user berth, password secret.
const htpasswd = "berth:$2y$05$LoVjIJ3wCPZjiJVl6ibOuO/PaxARlCCsI6YP1mrD3WPc40ba1EQpG\n"

func startRegistry(t *testing.T, auth bool) *registryServer {
	t.Helper()
	return startRegistryWith(t, auth, "")
}

// startRegistryWith adds lines to the http section of the configuration.
func startRegistryWith(t *testing.T, auth bool, section string) *registryServer {
	t.Helper()
	if !auth {
		return startRegistryAs(t, "", section)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, []byte(htpasswd), 0o600); err != nil {
		t.Fatal(err)
	}
	r := startRegistryAs(t, fmt.Sprintf("auth: {htpasswd: {realm: test, path: %s}}\n", file), section)
	r.user, r.pass = "berth", "secret"
	return r
}

// startRegistryAs has the section auth of the configuration and adds to the section
// http.
func startRegistryAs(t *testing.T, auth, section string) *registryServer {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &registryServer{t: t, host: l.Addr().String()}
	l.Close()
	config := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %s}}\nhttp: {addr: %q%s}\n", filepath.Join(dir, "data"), r.host, section) + auth
	if err := os.WriteFile(filepath.Join(dir, "config.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", filepath.Join(dir, "config.yml"))
	log, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v (Debian package docker-registry)", err)
	}
	drained := make(chan struct{})
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-drained
		_ = cmd.Wait()
	})
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "listening on") {
			go func() {
				defer close(drained)
				_, _ = io.Copy(io.Discard, log)
			}()
			return r
		}
	}
	close(drained)
	t.Fatal("docker-registry did not start")
	return nil
}

func (r *registryServer) do(method, url, mediaType string, body []byte) *http.Response {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		r.t.Fatal(err)
	}
	if r.user != "" {
		req.SetBasicAuth(r.user, r.pass)
	}
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode >= 300 {
		r.t.Fatalf("%s %s: %s", method, url, resp.Status)
	}
	return resp
}

func (r *registryServer) blob(repo string, data []byte) {
	r.t.Helper()
	at := r.do(http.MethodPost, "http://"+r.host+"/v2/"+repo+"/blobs/uploads/", "", nil).Header.Get("Location")
	sep := "?"
	if strings.Contains(at, "?") {
		sep = "&"
	}
	r.do(http.MethodPut, at+sep+"digest="+digest.FromBytes(data).String(), "application/octet-stream", data)
}

func (r *registryServer) manifest(repo, tag, mediaType string, data []byte) {
	r.t.Helper()
	r.do(http.MethodPut, "http://"+r.host+"/v2/"+repo+"/manifests/"+tag, mediaType, data)
}

// push pushes a sample image and returns its manifest's descriptor.
func (r *registryServer) push(repo, tag string, o archive.Options) ocispec.Descriptor {
	r.t.Helper()
	data, id := sample(r.t, o)
	blobs := map[string][]byte{}
	for tr := tar.NewReader(bytes.NewReader(data)); ; {
		hdr, err := tr.Next()
		if err != nil {
			break
		}
		if blobs[strings.TrimPrefix(hdr.Name, "blobs/sha256/")], err = io.ReadAll(tr); err != nil {
			r.t.Fatal(err)
		}
	}
	doc := blobs[id.Encoded()]
	var m ocispec.Manifest
	if err := json.Unmarshal(doc, &m); err != nil {
		r.t.Fatal(err)
	}
	for _, d := range append(m.Layers, m.Config) {
		r.blob(repo, blobs[d.Digest.Encoded()])
	}
	r.manifest(repo, tag, m.MediaType, doc)
	p := o.Platform
	if p.OS == "" {
		p = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	}
	return ocispec.Descriptor{MediaType: m.MediaType, Digest: id, Size: int64(len(doc)), Platform: &p}
}

// pushIndex pushes an index of manifests that are there and returns its digest.
func (r *registryServer) pushIndex(repo, tag string, members ...ocispec.Descriptor) digest.Digest {
	r.t.Helper()
	doc, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: members})
	if err != nil {
		r.t.Fatal(err)
	}
	r.manifest(repo, tag, ocispec.MediaTypeImageIndex, doc)
	return digest.FromBytes(doc)
}

// has checks what a tag or digest names.
func (r *registryServer) has(repo, tag string, want digest.Digest) {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodHead, "http://"+r.host+"/v2/"+repo+"/manifests/"+tag, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header["Accept"] = []string{ocispec.MediaTypeImageIndex, ocispec.MediaTypeImageManifest}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	resp.Body.Close()
	if got := resp.Header.Get("Docker-Content-Digest"); got != want.String() {
		r.t.Errorf("%s:%s is %q (%s), want %s", repo, tag, got, resp.Status, want)
	}
}

// layers are those of an image.
func (r *registryServer) layers(repo, tag string) []ocispec.Descriptor {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), http.MethodGet, "http://"+r.host+"/v2/"+repo+"/manifests/"+tag, nil)
	if err != nil {
		r.t.Fatal(err)
	}
	req.Header.Set("Accept", ocispec.MediaTypeImageManifest)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		r.t.Fatal(err)
	}
	defer resp.Body.Close()
	var m ocispec.Manifest
	if err := json.NewDecoder(resp.Body).Decode(&m); err != nil {
		r.t.Fatal(err)
	}
	return m.Layers
}
