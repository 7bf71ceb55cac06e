package files_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/logs/files"
	"github.com/berth-engine/berth/pkg/logs/jsonfile"
	"github.com/berth-engine/berth/pkg/logs/local"
	"github.com/berth-engine/berth/pkg/logs/record"
	"github.com/berth-engine/berth/pkg/logs/split"
)

var at = time.Date(2026, 2, 3, 4, 5, 6, 789000000, time.UTC)

// kind is a driver that keeps files; every test here holds for each.
type kind struct {
	name string
	open func(path string, opts, attrs map[string]string) (*files.Writer, error)
	read func(ctx context.Context, path string, o record.ReadOptions, each func(*record.Message) error) error
}

var kinds = []kind{{"json-file", jsonfile.Open, jsonfile.Read}, {"local", local.Open, local.Read}}

// each runs test for each kind.
func each(t *testing.T, test func(t *testing.T, k kind)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { test(t, k) })
	}
}

// driver is a writer as package logs uses it.
type driver struct {
	*files.Writer
	split *split.Splitter
}

func (d *driver) Write(source string, t time.Time, p []byte) error {
	d.split.Write(source, t, p)
	return d.Flush()
}

func (k kind) create(t testing.TB, path string, opts map[string]string) *driver {
	t.Helper()
	w, err := k.open(path, opts, nil)
	if err != nil {
		t.Fatal(err)
	}
	return &driver{w, split.New(w.Add)}
}

func contents(t testing.TB, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatal(err)
		}
	}
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// unbounded are options of a log that is not rotated.
var unbounded = map[string]map[string]string{
	"json-file": {"max-size": "-1"},
	"local":     {"max-size": "1g"},
}

// TestRotation: files of two entries.
func TestRotation(t *testing.T) {
	size := map[string]string{"json-file": "100", "local": "40"}
	each(t, func(t *testing.T, k kind) {
		for name, c := range map[string]struct {
			opts map[string]string
			want map[string]string // file → its lines
		}{
			"one file":   {map[string]string{"compress": "false", "max-file": "1"}, map[string]string{"": "08 09"}},
			"three":      {map[string]string{"compress": "false", "max-file": "3"}, map[string]string{"": "08 09", ".1": "06 07", ".2": "04 05"}},
			"compressed": {map[string]string{"compress": "true", "max-file": "3"}, map[string]string{"": "08 09", ".1.gz": "06 07", ".2.gz": "04 05"}},
		} {
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				path := filepath.Join(dir, "x.log")
				c.opts["max-size"] = size[k.name]
				d := k.create(t, path, c.opts)
				for i := range 10 {
					if err := d.Write("stdout", at, fmt.Appendf(nil, "%02d\n", i)); err != nil {
						t.Fatal(err)
					}
					d.AwaitPacked() // so that no rotation is put off
				}
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				for ext, lines := range c.want {
					part := filepath.Join(t.TempDir(), "part")
					if err := os.WriteFile(part, []byte(contents(t, path+ext)), 0o600); err != nil {
						t.Fatal(err)
					}
					if got := strings.Join(k.readAll(t, part, everything), " "); got != lines {
						t.Errorf("%s: %s, want %s", ext, got, lines)
					}
				}
				if e, _ := os.ReadDir(dir); len(e) != len(c.want) {
					t.Errorf("left: %v", e)
				}
			})
		}
	})
}

// TestRotationInsideABatch: one write that fills several files.
func TestRotationInsideABatch(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		path := filepath.Join(t.TempDir(), "x.log")
		d := k.create(t, path, map[string]string{"max-size": "1k", "max-file": "1000", "compress": "false"})
		var in bytes.Buffer
		for i := range 1000 {
			fmt.Fprintf(&in, "%d\n", i)
		}
		if err := d.Write("stdout", at, in.Bytes()); err != nil {
			t.Fatal(err)
		}
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(path + ".1"); err != nil || fi.Size() < 1000 || fi.Size() > 1100 {
			t.Fatal(fi, err)
		}
		k.expect(t, path, 0, 1000)
	})
}

// TestTornEntryIsCutOff: at every byte of an entry.
func TestTornEntryIsCutOff(t *testing.T) {
	each(t, func(t *testing.T, k kind) {
		path := filepath.Join(t.TempDir(), "x.log")
		d := k.create(t, path, nil)
		_ = d.Write("stdout", at, []byte("0\n"))
		_ = d.Close()
		one := contents(t, path)
		for n := 1; n < len(one); n++ {
			if err := os.WriteFile(path, []byte(one+one[:n]), 0o600); err != nil {
				t.Fatal(err)
			}
			k.expect(t, path, 0, 1)
			d = k.create(t, path, nil)
			_ = d.Write("stdout", at, []byte("1\n"))
			_ = d.Close()
			k.expect(t, path, 0, 2)
			if got := contents(t, path); len(got) != 2*len(one) {
				t.Fatalf("cut after %d bytes: %q", n, got)
			}
		}
	})
}

// TestFullDisk fills a real, small filesystem, frees it, and looks for torn lines.
func TestFullDisk(t *testing.T) {
	each(t, fullDisk)
}

func fullDisk(t *testing.T, k kind) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	}()
	path, ballast := filepath.Join(dir, "x.log"), filepath.Join(dir, "ballast")
	d := k.create(t, path, nil)
	if err := d.Write("stdout", at, []byte("0\n")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ballast, make([]byte, 48<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	batch := bytes.Repeat([]byte("-1\n"), 1000) // 20 KiB on disk at least: the first does not fit
	var said int
	for range 5 {
		if err := d.Write("stdout", at, batch); err != nil {
			said++
		}
	}
	if said != 1 || d.Lost() == 0 {
		t.Errorf("said %d times, %d lost", said, d.Lost())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := d.Write("stdout", at, []byte("1\n")); err != nil || d.Lost() != 0 {
		t.Error("did not recover:", err, d.Lost())
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	lines := k.readAll(t, path, everything)
	for i, l := range lines[1 : len(lines)-1] {
		if l != "-1" {
			t.Fatalf("line %d is torn: %q", i+1, l)
		}
	}
	if lines[0] != "0" || lines[len(lines)-1] != "1" {
		t.Error("lines:", lines[0], lines[len(lines)-1])
	}
}

var benchLines = bytes.Repeat([]byte(strings.Repeat("x", 30)+"\t\""+strings.Repeat("y", 32)+"\n"), 32<<10/65)

// BenchmarkWrite: MB/s of what the container writes; the target is 25 ms/MiB = 42 MB/s.
func BenchmarkWrite(b *testing.B) {
	for _, k := range kinds {
		b.Run(k.name, func(b *testing.B) {
			d := k.create(b, filepath.Join(b.TempDir(), "x.log"), nil)
			defer d.Close()
			b.SetBytes(int64(len(benchLines)))
			for b.Loop() {
				if err := d.Write("stdout", at, benchLines); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
