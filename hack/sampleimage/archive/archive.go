// Package archive makes small images to demonstrate and test with, on the
// spot and without a registry: BusyBox, its applets as links in /bin, a web
// page, and whatever else is asked for. The same options and the same BusyBox
// always give the same bytes, and so the same image ID.
//
// The archive is both an OCI layout and what docker save writes, so every
// engine loads it.
package archive

import (
	"archive/tar"
	"bytes"
	"cmp"
	_ "crypto/sha256" // for package digest
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/klauspost/compress/gzip"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Options say what image to make; the zero value is a plain BusyBox image
// without a name.
type Options struct {
	Names      []string // "busybox:latest"
	Busybox    string   // path of a static BusyBox; "" is /bin/busybox
	Applets    []string // "" asks BusyBox itself
	Cmd        []string // nil is ["sh"]
	Entrypoint []string
	Env        []string // besides PATH
	Labels     map[string]string
	Expose     []string // "80/tcp"
	Volumes    []string
	User       string
	WorkingDir string
	StopSignal string
	Files      map[string]string // path → content, in the base layer
	Layers     int               // extra layers, each with one file /layers/N
	LayerSize  int               // bytes of each extra layer's file; 0 is a line of text
	Platform   ocispec.Platform  // zero is linux/amd64
}

// epoch is the time of everything in an image.
var epoch = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

const path0 = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// page is what the demonstration's web server answers.
const page = "<!doctype html><title>Berth</title><h1>It runs.</h1>\n"

// Write writes the archive and returns the digest of its manifest, which is
// the image's ID in engines with a containerd image store.
func Write(w io.Writer, o Options) (digest.Digest, error) {
	base, err := baseLayer(o)
	if err != nil {
		return "", err
	}
	layers := []layer{base}
	for i := range o.Layers {
		l, err := extraLayer(i+1, o.LayerSize)
		if err != nil {
			return "", err
		}
		layers = append(layers, l)
	}
	return writeArchive(w, o, layers)
}

// layer is one compressed layer.
type layer struct {
	blob   []byte
	diffID digest.Digest
	step   string // its line in the history
}

// file is one entry of a layer.
type file struct {
	name string // without leading slash; folders end in one
	mode int64
	link string
	data []byte
}

func pack(step string, files []file) (layer, error) {
	var plain, packed bytes.Buffer
	tw := tar.NewWriter(&plain)
	for _, f := range files {
		hdr := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.data)), ModTime: epoch, Typeflag: tar.TypeReg, Format: tar.FormatPAX}
		switch {
		case strings.HasSuffix(f.name, "/"):
			hdr.Typeflag = tar.TypeDir
		case f.link != "":
			hdr.Typeflag, hdr.Linkname = tar.TypeSymlink, f.link
		}
		if err := tw.WriteHeader(hdr); err != nil {
			return layer{}, err
		}
		if _, err := tw.Write(f.data); err != nil {
			return layer{}, err
		}
	}
	if err := tw.Close(); err != nil {
		return layer{}, err
	}
	zw := gzip.NewWriter(&packed)
	if _, err := zw.Write(plain.Bytes()); err != nil {
		return layer{}, err
	}
	if err := zw.Close(); err != nil {
		return layer{}, err
	}
	return layer{blob: packed.Bytes(), diffID: digest.FromBytes(plain.Bytes()), step: step}, nil
}

func baseLayer(o Options) (layer, error) {
	busybox := cmp.Or(o.Busybox, "/bin/busybox")
	program, err := os.ReadFile(busybox)
	if err != nil {
		return layer{}, fmt.Errorf("read BusyBox (Debian package busybox-static): %w", err)
	}
	applets := o.Applets
	if applets == nil {
		out, err := exec.Command(busybox, "--list").Output()
		if err != nil {
			return layer{}, fmt.Errorf("%s --list: %w", busybox, err)
		}
		applets = strings.Fields(string(out))
	}
	files := []file{
		{name: "bin/", mode: 0o755}, {name: "dev/", mode: 0o755}, {name: "etc/", mode: 0o755},
		{name: "home/", mode: 0o755}, {name: "proc/", mode: 0o555}, {name: "root/", mode: 0o700},
		{name: "sys/", mode: 0o555}, {name: "tmp/", mode: 0o1777}, {name: "usr/", mode: 0o755},
		{name: "usr/bin/", mode: 0o755}, {name: "var/", mode: 0o755}, {name: "var/www/", mode: 0o755},
		{name: "bin/busybox", mode: 0o755, data: program},
		{name: "etc/group", mode: 0o644, data: []byte("root:x:0:\ndaemon:x:1:\nwww-data:x:33:\nnogroup:x:65534:\n")},
		{name: "etc/passwd", mode: 0o644, data: []byte("root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\n" +
			"www-data:x:33:33:www-data:/var/www:/bin/false\nnobody:x:65534:65534:nobody:/home:/bin/false\n")},
		{name: "usr/bin/env", mode: 0o777, link: "/bin/busybox"},
		{name: "var/www/index.html", mode: 0o644, data: []byte(page)},
	}
	slices.Sort(applets)
	for _, a := range slices.Compact(applets) {
		if a != "busybox" && !strings.Contains(a, "/") {
			files = append(files, file{name: "bin/" + a, mode: 0o777, link: "/bin/busybox"})
		}
	}
	for name, data := range o.Files {
		files = append(files, file{name: strings.TrimPrefix(path.Clean(name), "/"), mode: 0o644, data: []byte(data)})
	}
	slices.SortStableFunc(files, func(a, b file) int { return cmp.Compare(a.name, b.name) })
	return pack("ADD busybox /", files)
}

