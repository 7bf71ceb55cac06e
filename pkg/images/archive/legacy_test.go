package archive

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/decompress/compressors"
	"github.com/berth-engine/berth/pkg/images/blob"
	"github.com/containerd/errdefs"
)

const (
	idA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	idB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
)

// packed is a tar of files by name.
func packed(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := w.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, files[name]); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

// v1 is an archive as docker 1.9 wrote it.
func v1(t testing.TB) map[string]string {
	return map[string]string{
		"repositories":     fmt.Sprintf(`{"busybox":{"latest":%q,"1":%q},"example.org/base":{"v":%q}}`, idB, idB, idA),
		idA + "/VERSION":   "1.0",
		idA + "/json":      fmt.Sprintf(`{"id":%q,"created":"2014-01-01T00:00:00Z","architecture":"amd64","os":"linux","container_config":{"Cmd":["/bin/sh","-c","#(nop) ADD"]}}`, idA),
		idA + "/layer.tar": string(tarOf(t, "lower")),
		idB + "/VERSION":   "1.0",
		idB + "/json": fmt.Sprintf(`{"id":%q,"parent":%q,"created":"2014-01-02T00:00:00Z","author":"me","architecture":"amd64","os":"linux",
			"config":{"Cmd":["sh"],"Env":["A=b"]},"container_config":{"Cmd":["touch","x"]}}`, idB, idA),
		idB + "/layer.tar": string(tarOf(t, "upper")),
	}
}

func TestV1(t *testing.T) {
	store := emptyStore(t)
	watched := map[string]int64{}
	files := v1(t)
	files[idB+"/layer.tar"] = string(tarOf(t, strings.Repeat("x", 1<<20)))
	got, err := Read(t.Context(), store, bytes.NewReader(packed(t, files)), func(id string, size int64, r io.Reader) io.Reader {
		watched[id] = size
		return r
	})
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, img := range got {
		names = append(names, img.Name)
	}
	if want := "docker.io/library/busybox:1 docker.io/library/busybox:latest example.org/base:v"; strings.Join(names, " ") != want {
		t.Errorf("names %v", names)
	}
	if len(watched) != 1 || watched[idB[:12]] == 0 {
		t.Errorf("watched %v", watched)
	}
	children, err := blob.Children(t.Context(), store, got[0].Target)
	if err != nil || len(children) != 3 {
		t.Fatal(children, err)
	}
	img, err := blob.Config(t.Context(), store, children[0])
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%v %v %s %s %d %s", img.Config.Cmd, img.Config.Env, img.Author, img.Architecture, len(img.RootFS.DiffIDs), img.History[1].CreatedBy) != "[sh] [A=b] me amd64 2 touch x" {
		t.Errorf("%+v", img)
	}
}

func TestV1Bad(t *testing.T) {
	for name, change := range map[string]func(map[string]string){
		"no layer":   func(f map[string]string) { delete(f, idA+"/layer.tar") },
		"no json":    func(f map[string]string) { delete(f, idA+"/json") },
		"circle":     func(f map[string]string) { f[idA+"/json"] = fmt.Sprintf(`{"parent":%q}`, idB) },
		"outside":    func(f map[string]string) { f[idA+"/json"] = `{"parent":"../../etc"}` },
		"no id":      func(f map[string]string) { f["repositories"] = `{"x":{"latest":""}}` },
		"bad name":   func(f map[string]string) { f["repositories"] = fmt.Sprintf(`{"X":{"latest":%q}}`, idA) },
		"empty":      func(f map[string]string) { f["repositories"] = `{}` },
		"list":       func(f map[string]string) { f["repositories"] = `[]` },
		"json list":  func(f map[string]string) { f[idA+"/json"] = `[]` },
		"compressed": func(f map[string]string) { f[idA+"/layer.tar"] = string(compressors.Pipe(t, tarOf(t, "x"), "gzip")) },
		"huge json":  func(f map[string]string) { f[idA+"/json"] = `{"id":"` + strings.Repeat("x", blob.MaxConfig) + `"}` },
	} {
		t.Run(name, func(t *testing.T) {
			files := v1(t)
			change(files)
			_, err := Read(t.Context(), emptyStore(t), bytes.NewReader(packed(t, files)), nil)
			if !errdefs.IsInvalidArgument(err) {
				t.Error(err)
			}
		})
	}
}
