package spec

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"

	"github.com/containerd/errdefs"
	"github.com/moby/sys/user"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// maxUserFile bounds /etc/passwd and /etc/group, which the image wrote.
const maxUserFile = 4 << 20

// maxID is the largest number that Docker takes for a user or group.
const maxID = math.MaxInt32

// lookupUser resolves Docker's --user ("name", "uid", "name:group", …) and
// --group-add against the container's own files. home is that of the passwd
// entry, "" without one. InvalidArgument for a user or group that is not there.
func lookupUser(lookup func(string, int64) ([]byte, error), name string, groups []string) (u specs.User, home string, err error) {
	passwd, err := userFile(lookup, "/etc/passwd")
	if err != nil {
		return u, "", err
	}
	group, err := userFile(lookup, "/etc/group")
	if err != nil {
		return u, "", err
	}
	// A nil interface says that there is no file; a reader says there is one.
	reader := func(b []byte) io.Reader {
		if b == nil {
			return nil
		}
		return bytes.NewReader(b)
	}
	exec, err := user.GetExecUser(name, nil, reader(passwd), reader(group))
	if err != nil {
		return u, "", invalid(err.Error())
	}
	extra, err := user.GetAdditionalGroups(groups, reader(group))
	if err != nil {
		return u, "", invalid(err.Error())
	}
	// Numbers of a user are checked above, those of the files not: 4294967296 would be root.
	for _, id := range append(append([]int{exec.Uid, exec.Gid}, exec.Sgids...), extra...) {
		if id < 0 || id > maxID {
			return u, "", invalid(user.ErrRange.Error())
		}
	}
	slices.Sort(extra) // they come out of a map
	u.UID, u.GID = uint32(exec.Uid), uint32(exec.Gid)
	// The primary group stands among the additional ones so that a process
	// cannot get rid of it (CVE-2022-36109).
	seen := map[uint32]bool{}
	for _, g := range append(append([]int{exec.Gid}, exec.Sgids...), extra...) {
		if id := uint32(g); !seen[id] {
			seen[id] = true
			u.AdditionalGids = append(u.AdditionalGids, id)
		}
	}
	return u, exec.Home, nil
}

// LookupUser resolves a --user to its numbers, as for a process.
func LookupUser(lookup func(string, int64) ([]byte, error), name string) (uid, gid int, err error) {
	u, _, err := lookupUser(lookup, name, nil)
	return int(u.UID), int(u.GID), err
}

// userFile reads one of the two; nil means that the container has none.
func userFile(lookup func(string, int64) ([]byte, error), file string) ([]byte, error) {
	b, err := lookup(file, maxUserFile)
	switch {
	case err == nil && b == nil:
		return []byte{}, nil
	case errors.Is(err, fs.ErrNotExist), errdefs.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("container's %s: %w", file, err)
	}
	return b, nil
}
