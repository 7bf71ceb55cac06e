package files

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// layered is an overlay whose lower folder is filled by image, and what is done in
// it by change.
func layered(t *testing.T, image, change func(at func(string) string)) *Comparison {
	t.Helper()
	base := t.TempDir()
	dir := func(name string) string { return filepath.Join(base, name) }
	for _, name := range []string{"lower", "upper", "work", "merged"} {
		check(t, os.Mkdir(dir(name), 0o755))
	}
	in := func(root string) func(string) string {
		return func(name string) string { return filepath.Join(dir(root), name) }
	}
	image(in("lower"))
	options := fmt.Sprintf("lowerdir=%s,upperdir=%s,workdir=%s,redirect_dir=on", dir("lower"), dir("upper"), dir("work"))
	check(t, unix.Mount("overlay", dir("merged"), "overlay", 0, options))
	t.Cleanup(func() { check(t, unix.Unmount(dir("merged"), unix.MNT_DETACH)) })
	change(in("merged"))
	merged, err := os.OpenFile(dir("merged"), unix.O_PATH|unix.O_DIRECTORY, 0)
	check(t, err)
	tree := NewTree(merged)
	t.Cleanup(func() { tree.Close() })
	return &Comparison{
		Merged: tree, Lower: open(t, dir("lower")), Upper: open(t, dir("upper")),
		Hidden: func(name string, _ fs.FileMode, _ int64) bool { return name == "/.dockerenv" || name == "/dev" },
	}
}

func image(at func(string) string) {
	for _, name := range []string{"etc", "usr/lib", "var/log", "gone/deep", "again", "moved/in", "kept"} {
		if err := os.MkdirAll(at(name), 0o755); err != nil {
			panic(err)
		}
	}
	for _, name := range []string{"etc/passwd", "etc/group", "usr/lib/a", "var/log/x", "gone/deep/f", "again/old", "again/same", "moved/in/f", "kept/f", "file"} {
		if err := os.WriteFile(at(name), []byte(name), 0o644); err != nil {
			panic(err)
		}
	}
}

func changes(t *testing.T) func(at func(string) string) {
	return func(at func(string) string) {
		touched, err := os.OpenFile(at("kept/f"), os.O_RDWR, 0) // copied up and not changed
		check(t, err, touched.Close())
		check(t,
			os.WriteFile(at("etc/passwd"), []byte("changed"), 0o644),
			os.Remove(at("etc/group")),
			os.MkdirAll(at("new/dir"), 0o755), os.WriteFile(at("new/dir/f"), []byte("1"), 0o600), os.Link(at("new/dir/f"), at("new/g")),
			os.Symlink("/etc/passwd", at("new/l")), unix.Setxattr(at("new/dir/f"), "user.note", []byte("x"), 0),
			os.RemoveAll(at("gone")),
			os.RemoveAll(at("again")), os.Mkdir(at("again"), 0o755), os.WriteFile(at("again/new"), []byte("new"), 0o644),
			os.Rename(at("moved"), at("there")),
			os.Chmod(at("usr/lib"), 0o700),
			os.Remove(at("file")), os.Mkdir(at("file"), 0o755), os.WriteFile(at("file/in"), nil, 0o644),
			os.WriteFile(at(".dockerenv"), nil, 0o755), os.Mkdir(at("dev"), 0o755), os.WriteFile(at("dev/mine"), nil, 0o644),
		)
	}
}

const wanted = `C /again
A /again/new
D /again/old
D /again/same
A /dev
A /dev/mine
C /etc
D /etc/group
C /etc/passwd
C /file
A /file/in
D /gone
D /moved
A /new
A /new/dir
A /new/dir/f
A /new/g
A /new/l
A /there
A /there/in
A /there/in/f
C /usr
C /usr/lib
`

func list(t *testing.T, c *Comparison) string {
	t.Helper()
	all, err := c.List(t.Context())
	check(t, err)
	var b strings.Builder
	for _, c := range all {
		fmt.Fprintf(&b, "%c %s\n", "CAD"[c.Kind], c.Path)
	}
	return b.String()
}

// Looking at the upper folder and comparing everything tell the same.
func TestChanges(t *testing.T) {
	c := layered(t, image, changes(t))
	if got := list(t, c); got != wanted {
		t.Errorf("by the upper folder:\n%s", got)
	}
	c.Upper = nil
	if got := list(t, c); got != wanted {
		t.Errorf("by comparison:\n%s", got)
	}
	c.Lower = nil
	if got := list(t, c); strings.Contains(got, "D ") || strings.Contains(got, "C ") || !strings.Contains(got, "A /etc/passwd\n") {
		t.Errorf("without an image:\n%s", got)
	}
	unchanged := layered(t, image, func(at func(string) string) { check(t, os.WriteFile(at(".dockerenv"), nil, 0o755)) })
	if got := list(t, unchanged); got != "" {
		t.Errorf("nothing changed:\n%s", got)
	}
}

// A layer holds the changes and nothing else.
func TestLayer(t *testing.T) {
	c := layered(t, image, changes(t))
	for _, test := range []struct{ name, want string }{
		{"upper", "again/ again/.wh..wh..opq again/new dev/ dev/mine etc/ etc/.wh.group etc/passwd file/ file/in .wh.gone .wh.moved " +
			"new/ new/dir/ new/dir/f new/g=new/dir/f new/l there/ there/in/ there/in/f usr/ usr/lib/"},
		{"all", "again/ again/new again/.wh.old again/.wh.same dev/ dev/mine etc/ etc/.wh.group etc/passwd file/ file/in .wh.gone .wh.moved " +
			"new/ new/dir/ new/dir/f new/g=new/dir/f new/l there/ there/in/ there/in/f usr/ usr/lib/"},
	} {
		if test.name == "all" {
			c.Upper = nil
		}
		var b bytes.Buffer
		check(t, c.Layer(t.Context(), &b))
		var got []string
		for in := tar.NewReader(&b); ; {
			h, err := in.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			check(t, err)
			entry := h.Name
			if h.Typeflag == tar.TypeLink {
				entry += "=" + h.Linkname
			}
			got = append(got, entry)
			if h.Name == "new/dir/f" && h.PAXRecords["SCHILY.xattr.user.note"] != "x" {
				t.Errorf("%s: %v", h.Name, h.PAXRecords)
			}
		}
		if strings.Join(got, " ") != test.want {
			t.Errorf("%s:\n got %s\nwant %s", test.name, strings.Join(got, " "), test.want)
		}
	}
}
