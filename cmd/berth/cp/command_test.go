package cp

import (
	"errors"
	"testing"

	"github.com/moby/go-archive"
)

func TestSplit(t *testing.T) {
	for arg, want := range map[string][2]string{
		"box:/a": {"box", "/a"}, "box:a:b": {"box", "a:b"}, "/a:b": {"", "/a:b"}, "./a:b": {"", "./a:b"}, "../a:b": {"", "../a:b"}, "a": {"", "a"}, "-": {"", "-"}, ":a": {"", "a"},
	} {
		if container, path := split(arg); container != want[0] || path != want[1] {
			t.Errorf("%s: %q, %q", arg, container, path)
		}
	}
}

func TestPlace(t *testing.T) {
	file, folder, content := archive.CopyInfo{Path: "/s/f", Exists: true}, archive.CopyInfo{Path: "/s/d", Exists: true, IsDir: true}, archive.CopyInfo{Path: "/s/d/.", Exists: true, IsDir: true}
	renamed := archive.CopyInfo{Path: "/s/target", Exists: true, RebaseName: "link"}
	for _, c := range []struct {
		source    archive.CopyInfo
		to        archive.CopyInfo
		dir, name string
		err       error
	}{
		{file, archive.CopyInfo{Path: "/t/x"}, "/t", "x", nil},
		{file, archive.CopyInfo{Path: "/t/x", Exists: true}, "/t", "x", nil},
		{file, archive.CopyInfo{Path: "/t/x", Exists: true, IsDir: true}, "/t/x", "f", nil},
		{file, archive.CopyInfo{Path: "/t/x/"}, "", "", archive.ErrDirNotExists},
		{file, archive.CopyInfo{Path: "/t/x/."}, "", "", archive.ErrDirNotExists},
		{renamed, archive.CopyInfo{Path: "/t/x", Exists: true, IsDir: true}, "/t/x", "link", nil},
		{renamed, archive.CopyInfo{Path: "/t/x"}, "/t", "x", nil},
		{folder, archive.CopyInfo{Path: "/t/x"}, "/t", "x", nil},
		{folder, archive.CopyInfo{Path: "/t/x/"}, "/t", "x", nil},
		{folder, archive.CopyInfo{Path: "/t/x", Exists: true}, "", "", archive.ErrCannotCopyDir},
		{folder, archive.CopyInfo{Path: "/t/x", Exists: true, IsDir: true}, "/t/x", "d", nil},
		{content, archive.CopyInfo{Path: "/t/x", Exists: true, IsDir: true}, "/t/x", ".", nil},
		{content, archive.CopyInfo{Path: "/t/x"}, "/t", "x", nil},
	} {
		dir, name, err := place(c.source, c.to)
		if !errors.Is(err, c.err) || err == nil && (dir != c.dir || name != c.name) {
			t.Errorf("%v to %v: %q, %q, %v", c.source, c.to, dir, name, err)
		}
	}
}

func TestRenamer(t *testing.T) {
	if renamer("a", "a") != nil {
		t.Error("the same name is another one")
	}
	for _, c := range [][4]string{
		{"a", "b", "a", "b"}, {"a", "b", "a/c", "b/c"}, {"a", "b", "a/", "b/"}, {"a", "b", "ab", "ab"}, {"a", "b", "x/a", "x/a"},
		{".", "b", "./", "b/"}, {".", "b", "./c", "b/c"}, {"/", "b", "/", "b/"}, {"/", "b", "/etc/x", "b/etc/x"},
	} {
		if got := renamer(c[0], c[1])(c[2]); got != c[3] {
			t.Errorf("%s as %s: %s becomes %s, want %s", c[0], c[1], c[2], got, c[3])
		}
	}
}
