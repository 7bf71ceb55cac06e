package files

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// xattrRecord begins the names of extended attributes in a tar's PAX records; it
// is what GNU tar, Docker and containerd use.
const xattrRecord = "SCHILY.xattr."

// maxXattr is the kernel's bound for one value and for a list (limits.h).
const maxXattr = 64 << 10

// carried says whether an extended attribute belongs to a file wherever it goes.
// Overlay's own would make a copy mean something else in a layer; a security
// module's labels are its host's.
func carried(name string) bool {
	switch {
	case name == "", strings.HasPrefix(name, "trusted.overlay."), strings.HasPrefix(name, "user.overlay."):
		return false
	case strings.HasPrefix(name, "security."):
		return name == "security.capability"
	}
	return true
}

// fdPath names an entry of an open folder, or with "" the folder, for the calls
// that take a path only. The kernel does not look the folder up again; the
// callers use calls that do not follow the last name.
func fdPath(dir int, name string) string {
	if name == "" {
		name = "."
	}
	return fmt.Sprintf("/proc/self/fd/%d/%s", dir, name)
}

// xattrs reads extended attributes.
type xattrs struct{ list, value []byte }

// place is where attributes are: an open file, or with a path what is there,
// without following it.
type place struct {
	fd   int
	path string
}

func (p place) list(b []byte) (int, error) {
	if p.path == "" {
		return unix.Flistxattr(p.fd, b)
	}
	return unix.Llistxattr(p.path, b)
}

func (p place) get(name string, b []byte) (int, error) {
	if p.path == "" {
		return unix.Fgetxattr(p.fd, name, b)
	}
	return unix.Lgetxattr(p.path, name, b)
}

// each calls f with each attribute that is carried; the value is f's during the
// call only.
func (x *xattrs) each(p place, f func(name string, value []byte) error) error {
	if x.list == nil {
		x.list = make([]byte, maxXattr)
	}
	n, err := p.list(x.list)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	for raw := range bytes.SplitSeq(x.list[:n], []byte{0}) {
		name := string(raw)
		if !carried(name) {
			continue
		}
		if x.value == nil {
			x.value = make([]byte, maxXattr)
		}
		m, err := p.get(name, x.value)
		if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOENT) {
			continue
		}
		if err == nil {
			err = f(name, x.value[:m])
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}
