package integration

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// richImage writes an OCI layout, as a tar, of an image whose documents say all that
// an image can say: an index of a manifest, for this host, and of its attestation.
func richImage(t *testing.T, name string) (file string) {
	t.Helper()
	l := layout{t, map[string][]byte{"oci-layout": []byte(`{"imageLayoutVersion":"1.0.0"}`)}}
	content := l.tar(map[string][]byte{"etc/motd": []byte("rich\n")})
	layer := l.add(ocispec.MediaTypeImageLayer, content)
	created := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	platform := ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	config := dockerspec.DockerOCIImage{Image: ocispec.Image{
		Created: &created, Author: "me", Platform: platform,
		RootFS:  ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(content)}},
		History: []ocispec.History{{Created: &created, CreatedBy: "a test", Author: "me", Comment: "all of it"}},
	}}
	config.Config = dockerspec.DockerOCIImageConfig{
		ImageConfig: ocispec.ImageConfig{
			User: "1:1", ExposedPorts: map[string]struct{}{"80/tcp": {}}, Env: []string{"A=1"}, Entrypoint: []string{"/bin/x"}, Cmd: []string{"y"},
			Volumes: map[string]struct{}{"/v": {}}, WorkingDir: "/w", Labels: map[string]string{"a": "b"}, StopSignal: "SIGINT",
			ArgsEscaped: true, //nolint:staticcheck // old images still say it
		},
		DockerOCIImageConfigExt: dockerspec.DockerOCIImageConfigExt{
			Healthcheck: &dockerspec.HealthcheckConfig{Test: []string{"CMD", "true"}, Interval: time.Second, Timeout: time.Second, StartPeriod: time.Second, StartInterval: time.Second, Retries: 3},
			OnBuild:     []string{"RUN true"}, Shell: []string{"/bin/sh"},
		},
	}
	image := func(p ocispec.Platform) ocispec.Descriptor {
		config.Platform = p
		d := l.add(ocispec.MediaTypeImageManifest, l.json(ocispec.Manifest{
			Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
			Config: l.add(ocispec.MediaTypeImageConfig, l.json(config)), Layers: []ocispec.Descriptor{layer},
		}))
		d.Platform, d.Annotations = &p, map[string]string{"a": "b"}
		d.ArtifactType, d.URLs = "application/vnd.test", []string{"https://example.org/x"}
		return d
	}
	manifest := image(platform)
	other := image(ocispec.Platform{OS: "linux", Architecture: "arm", Variant: "v6", OSVersion: "6.1", OSFeatures: []string{"neon"}})
	const predicate = "https://slsa.dev/provenance/v1"
	statement := l.add("application/vnd.in-toto+json", []byte(`{"_type":"https://in-toto.io/Statement/v0.1","predicateType":"`+predicate+`"}`))
	statement.Annotations = map[string]string{"in-toto.io/predicate-type": predicate}
	attestation := l.add(ocispec.MediaTypeImageManifest, l.json(ocispec.Manifest{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest,
		Config: l.add(ocispec.MediaTypeImageConfig, []byte(`{"rootfs":{"type":"layers"}}`)), Layers: []ocispec.Descriptor{statement},
	}))
	attestation.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	attestation.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": manifest.Digest.String()}
	index := l.add(ocispec.MediaTypeImageIndex, l.json(ocispec.Index{
		Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex, Manifests: []ocispec.Descriptor{manifest, other, attestation},
	}))
	index.Annotations = map[string]string{"io.containerd.image.name": name}
	l.files["index.json"] = l.json(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{index}})
	file = filepath.Join(t.TempDir(), "rich.tar")
	if err := os.WriteFile(file, l.tar(l.files), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// layout is an OCI layout in the making.
type layout struct {
	t     *testing.T
	files map[string][]byte
}

func (l layout) add(media string, b []byte) ocispec.Descriptor {
	d := digest.FromBytes(b)
	l.files["blobs/sha256/"+d.Encoded()] = b
	return ocispec.Descriptor{MediaType: media, Digest: d, Size: int64(len(b))}
}

func (l layout) json(v any) []byte {
	l.t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return b
}

func (l layout) tar(files map[string][]byte) []byte {
	l.t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for name, content := range files {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(content)), Format: tar.FormatPAX}); err != nil {
			l.t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			l.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		l.t.Fatal(err)
	}
	return b.Bytes()
}
