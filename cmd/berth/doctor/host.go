package doctor

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"github.com/berth-engine/berth/pkg/config"
)

// host is what was read of the kernel and of the file system.
type host struct {
	root        bool
	kernel      string
	filesystems []string // that the kernel has
	namespaces  []string
	seccomp     bool
	cgroup      cgroups
	nftables    error  // of listing tables
	forwarding  string // /proc/sys/net/ipv4/ip_forward, "0" or "1"; "" unknown
	forward     bool   // the daemon is to see to it
	bridged     bool   // it runs, and has a network that needs it
	disk        disk
	missing     []string // programs
	optional    []string // programs that something works less without
}

type cgroups struct {
	version     int // 0: not mounted
	controllers []string
}

type disk struct {
	path        string
	kind        string // "overlayfs", "nfs", … where it matters
	total, free uint64 // bytes
	inodes      uint64 // 0: without a bound
	freeInodes  uint64
	err         error
}

func lookAtHost(cfg *config.Config) host {
	h := host{root: os.Geteuid() == 0, forward: cfg.Forward, cgroup: lookAtCgroups(), disk: lookAtDisk(cfg.DataRoot)}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		h.kernel = unix.ByteSliceToString(u.Release[:])
	}
	h.filesystems = fields("/proc/filesystems")
	if entries, err := os.ReadDir("/proc/self/ns"); err == nil {
		for _, e := range entries {
			h.namespaces = append(h.namespaces, e.Name())
		}
	}
	_, err := os.Stat("/proc/sys/kernel/seccomp/actions_avail")
	h.seccomp = err == nil
	h.forwarding = strings.TrimSpace(read("/proc/sys/net/ipv4/ip_forward"))
	if conn, err := nftables.New(); err != nil {
		h.nftables = err
	} else {
		_, h.nftables = conn.ListTables()
	}
	h.missing, h.optional = lookForPrograms()
	return h
}

// lookForPrograms finds berthd and its helpers where they are looked for when it
// starts, and programs of others that it runs.
func lookForPrograms() (missing, optional []string) {
	self, err := os.Executable()
	if err == nil {
		self, err = filepath.EvalSymlinks(self)
	}
	if err != nil {
		return []string{err.Error()}, nil
	}
	dir := filepath.Dir(self) // berth-all's, which packages do not have beside berth
	for _, name := range []string{"berthd", "containerd-shim-berth-v2", "containerd-shim-berth-task", "berth-init", "runc"} {
		there := slices.ContainsFunc([]string{dir, filepath.Join(dir, "../../bin")}, func(d string) bool {
			info, err := os.Stat(filepath.Join(d, name))
			return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
		})
		if !there {
			missing = append(missing, name)
		}
	}
	for _, name := range []string{"git", "ps"} {
		if _, err := exec.LookPath(name); err != nil {
			optional = append(optional, name)
		}
	}
	return missing, optional
}

func lookAtCgroups() cgroups {
	var st unix.Statfs_t
	if unix.Statfs("/sys/fs/cgroup", &st) != nil {
		return cgroups{}
	}
	if st.Type == unix.CGROUP2_SUPER_MAGIC {
		return cgroups{version: 2, controllers: strings.Fields(read("/sys/fs/cgroup/cgroup.controllers"))}
	}
	c := cgroups{}
	// Where a controller of version 1 is mounted, its name is among the options.
	for l := range strings.Lines(read("/proc/self/mountinfo")) {
		_, after, _ := strings.Cut(l, " - ")
		if f := strings.Fields(after); len(f) == 3 && f[0] == "cgroup" {
			c.version = 1
			c.controllers = append(c.controllers, strings.Split(f[2], ",")...)
		}
	}
	return c
}

// lookAtDisk looks at the file system that has the folder, or will have it.
func lookAtDisk(path string) disk {
	d := disk{path: path}
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == nil {
			break
		}
		if !errors.Is(err, unix.ENOENT) || path == "/" {
			d.err = err
			return d
		}
		path = filepath.Dir(path)
	}
	d.kind = map[int64]string{
		unix.OVERLAYFS_SUPER_MAGIC: "overlayfs", unix.NFS_SUPER_MAGIC: "nfs", unix.FUSE_SUPER_MAGIC: "fuse", unix.ECRYPTFS_SUPER_MAGIC: "ecryptfs",
	}[st.Type]
	size := uint64(st.Bsize)
	d.total, d.free, d.inodes, d.freeInodes = st.Blocks*size, st.Bavail*size, st.Files, st.Ffree
	return d
}

// read gives a file of the kernel, "" when it cannot be read.
func read(name string) string {
	b, err := os.ReadFile(name)
	if err != nil {
		return ""
	}
	return string(b)
}

// fields are the last words of a file's lines.
func fields(name string) (all []string) {
	for l := range strings.Lines(read(name)) {
		if f := strings.Fields(l); len(f) > 0 {
			all = append(all, f[len(f)-1])
		}
	}
	return all
}
