package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// inNamespace runs f in a mount namespace that lives as long as one thread, in
// which nothing that it mounts reaches the host's.
func inNamespace(f func() (*Root, error)) (*Root, error) {
	type result struct {
		root *Root
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the
		// namespace with it.
		runtime.LockOSThread()
		root, err := func() (*Root, error) {
			if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
				return nil, os.NewSyscallError("unshare", err)
			}
			if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
				return nil, os.NewSyscallError("mount", err)
			}
			return f()
		}()
		done <- result{root, err}
	}()
	r := <-done
	return r.root, r.err
}

// threadOverlay makes the mount with mount(2) and keeps a detached copy of it.
func threadOverlay(o overlay) (*Root, error) {
	return inNamespace(func() (*Root, error) {
		dirs := o.lower
		if o.upper != "" {
			dirs = append([]string{o.upper}, o.lower...)
		}
		base := commonDir(dirs)
		if err := unix.Chdir(base); err != nil {
			return nil, &os.PathError{Op: "chdir", Path: base, Err: err}
		}
		options, err := o.data(base)
		if err != nil {
			return nil, err
		}
		if len(options) >= os.Getpagesize() {
			return nil, errors.New("too many layers for this kernel")
		}
		var flags uintptr
		if o.upper == "" {
			flags = unix.MS_RDONLY
		}
		if err := unix.Mount("overlay", base, "overlay", flags, options); err != nil {
			return nil, &os.PathError{Op: "mount", Path: base, Err: err}
		}
		return clone(base, o.attr())
	})
}

// commonDir is the deepest folder that holds all dirs, which are absolute.
func commonDir(dirs []string) string {
	base := filepath.Dir(dirs[0])
	for _, dir := range dirs[1:] {
		for !strings.HasPrefix(dir, strings.TrimSuffix(base, "/")+"/") {
			base = filepath.Dir(base)
		}
	}
	return base
}

// escape writes a folder's name as overlay's option parser wants it.
func escape(name string) string {
	return strings.NewReplacer(`\`, `\\`, `:`, `\:`, `,`, `\,`).Replace(name)
}
