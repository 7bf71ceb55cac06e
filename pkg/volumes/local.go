package volumes

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"os"
	"strings"

	"github.com/moby/moby/api/types/events"
	"golang.org/x/sys/unix"
)

// mounted says whether the volume's data is a mount of its own when in use.
func (m *metadata) mounted() bool { return m.Options["type"] != "" || m.Options["device"] != "" }

// use obtains a volume for a user, mounted if it has to be.
func (m *mounter) use(ctx context.Context, u user, want metadata) (*entry, error) {
	for {
		e, err := m.catalog.obtain(ctx, want, u.ref, false)
		if err != nil {
			return nil, err
		}
		ok, err := m.useEntry(ctx, u.id, e)
		if err != nil || ok {
			return e, err
		}
	}
}

// useEntry is false when the volume was removed in the meantime.
func (m *mounter) useEntry(ctx context.Context, id string, e *entry) (bool, error) {
	if err := e.turn.take(ctx); err != nil {
		return false, err
	}
	defer e.turn.give()
	current := m.catalog.begin(id, e)
	if !current || !e.meta.mounted() {
		return current, nil
	}
	on, err := isMountpoint(e.data())
	if err != nil || on {
		return true, err
	}
	if err := e.mount(ctx); err != nil {
		return true, fmt.Errorf("error while mounting volume '%s': %w", e.data(), err)
	}
	return true, nil
}

// Unmount says that a container has stopped: volumes with a device that nobody
// else uses are unmounted.
func (s *Store) Unmount(ctx context.Context, id string) error {
	used, err := s.mounter.giveBack(ctx, id)
	for _, e := range used {
		s.news.tell(events.ActionUnmount, e.meta, map[string]string{"container": id})
	}
	return err
}

// giveBack takes a user off the volumes that he has mounted.
func (m *mounter) giveBack(ctx context.Context, id string) ([]*entry, error) {
	errs := []error{m.places.unmount(id)}
	used := m.catalog.usedBy(id)
	for _, e := range used {
		errs = append(errs, m.unuse(ctx, id, e))
	}
	return used, errors.Join(errs...)
}

func (m *mounter) unuse(ctx context.Context, id string, e *entry) error {
	if err := e.turn.take(ctx); err != nil {
		return err
	}
	defer e.turn.give()
	if busy := m.catalog.end(id, e); busy || !e.meta.mounted() {
		return nil
	}
	return unmount(e.data())
}

// Reconcile unmounts what no container uses, after each has said (Reserve) what
// it has, and removes the volumes of containers that never came to be.
func (s *Store) Reconcile(ctx context.Context) error {
	idle, running := s.catalog.idle()
	errs := []error{s.mounter.places.sweep(running), s.sweepUnborn(ctx)}
	for _, e := range idle {
		if e.meta.mounted() {
			errs = append(errs, s.mounter.unuse(ctx, "", e))
		}
	}
	return errors.Join(errs...)
}

// mount puts the volume's device on its data folder; its turn is held.
func (e *entry) mount(ctx context.Context) error {
	kind, device, options := e.meta.Options["type"], e.meta.Options["device"], e.meta.Options["o"]
	device, options, err := resolveHosts(ctx, kind, device, options, net.DefaultResolver.LookupNetIP)
	if err != nil {
		return err
	}
	flags, data := mountFlags(options)
	if err := mountAt(device, e.data(), kind, flags, data); err != nil {
		return fmt.Errorf("failed to mount local volume: mount %s:%s%s: %w", device, e.data(), mountDetails(flags, data), err)
	}
	return nil
}

// mountDetails are what Docker's message of a mount that failed tells besides.
func mountDetails(flags uintptr, data string) (out string) {
	if flags != 0 {
		out += fmt.Sprintf(", flags: %#x", flags)
	}
	if data != "" {
		out += ", data: " + redact(data)
	}
	return out
}

// mountAt mounts, and then once more for what a bind takes only when remounted
// (mount(2)).
func mountAt(device, target, kind string, flags uintptr, data string) error {
	const bindKeeps = unix.MS_BIND | unix.MS_REC
	if flags&unix.MS_BIND == 0 {
		return unix.Mount(device, target, kind, flags, data)
	}
	if err := unix.Mount(device, target, kind, flags&bindKeeps, ""); err != nil {
		return err
	}
	if flags&^bindKeeps == 0 {
		return nil
	}
	if err := unix.Mount("", target, "", flags|unix.MS_REMOUNT, data); err != nil {
		return errors.Join(err, unix.Unmount(target, unix.MNT_DETACH))
	}
	return nil
}

