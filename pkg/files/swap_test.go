package files

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// swapper exchanges a folder, a file and links to the outside as fast as it can, as
// a container does that wants its host's files (CVE-2018-15664).
func swapper(t *testing.T, tree, outside string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(tree, name) }
	check(t, os.MkdirAll(at("d/sub"), 0o755), os.WriteFile(at("d/f"), []byte("inside"), 0o644), os.WriteFile(at("f"), []byte("inside"), 0o644),
		os.Symlink(outside, at("d-link")), os.Symlink(filepath.Join(outside, "f"), at("f-link")), os.Symlink("../../../../../.."+outside, at("climb")),
		unix.Mkfifo(at("fifo"), 0o644))
	stop := make(chan struct{})
	var running sync.WaitGroup
	for _, pair := range [][2]string{{"d", "d-link"}, {"f", "f-link"}, {"d", "climb"}, {"f", "fifo"}} {
		running.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, at(pair[0]), unix.AT_FDCWD, at(pair[1]), unix.RENAME_EXCHANGE)
				}
			}
		})
	}
	t.Cleanup(func() { close(stop); running.Wait() })
}

// rounds is how often each operation meets the swapper: enough for thousands of
// exchanges in the middle of one.
const rounds = 100

func TestSwappedWhilePacking(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	check(t, os.WriteFile(filepath.Join(outside, "f"), []byte("secret"), 0o644), os.Mkdir(filepath.Join(outside, "sub"), 0o755))
	swapper(t, dir, outside)
	tree := open(t, dir)
	for range rounds {
		for _, name := range []string{"/", "/d", "/d/f", "/f", "/d/", "/climb/f"} {
			var b bytes.Buffer
			if err := tree.Pack(t.Context(), &b, name, "x", PackOptions{}); err != nil {
				continue // it may be a file just then
			}
			for in := tar.NewReader(&b); ; {
				h, err := in.Next()
				if errors.Is(err, io.EOF) {
					break
				}
				check(t, err)
				if content, err := io.ReadAll(in); err != nil || string(content) == "secret" {
					t.Fatalf("%s: %s has %q, %v", name, h.Name, content, err)
				}
			}
		}
	}
}

func TestSwappedWhileUnpacking(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	check(t, os.WriteFile(filepath.Join(outside, "f"), []byte("secret"), 0o644), os.Mkdir(filepath.Join(outside, "sub"), 0o755))
	before := describe(t, outside, true)
	swapper(t, dir, outside)
	tree := open(t, dir)
	stream := archive(t, folder("d"), file("d/f", "new"), file("d/sub/x", "new"), link(tar.TypeLink, "d/h", "f"), file("f", "new"), link(tar.TypeSymlink, "d/l", "x"), folder("d")).Bytes()
	for range rounds {
		for _, name := range []string{"/", "/d", "/climb"} {
			_ = tree.Unpack(t.Context(), bytes.NewReader(stream), name, UnpackOptions{Owner: &Owner{9, 9}})
		}
	}
	compare(t, describe(t, outside, true), before)
}
