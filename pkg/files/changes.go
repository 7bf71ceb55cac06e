package files

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"golang.org/x/sys/unix"
)

// Kind is what became of a path; the numbers are Docker's.
type Kind uint8

// The kinds of change.
const (
	Modified Kind = iota
	Added
	Deleted
)

// Change is one path, absolute, and what became of it.
type Change struct {
	Path string
	Kind Kind
}

// Comparison tells what a container did to its root. A folder counts as modified
// when something in it changed, or its owner or mode did; a file when owner, mode,
// size or time did.
type Comparison struct {
	Merged *Tree // what the container sees
	Lower  *Tree // what its image has; nil is nothing
	// Upper is the writable folder of an overlay: only what is in it is looked at.
	// nil compares everything.
	Upper *Tree
	// Hidden says of what the image does not have whether the engine put it there.
	Hidden func(name string, info fs.FileMode, size int64) bool
}

// List gives the changes in the order of names, a folder before what is in it.
func (c *Comparison) List(ctx context.Context) ([]Change, error) {
	var all []Change
	err := c.walk(&comparer{ctx: ctx, changed: func(k Kind, at spot) error {
		all = append(all, Change{at.path, k})
		return nil
	}})
	return all, err
}

// spot is an entry of an open folder of what the container sees.
type spot struct {
	path string
	dir  int
	name string
	st   unix.Stat_t // zero for what is deleted
}

// comparer walks the three trees side by side.
type comparer struct {
	*Comparison
	ctx     context.Context
	changed func(Kind, spot) error
	// opaque is told of a folder that nothing of the image's is in; without it each
	// of the image's entries is told as deleted.
	opaque  func(spot) error
	pending []pendingFolder // on the way to where the walk is, told when something in them changed
}

type pendingFolder struct {
	kind Kind
	at   spot
}

// none stands for a folder that there is not.
const none = -1

func (c *Comparison) walk(w *comparer) error {
	w.Comparison = c
	merged, err := c.Merged.openat("/", unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return &fs.PathError{Op: "open", Path: "/", Err: err}
	}
	defer unix.Close(merged)
	upper, lower := none, none
	for _, t := range []struct {
		tree *Tree
		fd   *int
	}{{c.Upper, &upper}, {c.Lower, &lower}} {
		if t.tree == nil {
			continue
		}
		if *t.fd, err = t.tree.openat("/", unix.O_PATH|unix.O_DIRECTORY); err != nil {
			return &fs.PathError{Op: "open", Path: "/", Err: err}
		}
		defer unix.Close(*t.fd)
	}
	return w.folder(merged, upper, lower, spot{path: "/"}, 0)
}

// folder compares a folder that both have, or that is new when lower is none.
func (w *comparer) folder(merged, upper, lower int, at spot, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%s: folders are nested deeper than %d", at.path, maxDepth)
	}
	names, lower, err := w.names(merged, upper, lower, at)
	if err != nil {
		return err
	}
	for _, name := range names {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		next := spot{path: path.Join(at.path, name), dir: merged, name: name}
		if err := w.entry(next, upper, lower, depth); err != nil {
			return err
		}
	}
	return nil
}

// names lists what is to be looked at in a folder; the image's folder is none when
// it has been told that nothing of it is left.
func (w *comparer) names(merged, upper, lower int, at spot) ([]string, int, error) {
	source := merged
	if upper != none {
		source = upper
	}
	names, err := readNames(source)
	if err != nil {
		return nil, none, &fs.PathError{Op: "readdir", Path: at.path, Err: err}
	}
	if lower == none || upper != none && !overlayXattr(upper, "opaque") {
		return names, lower, nil
	}
	if upper != none && w.opaque != nil {
		if err := w.flush(); err != nil {
			return nil, none, err
		}
		return names, none, w.opaque(at)
	}
	old, err := readNames(lower)
	if err != nil {
		return nil, none, &fs.PathError{Op: "readdir", Path: at.path, Err: err}
	}
	names = append(names, old...)
	slices.Sort(names)
	return slices.Compact(names), lower, nil
}

