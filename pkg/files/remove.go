package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"golang.org/x/sys/unix"
)

// RemoveTree removes a folder of the host with all that is in it, several of its folders
// at a time: most of the time is spent waiting for the file system's journal. Nothing is
// followed, and what is mounted in it stays: EBUSY then. After an error it goes on with
// the rest, but not after the end of ctx.
func RemoveTree(ctx context.Context, name string) error {
	parent, err := os.OpenFile(filepath.Dir(name), unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer parent.Close()
	r := &remover{ctx: ctx, slots: make(chan struct{}, 2*runtime.GOMAXPROCS(0))}
	if err := r.tree(int(parent.Fd()), filepath.Base(name)); err != nil {
		return &fs.PathError{Op: "remove", Path: name, Err: err}
	}
	return nil
}

// removeAt removes a folder with all that is in it.
func removeAt(ctx context.Context, dir int, name string) error {
	return (&remover{ctx: ctx}).tree(dir, name)
}

// attempts is how often a folder is read: somebody may put more into it, and some file
// systems pass over names while others go.
const attempts = 4

// liftDepth is how deep folders are removed where they are: each level holds two
// descriptors open, and whose tree it is may have nested any number.
const liftDepth = 64

// remover removes one tree.
type remover struct {
	ctx   context.Context
	slots chan struct{} // filled by goroutines at work beside the first; nil: none

	top  int        // the tree's root
	mu   sync.Mutex // guards deep
	deep []string   // folders that were nested too deeply, in the root now
}

// tree removes what is called name in dir.
func (r *remover) tree(dir int, name string) error {
	top, err := openOwn(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(top)
	r.top = top
	for n := 1; ; n++ {
		err := r.contents(top, 0)
		for err == nil && len(r.deep) > 0 {
			next := r.deep[0]
			r.deep = r.deep[1:]
			err = gone(r.folder(top, next, 0))
		}
		if err != nil {
			return err
		}
		if err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR); !errors.Is(err, unix.ENOTEMPTY) || n == attempts {
			return err
		}
	}
}

// openOwn opens a folder that is no mount. EBUSY: it is one.
func openOwn(dir int, name string) (int, error) {
	fd, err := openBelow(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, unix.RESOLVE_NO_XDEV|unix.RESOLVE_BENEATH)
	if errors.Is(err, unix.EXDEV) {
		err = unix.EBUSY
	}
	return fd, err
}

func (r *remover) folder(dir int, name string, depth int) error {
	fd, err := openOwn(dir, name)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	for n := 1; ; n++ {
		if err := r.contents(fd, depth); err != nil {
			return err
		}
		err := unix.Unlinkat(dir, name, unix.AT_REMOVEDIR)
		if !errors.Is(err, unix.ENOTEMPTY) || n == attempts {
			return err
		}
	}
}

// contents removes what is in an open folder, and gives the first error.
func (r *remover) contents(dir, depth int) error {
	fd, err := unix.Openat(dir, ".", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	list := os.NewFile(uintptr(fd), ".")
	defer list.Close()
	var first firstError
	var beside sync.WaitGroup
	defer beside.Wait()
	for {
		names, err := list.Readdirnames(1024) // however many there are
		for _, name := range names {
			if r.ctx.Err() != nil {
				break
			}
			r.entry(dir, name, depth, &beside, &first)
		}
		if errors.Is(err, io.EOF) || r.ctx.Err() != nil {
			break
		}
		if err != nil {
			first.set(err)
			break
		}
	}
	beside.Wait()
	first.set(r.ctx.Err())
	return first.err
}

// entry removes what is called name, a folder beside when there is a slot.
func (r *remover) entry(dir int, name string, depth int, beside *sync.WaitGroup, first *firstError) {
	err := unix.Unlinkat(dir, name, 0)
	if !errors.Is(err, unix.EISDIR) && !errors.Is(err, unix.EPERM) { // POSIX has EPERM for folders
		first.set(gone(err))
		return
	}
	if depth == liftDepth {
		first.set(gone(r.lift(dir, name)))
		return
	}
	remove := func() {
		failed := r.folder(dir, name, depth+1)
		if errors.Is(failed, unix.ENOTDIR) {
			failed = err // no folder: what unlink said of it
		}
		first.set(gone(failed))
	}
	select {
	case r.slots <- struct{}{}:
		beside.Go(func() {
			defer func() { <-r.slots }()
			remove()
		})
	default:
		remove()
	}
}

// lift moves a folder into the tree's root.
func (r *remover) lift(dir int, name string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := len(r.deep); ; n++ {
		as := fmt.Sprintf("deep-%d", n)
		err := unix.Renameat2(dir, name, r.top, as, unix.RENAME_NOREPLACE)
		if err == nil {
			r.deep = append(r.deep, as)
		}
		if !errors.Is(err, unix.EEXIST) {
			return err
		}
	}
}

// gone drops the error that something is not there any more.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

type firstError struct {
	mu  sync.Mutex // guards err
	err error
}

func (f *firstError) set(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.err == nil {
		f.err = err
	}
}
