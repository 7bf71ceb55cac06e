package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// threadOverlay makes the mount with mount(2) in a mount namespace that lives
// as long as one thread, and keeps a detached copy of it.
func threadOverlay(layers []string) (*Root, error) {
	type result struct {
		root *Root
		err  error
	}
	done := make(chan result, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and the
		// namespace with it.
		runtime.LockOSThread()
		root, err := mountInNamespace(layers)
		done <- result{root, err}
	}()
	r := <-done
	return r.root, r.err
}

// mountInNamespace changes the namespace and the working folder of its thread.
func mountInNamespace(layers []string) (*Root, error) {
	if err := unix.Unshare(unix.CLONE_NEWNS | unix.CLONE_FS); err != nil {
		return nil, os.NewSyscallError("unshare", err)
	}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return nil, os.NewSyscallError("mount", err)
	}
	// The options fit into a page (mount(2)); relative names make room there
	// for every image that the overlay snapshotter itself can mount.
	base := commonDir(layers)
	if err := unix.Chdir(base); err != nil {
		return nil, &os.PathError{Op: "chdir", Path: base, Err: err}
	}
	names := make([]string, len(layers))
	for i, dir := range layers {
		name, err := filepath.Rel(base, dir)
		if err != nil {
			return nil, err
		}
		names[i] = escape(name)
	}
	options := "lowerdir=" + strings.Join(names, ":")
	if len(options) >= os.Getpagesize() {
		return nil, errors.New("too many layers for this kernel")
	}
	if err := unix.Mount("overlay", base, "overlay", unix.MS_RDONLY, options); err != nil {
		return nil, &os.PathError{Op: "mount", Path: base, Err: err}
	}
	return clone(base)
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