var setFlags = map[string]uintptr{
	"ro": unix.MS_RDONLY, "nosuid": unix.MS_NOSUID, "nodev": unix.MS_NODEV, "noexec": unix.MS_NOEXEC, "sync": unix.MS_SYNCHRONOUS,
	"dirsync": unix.MS_DIRSYNC, "noatime": unix.MS_NOATIME, "nodiratime": unix.MS_NODIRATIME, "relatime": unix.MS_RELATIME,
	"strictatime": unix.MS_STRICTATIME, "bind": unix.MS_BIND, "rbind": unix.MS_BIND | unix.MS_REC, "mand": unix.MS_MANDLOCK,
}

var clearFlags = map[string]uintptr{
	"rw": unix.MS_RDONLY, "suid": unix.MS_NOSUID, "dev": unix.MS_NODEV, "exec": unix.MS_NOEXEC, "async": unix.MS_SYNCHRONOUS,
	"atime": unix.MS_NOATIME, "diratime": unix.MS_NODIRATIME, "norelatime": unix.MS_RELATIME, "nostrictatime": unix.MS_STRICTATIME,
	"nomand": unix.MS_MANDLOCK, "defaults": 0,
}

// mountFlags takes the flags out of mount(8) options; the rest is the file
// system's.
func mountFlags(options string) (flags uintptr, data string) {
	var rest []string
	for o := range strings.SplitSeq(options, ",") {
		if f, ok := setFlags[o]; ok {
			flags |= f
		} else if f, ok := clearFlags[o]; ok {
			flags &^= f
		} else if o != "" {
			rest = append(rest, o)
		}
	}
	return flags, strings.Join(rest, ",")
}

type lookupHost func(ctx context.Context, network, host string) ([]netip.Addr, error)

// resolveHosts: the kernel mounts network file systems by address only.
func resolveHosts(ctx context.Context, kind, device, options string, lookup lookupHost) (string, string, error) {
	if kind != "nfs" && kind != "nfs4" && kind != "cifs" {
		return device, options, nil
	}
	address := func(host string) (string, error) {
		if _, err := netip.ParseAddr(host); err == nil {
			return host, nil
		}
		found, err := lookup(ctx, "ip", host)
		if err != nil || len(found) == 0 {
			return "", fmt.Errorf("error resolving passed in network volume address: %w", err)
		}
		return found[0].Unmap().String(), nil
	}
	parts := strings.Split(options, ",")
	given := false
	for i, o := range parts {
		if host, ok := strings.CutPrefix(o, "addr="); ok {
			given = true
			ip, err := address(host)
			if err != nil {
				return "", "", err
			}
			parts[i] = "addr=" + ip
		}
	}
	options = strings.Join(parts, ",")
	if kind != "cifs" || given {
		return device, options, nil
	}
	u, err := url.Parse(device)
	if err != nil || u.Host == "" {
		return device, options, nil // the kernel judges what is no URL
	}
	ip, err := address(u.Hostname())
	if err != nil {
		return "", "", err
	}
	return "//" + ip + u.Path, options, nil
}

// redact hides passwords from error messages.
func redact(options string) string {
	parts := strings.Split(options, ",")
	for i, o := range parts {
		if k, _, ok := strings.Cut(o, "="); ok && (k == "password" || k == "pass" || k == "password2") {
			parts[i] = k + "=********"
		}
	}
	return strings.Join(parts, ",")
}

// unmount takes what is mounted at p away; nothing there is no error.
func unmount(p string) error {
	err := unix.Unmount(p, unix.UMOUNT_NOFOLLOW)
	if err == nil || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	return &os.PathError{Op: "unmount", Path: p, Err: err}
}

func isMountpoint(p string) (bool, error) {
	var st unix.Statx_t
	if err := unix.Statx(unix.AT_FDCWD, p, unix.AT_SYMLINK_NOFOLLOW, unix.STATX_BASIC_STATS, &st); err != nil {
		return false, &os.PathError{Op: "statx", Path: p, Err: err}
	}
	return st.Attributes&unix.STATX_ATTR_MOUNT_ROOT != 0, nil
}