// overlayXattr says whether overlay marked a folder of an upper layer
// (Documentation/filesystems/overlayfs.rst).
func overlayXattr(dir int, name string) bool {
	value := make([]byte, 256)
	for _, space := range []string{"trusted.overlay.", "user.overlay."} {
		n, err := unix.Lgetxattr(fdPath(dir, ""), space+name, value)
		if err == nil && (name != "opaque" || n == 1 && value[0] == 'y') {
			return true
		}
	}
	return false
}

// entry compares one. What the container does not see (a whiteout in the upper
// layer, or nothing at all) is deleted, if the image has it.
func (w *comparer) entry(at spot, upper, lower, depth int) error {
	old, had, err := statAt(lower, at.name)
	if err != nil {
		return &fs.PathError{Op: "stat", Path: at.path, Err: err}
	}
	var exists bool
	if at.st, exists, err = statAt(at.dir, at.name); err != nil {
		return &fs.PathError{Op: "stat", Path: at.path, Err: err}
	}
	kind := Added
	if had {
		kind = Modified
	}
	isDir := at.st.Mode&unix.S_IFMT == unix.S_IFDIR
	switch {
	case !exists && had:
		return w.tell(Deleted, at)
	case !exists:
		return nil
	case isDir:
		return w.enter(kind, at, upper, lower, &old, depth)
	case had && same(&at.st, &old), !had && w.hidden(at):
		return nil
	}
	return w.tell(kind, at)
}

func (w *comparer) hidden(at spot) bool {
	mode := fs.FileMode(at.st.Mode & 0o777)
	switch at.st.Mode & unix.S_IFMT {
	case unix.S_IFDIR:
		mode |= fs.ModeDir
	case unix.S_IFLNK:
		mode |= fs.ModeSymlink
	case unix.S_IFREG:
	default:
		mode |= fs.ModeIrregular
	}
	return w.Hidden != nil && w.Hidden(at.path, mode, at.st.Size)
}

// enter compares what is in a folder, and tells of the folder itself before.
func (w *comparer) enter(kind Kind, at spot, upper, lower int, old *unix.Stat_t, depth int) error {
	both := kind == Modified && old.Mode&unix.S_IFMT == unix.S_IFDIR
	merged, err := openFolder(at.dir, at.name)
	if err != nil {
		return vanished(&fs.PathError{Op: "open", Path: at.path, Err: err})
	}
	defer unix.Close(merged)
	oldDir := none
	if both {
		if oldDir, err = openFolder(lower, at.name); err != nil {
			return &fs.PathError{Op: "open", Path: at.path, Err: err}
		}
		defer unix.Close(oldDir)
	}
	own := none
	if upper != none {
		if own, err = openFolder(upper, at.name); err != nil {
			return vanished(&fs.PathError{Op: "open", Path: at.path, Err: err})
		}
		defer unix.Close(own)
		if overlayXattr(own, "redirect") {
			own = none // what it shows comes from elsewhere: compare all
		}
	}
	mark := len(w.pending)
	w.pending = append(w.pending, pendingFolder{kind, at})
	if quiet := both && same(&at.st, old) || kind == Added && w.hidden(at); !quiet {
		if err := w.flush(); err != nil {
			return err
		}
	}
	err = w.folder(merged, own, oldDir, at, depth+1)
	w.pending = w.pending[:min(mark, len(w.pending))]
	return err
}

// tell passes a change on, after the folders that it is in.
func (w *comparer) tell(k Kind, at spot) error {
	if err := w.flush(); err != nil {
		return err
	}
	return w.changed(k, at)
}

func (w *comparer) flush() error {
	for _, p := range w.pending {
		if err := w.changed(p.kind, p.at); err != nil {
			return err
		}
	}
	w.pending = w.pending[:0]
	return nil
}

func openFolder(dir int, name string) (int, error) {
	return unix.Openat(dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
}

func statAt(dir int, name string) (st unix.Stat_t, ok bool, err error) {
	if dir == none {
		return st, false, nil
	}
	err = unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return st, false, nil
	}
	return st, err == nil, err
}

// same says whether an entry is as it was. Times of folders change with what is in
// them, and inodes when a file is copied up.
func same(a, b *unix.Stat_t) bool {
	if a.Mode != b.Mode || a.Uid != b.Uid || a.Gid != b.Gid || a.Rdev != b.Rdev {
		return false
	}
	return a.Mode&unix.S_IFMT == unix.S_IFDIR || a.Size == b.Size && a.Mtim == b.Mtim
}
