package images

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/jsonstream"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// imported imports and returns the status lines.
func (b *bench) imported(body io.Reader, o ImportOptions) (lines []string, err error) {
	err = b.Import(b.ctx, body, o, func(m jsonstream.Message) error {
		if m.Progress == nil {
			lines = append(lines, m.Status)
		}
		return nil
	})
	return lines, err
}

func TestImport(t *testing.T) {
	b := newBench(t)
	data := gzipped(t, changes(t, "etc/hello", "text"))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/fs.tgz" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write(data)
	}))
	defer web.Close()
	arm := ocispec.Platform{OS: "linux", Architecture: "arm64"}
	lines, err := b.imported(bytes.NewReader(data), ImportOptions{Source: "-", Name: "made:1", Platform: &arm, Changes: []string{"CMD [\"sh\"]", "ENV A=b"}})
	if err != nil || len(lines) != 1 {
		t.Fatal(lines, err)
	}
	info, err := b.Inspect(b.ctx, "made:1", catalog.InspectOptions{})
	if err != nil {
		t.Fatal(err)
	}
	is(t, info.ID, lines[0])
	is(t, info.Comment, "Imported from -")
	is(t, info.Architecture, "arm64")
	is(t, strings.Join(info.Config.Cmd, " ")+" "+strings.Join(info.Config.Env, " "), "sh A=b")
	same(t, b.told(), []string{"import " + info.ID + " " + info.ID})
	lines, err = b.imported(strings.NewReader("not read"), ImportOptions{Source: web.URL + "/fs.tgz", Message: "mine"})
	if err != nil || len(lines) != 2 || lines[0] != "Downloading from "+web.URL+"/fs.tgz" {
		t.Fatal(lines, err)
	}
	if info, err = b.Inspect(b.ctx, lines[1], catalog.InspectOptions{}); err != nil || info.Comment != "mine" {
		t.Errorf("%+v, %v", info, err)
	}
	b.told()
	for name, c := range map[string]struct {
		o  ImportOptions
		is func(error) bool
	}{
		"change":   {ImportOptions{Source: "-", Changes: []string{"RUN x"}}, errdefs.IsInvalidArgument},
		"name":     {ImportOptions{Source: "-", Name: "UPPER"}, errdefs.IsInvalidArgument},
		"no tar":   {ImportOptions{Source: "-"}, errdefs.IsInvalidArgument},
		"file":     {ImportOptions{Source: "file:///etc/passwd"}, errdefs.IsInvalidArgument},
		"missing":  {ImportOptions{Source: web.URL + "/x"}, errdefs.IsUnavailable},
		"no route": {ImportOptions{Source: "http://127.0.0.1:1/x"}, errdefs.IsUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := b.imported(strings.NewReader(strings.Repeat("text", 1000)), c.o); !c.is(err) {
				t.Error(err)
			}
		})
	}
	same(t, b.told(), nil)
}

// TestImportOfMisfits has archives that are tar and no file system: what is wrong is the
// client's to know, and nothing of them stays.
func TestImportOfMisfits(t *testing.T) {
	b := newBench(t)
	for name, headers := range map[string][]tar.Header{
		"hard link to none": {{Name: "l", Typeflag: tar.TypeLink, Linkname: "none"}},
		"file as a folder":  {{Name: "f", Typeflag: tar.TypeReg}, {Name: "f/g", Typeflag: tar.TypeReg}},
		"long name":         {{Name: strings.Repeat("n", 300), Typeflag: tar.TypeReg}},
		"link to itself":    {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "l"}, {Name: "l/f", Typeflag: tar.TypeReg}},
		"unknown kind":      {{Name: "x", Typeflag: 'Q'}},
		"whiteout of none":  {{Name: ".wh.", Typeflag: tar.TypeReg}},
		"cut":               {{Name: "f", Typeflag: tar.TypeReg, Size: 4096}},
	} {
		var archive bytes.Buffer
		w := tar.NewWriter(&archive)
		for _, h := range headers {
			h.Mode = 0o644
			if err := w.WriteHeader(&h); err != nil {
				t.Fatal(err)
			}
		}
		if name == "cut" {
			archive.Write(make([]byte, 100))
		} else if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if lines, err := b.imported(&archive, ImportOptions{Source: "-", Name: "misfit"}); !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), "invalid layer: ") {
			t.Errorf("%s: %q, %v", name, lines, err)
		}
	}
	if _, err := b.Inspect(b.ctx, "misfit", catalog.InspectOptions{}); !errdefs.IsNotFound(err) {
		t.Errorf("there is an image: %v", err)
	}
}
