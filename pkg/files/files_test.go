package files

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"
)

func check(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

func open(t *testing.T, dir string) *Tree {
	t.Helper()
	tree, err := OpenTree(dir)
	check(t, err)
	t.Cleanup(func() { tree.Close() })
	return tree
}

// fill makes one of each kind of file.
func fill(t *testing.T, dir string) {
	t.Helper()
	at := func(name string) string { return filepath.Join(dir, name) }
	check(t,
		os.Chmod(dir, 0o750),
		os.MkdirAll(at("d/empty"), 0o755), os.Chmod(at("d"), 0o2711), os.Chown(at("d"), 7, 8),
		os.WriteFile(at("d/f"), []byte("content"), 0o600), os.Lchown(at("d/f"), 1000, 1001), os.Chmod(at("d/f"), 0o4751),
		unix.Lsetxattr(at("d/f"), "user.note", []byte("a\x00b"), 0),
		unix.Lsetxattr(at("d/f"), "security.capability", capability, 0),
		os.Link(at("d/f"), at("z")),
		os.Symlink("/etc/passwd", at("absolute")), os.Lchown(at("absolute"), 5, 6), os.Symlink("../..", at("d/up")),
		unix.Mkfifo(at("fifo"), 0o640), unix.Mknod(at("null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))),
		os.WriteFile(at("empty"), nil, 0o644),
		os.WriteFile(at(strings.Repeat("n", 200)), []byte("long"), 0o644),
		os.WriteFile(at("\xff nö\n"), []byte("odd"), 0o644),
	)
	f, err := os.Create(at("sparse"))
	check(t, err)
	_, err = f.WriteAt([]byte("in the middle"), 10<<20)
	check(t, err, f.Truncate(20<<20), f.Close())
	old := unix.Timespec{Sec: 1e9, Nsec: 123456789}
	for _, name := range []string{"d/f", "absolute", "d/empty", "d", "."} {
		check(t, unix.UtimesNanoAt(unix.AT_FDCWD, at(name), []unix.Timespec{old, old}, unix.AT_SYMLINK_NOFOLLOW))
	}
}

// cap_net_raw=ep
var capability = []byte{1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}

// describe tells of a tree what a copy has to have.
func describe(t *testing.T, dir string, exact bool) map[string]string {
	t.Helper()
	out := map[string]string{}
	inodes := map[uint64]string{}
	check(t, filepath.WalkDir(dir, func(p string, _ fs.DirEntry, err error) error {
		check(t, err)
		rel, _ := filepath.Rel(dir, p)
		var st unix.Stat_t
		check(t, unix.Lstat(p, &st))
		s := fmt.Sprintf("mode=%o owner=%d:%d rdev=%x", st.Mode, st.Uid, st.Gid, st.Rdev)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			content, err := os.ReadFile(p)
			check(t, err)
			s += fmt.Sprintf(" content=%x", content[:min(len(content), 16)])
			s += fmt.Sprintf(" zeros=%d", bytes.Count(content, []byte{0}))
			if first, ok := inodes[st.Ino]; ok {
				s += " link=" + first
			}
			inodes[st.Ino] = rel
			if exact {
				s += fmt.Sprintf(" holes=%v", st.Blocks*512 < st.Size)
			}
		case unix.S_IFLNK:
			target, err := os.Readlink(p)
			check(t, err)
			s += " target=" + target
		}
		var x xattrs
		var attributes []string
		check(t, x.each(place{path: p}, func(name string, value []byte) error {
			attributes = append(attributes, fmt.Sprintf(" %s=%x", name, value))
			return nil
		}))
		slices.Sort(attributes) // the kernel lists them in the order of their making
		s += strings.Join(attributes, "")
		if exact || rel != "." {
			s += fmt.Sprintf(" mtime=%d", st.Mtim.Sec)
		}
		if exact {
			s += fmt.Sprintf(".%d", st.Mtim.Nsec)
		}
		out[rel] = s
		return nil
	}))
	return out
}

func compare(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, k := range slices.Sorted(maps.Keys(want)) {
		if got[k] != want[k] {
			t.Errorf("%q:\n got %s\nwant %s", k, got[k], want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("%q is new", k)
		}
	}
}

func TestPackUnpack(t *testing.T) {
	for _, exact := range []bool{false, true} {
		t.Run(fmt.Sprintf("exact=%v", exact), func(t *testing.T) {
			src, dst := t.TempDir(), t.TempDir()
			fill(t, src)
			check(t, os.Chmod(dst, 0o750))
			var stream bytes.Buffer
			check(t, open(t, src).Pack(t.Context(), &stream, "/", ".", PackOptions{Exact: exact}))
			if exact && stream.Len() > 1<<20 {
				t.Errorf("the stream of a sparse file has %d bytes", stream.Len())
			}
			check(t, open(t, dst).Unpack(t.Context(), &stream, "/", UnpackOptions{Exact: exact}))
			compare(t, describe(t, dst, exact), describe(t, src, exact))
		})
	}
}

// GNU tar and we read what the other writes.
func TestOtherTar(t *testing.T) {
	for _, format := range []string{"pax", "gnu"} {
		t.Run("from "+format, func(t *testing.T) {
			src, dst := t.TempDir(), t.TempDir()
			fill(t, src)
			check(t, os.Remove(filepath.Join(src, "\xff nö\n"))) // GNU tar and PAX differ on names that are no UTF-8
			c := exec.Command("tar", "--format="+format, "--sparse", "-C", src, "-cf", "-", ".")
			stream, err := c.Output()
			check(t, err)
			check(t, open(t, dst).Unpack(t.Context(), bytes.NewReader(stream), "/", UnpackOptions{Exact: true}))
			want := describe(t, src, false)
			for k, v := range want {
				want[k], _, _ = strings.Cut(v, " security.") // these tar leaves out
				want[k], _, _ = strings.Cut(want[k], " user.")
				want[k], _, _ = strings.Cut(want[k], " mtime=")
			}
			got := describe(t, dst, false)
			for k, v := range got {
				got[k], _, _ = strings.Cut(v, " mtime=")
			}
			compare(t, got, want)
		})
	}
	t.Run("to", func(t *testing.T) {
		src, dst := t.TempDir(), t.TempDir()
		fill(t, src)
		check(t, os.Remove(filepath.Join(src, "\xff nö\n")))
		var stream bytes.Buffer
		check(t, open(t, src).Pack(t.Context(), &stream, "/", ".", PackOptions{Exact: true}))
		c := exec.Command("tar", "--xattrs", "--xattrs-include=*", "-C", dst, "-xpf", "-")
		c.Stdin = &stream
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		compare(t, describe(t, dst, true), describe(t, src, true))
	})
}

// What is at a name, and what the stream calls it.
func TestPackNames(t *testing.T) {
	src := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(src, "a/b"), 0o755), os.WriteFile(filepath.Join(src, "a/f"), []byte("x"), 0o644), os.Symlink("a", filepath.Join(src, "l")))
	tree := open(t, src)
	for _, c := range []struct{ name, as, want string }{
		{"/a", "a", "a/ a/b/ a/f"},
		{"/a/.", ".", "./ ./b/ ./f"},
		{"/", "/", "/ /a/ /a/b/ /a/f /l"},
		{"/", "", "a/ a/b/ a/f l"},
		{"/a/f", "f", "f"},
		{"/l", "l", "l"},
		{"/l/", "l", "l/ l/b/ l/f"},
		{"/l/f", "f", "f"},
	} {
		var stream bytes.Buffer
		check(t, tree.Pack(t.Context(), &stream, c.name, c.as, PackOptions{}))
		if got := strings.Join(entries(t, &stream), " "); got != c.want {
			t.Errorf("%s as %q: %q", c.name, c.as, got)
		}
	}
	for name, want := range map[string]error{"/no": fs.ErrNotExist, "/a/f/": unix.ENOTDIR, "/a/f/x": unix.ENOTDIR} {
		if err := tree.Pack(t.Context(), io.Discard, name, "x", PackOptions{}); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func entries(t *testing.T, r io.Reader) (names []string) {
	t.Helper()
	for in := tar.NewReader(r); ; {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return names
		}
		check(t, err)
		names = append(names, h.Name)
	}
}

func TestEvaluate(t *testing.T) {
	dir := t.TempDir()
	check(t, os.MkdirAll(filepath.Join(dir, "a/b"), 0o755))
	for link, target := range map[string]string{
		"rel": "a/b", "abs": "/a", "a/up": "../../..", "broken": "/no/such", "loop": "loop", "chain": "abs/b", "esc": "/../../etc",
	} {
		check(t, os.Symlink(target, filepath.Join(dir, link)))
	}
	tree := open(t, dir)
	for name, want := range map[string]string{
		"": "/", "/": "/", "a/b": "/a/b", "rel": "/a/b", "/abs/b": "/a/b", "a/up/a": "/a", "broken": "/no/such", "broken/x/../y": "/no/such/y",
		"chain": "/a/b", "esc": "/etc", "../../a": "/a", "a/./b/../b/": "/a/b", "none/../a": "/none/../a",
	} {
		if name == "none/../a" {
			want = "/none/a" // ".." of what is not there is dropped with the rest's own dots
		}
		if got, err := tree.Evaluate(name); err != nil || got != want {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	if _, err := tree.Evaluate("loop"); !errors.Is(err, unix.ELOOP) {
		t.Errorf("loop: %v", err)
	}
}

type entry struct {
	tar.Header
	content string
}

func archive(t testing.TB, all ...entry) *bytes.Buffer {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range all {
		e.Size = int64(len(e.content))
		if e.Mode == 0 {
			e.Mode = 0o755
		}
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return &b
}

func file(name, content string) entry {
	return entry{tar.Header{Name: name, Typeflag: tar.TypeReg}, content}
}

func folder(name string) entry { return entry{tar.Header{Name: name, Typeflag: tar.TypeDir}, ""} }

func link(kind byte, name, target string) entry {
	return entry{tar.Header{Name: name, Typeflag: kind, Linkname: target}, ""}
}

// Streams that try to leave the folder: what they write stays in the tree.
func TestUnpackHostile(t *testing.T) {
	for name, c := range map[string]struct {
		stream *bytes.Buffer
		ok     func(error) bool // nil: no error
	}{
		"dotdot":            {archive(t, file("../out", "x")), errdefs.IsInvalidArgument},
		"dotdot deep":       {archive(t, file("a/../../out", "x")), errdefs.IsInvalidArgument},
		"no name":           {archive(t, file("", "x")), errdefs.IsInvalidArgument},
		"absolute":          {archive(t, file("/abs", "x")), nil},
		"absolute link":     {archive(t, link(tar.TypeSymlink, "l", "/out"), file("l/f", "x")), errdefs.IsInvalidArgument},
		"climbing link":     {archive(t, link(tar.TypeSymlink, "l", "../../../../../.."), file("l/f", "x")), nil},
		"link to file":      {archive(t, link(tar.TypeSymlink, "l", "../../secret"), file("l", "x")), nil},
		"hard link out":     {archive(t, link(tar.TypeLink, "l", "../../secret"), file("l", "x")), errdefs.IsInvalidArgument},
		"hard link by link": {archive(t, link(tar.TypeSymlink, "s", "/../../secret"), link(tar.TypeLink, "l", "s"), file("l", "x")), nil},
		"hard link to none": {archive(t, link(tar.TypeLink, "l", "none")), errdefs.IsInvalidArgument},
		"hard link itself":  {archive(t, file("l", "x"), link(tar.TypeLink, "l", "./l")), nil},
		"folder link swap":  {archive(t, folder("d"), link(tar.TypeSymlink, "d", "/"), file("d/f", "x")), nil},
		"file as folder":    {archive(t, file("d", "x"), file("d/f", "x")), errdefs.IsInvalidArgument},
		"broken link":       {archive(t, link(tar.TypeSymlink, "l", "/no"), file("l/f", "x")), errdefs.IsInvalidArgument},
		"link to itself":    {archive(t, link(tar.TypeSymlink, "l", "l"), file("l/f", "x")), errdefs.IsInvalidArgument},
		"long part":         {archive(t, file(strings.Repeat("a", 300), "x")), errdefs.IsInvalidArgument},
		"unknown kind":      {archive(t, entry{tar.Header{Name: "x", Typeflag: 'Z'}, ""}), errdefs.IsInvalidArgument},
		"no tar":            {bytes.NewBufferString(strings.Repeat("garbage", 200)), errdefs.IsInvalidArgument},
		"cut":               {bytes.NewBuffer(archive(t, file("f", strings.Repeat("x", 4096))).Bytes()[:1024]), errdefs.IsInvalidArgument},
		"long name":         {archive(t, file(strings.Repeat("a/", 3000)+"f", "x")), errdefs.IsInvalidArgument},
		"many":              {archive(t, folder("1"), folder("2"), folder("3"), folder("4"), folder("5"), folder("6"), folder("7"), folder("8"), folder("9")), errdefs.IsOutOfRange},
		"large":             {archive(t, file("f", strings.Repeat("x", 1<<20+1))), errdefs.IsOutOfRange},
		"overlay's xattrs": {archive(t, entry{tar.Header{
			Name: "d", Typeflag: tar.TypeDir, Format: tar.FormatPAX,
			PAXRecords: map[string]string{"SCHILY.xattr.trusted.overlay.opaque": "y", "SCHILY.xattr.security.selinux": "x"},
		}, ""}), nil},
	} {
		t.Run(name, func(t *testing.T) {
			base := t.TempDir()
			check(t, os.WriteFile(filepath.Join(base, "secret"), []byte("secret"), 0o600), os.MkdirAll(filepath.Join(base, "tree/to"), 0o755))
			before := describe(t, base, true)
			err := open(t, filepath.Join(base, "tree")).Unpack(t.Context(), c.stream, "/to", UnpackOptions{Entries: 8, Bytes: 1 << 20})
			if c.ok == nil && err != nil || c.ok != nil && !c.ok(err) {
				t.Errorf("error %v", err)
			}
			for k, v := range describe(t, base, true) {
				if k != "tree" && !strings.HasPrefix(k, "tree/") && k != "." && before[k] != v {
					t.Errorf("outside of the tree %s is %s", k, v)
				}
				if strings.Contains(v, "overlay") || strings.Contains(v, "selinux") {
					t.Errorf("%s: %s", k, v)
				}
			}
			if len(slices.Collect(maps.Keys(before))) != 4 {
				t.Error("the test's folder is not what it thinks")
			}
			if entries, err := os.ReadDir(base); err != nil || len(entries) != 2 {
				t.Errorf("outside: %v %v", entries, err)
			}
			if name == "cut" {
				if _, err := os.Lstat(filepath.Join(base, "tree/to/f")); !errors.Is(err, fs.ErrNotExist) {
					t.Errorf("half a file: %v", err)
				}
			}
		})
	}
}

func TestUnpackOver(t *testing.T) {
	for name, c := range map[string]struct {
		keep   bool
		stream *bytes.Buffer
		err    string
		want   string // content of /to/x; "/" is a folder
	}{
		"file over file":           {false, archive(t, file("x", "new")), "", ""},
		"file over folder":         {false, archive(t, file("d", "new")), "", ""},
		"file over folder, kept":   {true, archive(t, file("d", "new")), `cannot overwrite directory "/to/d" with non-directory "/to"`, ""},
		"folder over file":         {false, archive(t, folder("x")), "", ""},
		"folder over file, kept":   {true, archive(t, folder("x")), `cannot overwrite non-directory "/to/x" with directory "/to"`, ""},
		"folder over folder":       {true, archive(t, folder("d"), file("d/new", "new")), "", ""},
		"owner":                    {false, archive(t, file("x", "new")), "", ""},
		"folder over link, kept":   {true, archive(t, folder("l")), `cannot overwrite non-directory "/to/l" with directory "/to"`, ""},
		"file through folder link": {true, archive(t, file("l/new", "new")), "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			check(t, os.MkdirAll(filepath.Join(dir, "to/d"), 0o755), os.Mkdir(filepath.Join(dir, "other"), 0o755),
				os.WriteFile(filepath.Join(dir, "to/x"), []byte("old"), 0o644), os.WriteFile(filepath.Join(dir, "to/d/old"), []byte("old"), 0o644),
				os.Symlink("/other", filepath.Join(dir, "to/l")))
			err := open(t, dir).Unpack(t.Context(), c.stream, "/to", UnpackOptions{KeepKinds: c.keep, Owner: &Owner{3, 4}})
			if c.err == "" && err != nil || c.err != "" && (err == nil || err.Error() != c.err || !errdefs.IsInvalidArgument(err)) {
				t.Fatalf("error %v", err)
			}
			got := describe(t, dir, false)
			switch name {
			case "file over file", "owner":
				if !strings.Contains(got["to/x"], "content=6e6577 ") || !strings.Contains(got["to/x"], "owner=3:4") {
					t.Error(got["to/x"])
				}
			case "file over folder":
				if !strings.Contains(got["to/d"], "content=6e6577 ") || got["to/d/old"] != "" {
					t.Error(got)
				}
			case "folder over file":
				if !strings.Contains(got["to/x"], "mode=40755") {
					t.Error(got["to/x"])
				}
			case "folder over folder":
				if got["to/d/old"] == "" || got["to/d/new"] == "" {
					t.Error(got)
				}
			case "file through folder link":
				if got["other/new"] == "" {
					t.Error(got)
				}
			}
		})
	}
	if err := open(t, t.TempDir()).Unpack(t.Context(), archive(t, file("x", "x")), "/", UnpackOptions{}); err != nil {
		t.Error(err)
	}
}

// A client that goes away ends the work.
func TestCanceled(t *testing.T) {
	src := t.TempDir()
	fill(t, src)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := open(t, src).Pack(ctx, io.Discard, "/", ".", PackOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("pack: %v", err)
	}
	if err := open(t, t.TempDir()).Unpack(ctx, archive(t, file("x", "x")), "/", UnpackOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("unpack: %v", err)
	}
}

func FuzzUnpack(f *testing.F) {
	f.Add(archive(f, folder("a"), file("a/b", "x"), link(tar.TypeSymlink, "l", "/"), link(tar.TypeLink, "h", "a/b")).Bytes())
	f.Add(archive(f, link(tar.TypeSymlink, "l", "../.."), file("l/x", "x")).Bytes())
	f.Fuzz(func(t *testing.T, stream []byte) {
		base := t.TempDir()
		check(t, os.Mkdir(filepath.Join(base, "tree"), 0o755))
		_ = open(t, filepath.Join(base, "tree")).Unpack(t.Context(), bytes.NewReader(stream), "/", UnpackOptions{Entries: 100, Bytes: 1 << 20})
		if entries, err := os.ReadDir(base); err != nil || len(entries) != 1 {
			t.Fatalf("outside of the tree: %v %v", entries, err)
		}
	})
}