// extraLayer is one file whose content cannot be compressed much but is always
// the same.
func extraLayer(n, size int) (layer, error) {
	data := fmt.Appendf(nil, "layer %d\n", n)
	seed := digest.FromBytes(data).Encoded()
	for len(data) < size {
		seed = digest.FromString(seed).Encoded()
		data = append(data, seed...)
	}
	if size > 0 {
		data = data[:size]
	}
	return pack(fmt.Sprintf("ADD layers/%d /layers/", n), []file{
		{name: "layers/", mode: 0o755}, {name: fmt.Sprintf("layers/%d", n), mode: 0o644, data: data},
	})
}

// config is the image's configuration document.
func config(o Options, layers []layer) ocispec.Image {
	p := o.Platform
	if p.OS == "" {
		p = ocispec.Platform{OS: "linux", Architecture: "amd64"}
	}
	at := epoch
	img := ocispec.Image{Created: &at, Platform: p, RootFS: ocispec.RootFS{Type: "layers"}}
	img.Config = ocispec.ImageConfig{
		User: o.User, Env: append([]string{path0}, o.Env...), Entrypoint: o.Entrypoint, Cmd: o.Cmd,
		WorkingDir: o.WorkingDir, Labels: o.Labels, StopSignal: o.StopSignal,
		ExposedPorts: set(o.Expose), Volumes: set(o.Volumes),
	}
	if o.Cmd == nil && o.Entrypoint == nil {
		img.Config.Cmd = []string{"sh"}
	}
	for _, l := range layers {
		img.RootFS.DiffIDs = append(img.RootFS.DiffIDs, l.diffID)
		img.History = append(img.History, ocispec.History{Created: &at, CreatedBy: l.step, Comment: "sampleimage"})
	}
	img.History = append(img.History, ocispec.History{Created: &at, CreatedBy: "CMD " + strings.Join(img.Config.Cmd, " "), EmptyLayer: true})
	return img
}

func set(values []string) map[string]struct{} {
	if len(values) == 0 {
		return nil
	}
	out := map[string]struct{}{}
	for _, v := range values {
		out[v] = struct{}{}
	}
	return out
}

func writeArchive(w io.Writer, o Options, layers []layer) (digest.Digest, error) {
	a := &writer{tw: tar.NewWriter(w), written: map[digest.Digest]bool{}}
	manifest := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest}
	docker := struct {
		Config           string
		RepoTags, Layers []string
	}{RepoTags: []string{}}
	manifest.Config = a.document(ocispec.MediaTypeImageConfig, config(o, layers))
	docker.Config = blobPath(manifest.Config.Digest)
	for _, l := range layers {
		desc := a.blob(ocispec.MediaTypeImageLayerGzip, l.blob)
		manifest.Layers = append(manifest.Layers, desc)
		docker.Layers = append(docker.Layers, blobPath(desc.Digest))
	}
	desc := a.document(ocispec.MediaTypeImageManifest, manifest)
	index := ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageIndex}
	if len(o.Names) == 0 {
		index.Manifests = append(index.Manifests, desc)
	}
	for _, name := range o.Names {
		ref, err := reference.ParseDockerRef(name)
		if err != nil {
			return "", fmt.Errorf("name %q: %w", name, err)
		}
		one := desc
		one.Annotations = map[string]string{"io.containerd.image.name": ref.String()}
		if t, ok := ref.(reference.Tagged); ok {
			one.Annotations[ocispec.AnnotationRefName] = t.Tag()
		}
		index.Manifests = append(index.Manifests, one)
		docker.RepoTags = append(docker.RepoTags, reference.FamiliarString(ref))
	}
	a.json(ocispec.ImageIndexFile, index)
	a.json("manifest.json", []any{docker})
	a.json(ocispec.ImageLayoutFile, ocispec.ImageLayout{Version: ocispec.ImageLayoutVersion})
	if a.err == nil {
		a.err = a.tw.Close()
	}
	return desc.Digest, a.err
}

// writer writes files of the archive and keeps the first error.
type writer struct {
	tw      *tar.Writer
	written map[digest.Digest]bool
	err     error
}

func blobPath(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

func (a *writer) file(name string, data []byte) {
	if a.err == nil {
		a.err = a.tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data)), ModTime: epoch, Typeflag: tar.TypeReg})
	}
	if a.err == nil {
		_, a.err = a.tw.Write(data)
	}
}

func (a *writer) blob(mediaType string, data []byte) ocispec.Descriptor {
	desc := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if !a.written[desc.Digest] {
		a.written[desc.Digest] = true
		a.file(blobPath(desc.Digest), data)
	}
	return desc
}

func (a *writer) document(mediaType string, v any) ocispec.Descriptor {
	p, err := json.Marshal(v)
	if err != nil && a.err == nil {
		a.err = err
	}
	return a.blob(mediaType, p)
}

func (a *writer) json(name string, v any) {
	p, err := json.Marshal(v)
	if err != nil && a.err == nil {
		a.err = err
	}
	a.file(name, p)
}
