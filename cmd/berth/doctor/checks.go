package doctor

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// oldest is the first kernel that has all that Berth uses (docs/install.md).
var oldest = [2]int{5, 10}

func checkHost(h host) []Result {
	return []Result{
		checkRights(h), checkKernel(h), checkNamespaces(h), checkOverlay(h), checkSeccomp(h), checkCgroups(h.cgroup),
		checkNftables(h), checkForwarding(h), checkDisk(h.disk), checkPrograms(h),
	}
}

func checkRights(h host) Result {
	if h.root {
		return Result{Check: "rights", Status: OK, Detail: "root"}
	}
	return Result{Check: "rights", Status: Warning, Detail: "not root: leaks and the firewall cannot be looked at", Advice: "run it as root"}
}

func checkKernel(h host) Result {
	r := Result{Check: "kernel", Status: OK, Detail: h.kernel}
	major, minor, ok := release(h.kernel)
	if !ok {
		r.Status, r.Detail, r.Advice = Warning, fmt.Sprintf("%q is not a release that is known", h.kernel), "Linux 5.10 or newer is needed"
	} else if major < oldest[0] || major == oldest[0] && minor < oldest[1] {
		r.Status, r.Advice = Problem, "Linux 5.10 or newer is needed"
	}
	return r
}

// release reads "6.18.3-amd64".
func release(s string) (major, minor int, ok bool) {
	first, rest, found := strings.Cut(s, ".")
	digits := strings.IndexFunc(rest, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		digits = len(rest)
	}
	major, err := strconv.Atoi(first)
	minor, err2 := strconv.Atoi(rest[:digits])
	return major, minor, found && err == nil && err2 == nil
}

func checkNamespaces(h host) Result {
	if lacks := lacking(h.namespaces, "cgroup", "ipc", "mnt", "net", "pid", "uts"); len(lacks) > 0 {
		return Result{Check: "namespaces", Status: Problem, Detail: "the kernel has no namespaces of " + list(lacks), Advice: "use a kernel with them (CONFIG_NAMESPACES)"}
	}
	return Result{Check: "namespaces", Status: OK, Detail: "all that containers need"}
}

func checkOverlay(h host) Result {
	if slices.Contains(h.filesystems, "overlay") {
		return Result{Check: "overlayfs", Status: OK, Detail: "the kernel has it"}
	}
	return Result{Check: "overlayfs", Status: Problem, Detail: "the kernel does not have it now", Advice: "modprobe overlay (CONFIG_OVERLAY_FS), or another --storage-driver"}
}

func checkSeccomp(h host) Result {
	if h.seccomp {
		return Result{Check: "seccomp", Status: OK, Detail: "the kernel has it"}
	}
	return Result{Check: "seccomp", Status: Warning, Detail: "system calls of containers are not filtered", Advice: "use a kernel with CONFIG_SECCOMP_FILTER"}
}

func checkCgroups(c cgroups) Result {
	r := Result{Check: "cgroups", Status: OK, Detail: fmt.Sprintf("version %d", c.version)}
	// By devices a container is kept from those of the host; version 2 does that without a controller.
	needed, wanted := []string{"devices"}, []string{"cpu", "cpuset", "memory", "pids", "blkio", "freezer"}
	switch c.version {
	case 0:
		return Result{Check: "cgroups", Status: Problem, Detail: "no cgroups are mounted at /sys/fs/cgroup", Advice: "mount them: mount -t cgroup2 none /sys/fs/cgroup"}
	case 2:
		needed, wanted = nil, []string{"cpu", "cpuset", "memory", "pids", "io"}
	}
	if lacks := lacking(c.controllers, needed...); len(lacks) > 0 {
		r.Status, r.Detail, r.Advice = Problem, r.Detail+" without "+list(lacks), "mount the controller below /sys/fs/cgroup"
	} else if lacks := lacking(c.controllers, wanted...); len(lacks) > 0 {
		r.Status, r.Detail = Warning, r.Detail+" without "+list(lacks)+": their limits have no effect"
		r.Advice = "enable the controllers (kernel parameters, or mounts below /sys/fs/cgroup)"
	}
	return r
}

func checkNftables(h host) Result {
	switch {
	case h.nftables == nil:
		return Result{Check: "nftables", Status: OK, Detail: "the kernel answers"}
	case !h.root:
		return Result{Check: "nftables", Status: Skipped, Detail: message(h.nftables)}
	}
	return Result{Check: "nftables", Status: Problem, Detail: message(h.nftables), Advice: "modprobe nf_tables (CONFIG_NF_TABLES); without it use --bridge none"}
}

func checkForwarding(h host) Result {
	switch {
	case h.forwarding == "1":
		return Result{Check: "forwarding", Status: OK, Detail: "net.ipv4.ip_forward is 1"}
	case h.forward && h.bridged:
		return Result{Check: "forwarding", Status: Problem, Detail: "net.ipv4.ip_forward is 0 since the daemon started: containers reach this host only",
			Advice: "sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d if it was turned off there"}
	case h.forward:
		return Result{Check: "forwarding", Status: OK, Detail: "net.ipv4.ip_forward is 0; the daemon turns it on when it starts"}
	}
	return Result{Check: "forwarding", Status: Warning, Detail: "net.ipv4.ip_forward is 0 and ip-forward is false: containers reach this host only", Advice: "sysctl -w net.ipv4.ip_forward=1"}
}

// Less than this of the disk is too little for anything that is pulled or written.
const leastFree = 0.05

func checkDisk(d disk) Result {
	r := Result{Check: "disk", Status: OK}
	switch {
	case d.err != nil:
		return Result{Check: "disk", Status: Problem, Detail: d.path + ": " + message(d.err), Advice: "make the folder reachable, or set data-root"}
	case d.kind != "":
		return Result{
			Check: "disk", Status: Problem, Detail: d.path + " is on " + d.kind + ", where overlayfs cannot have its layers",
			Advice: "have data-root on a file system of its own (ext4, xfs, btrfs), or another storage-driver",
		}
	}
	r.Detail = fmt.Sprintf("%s of %s free below %s", units.BytesSize(float64(d.free)), units.BytesSize(float64(d.total)), d.path)
	switch {
	case float64(d.free) < leastFree*float64(d.total):
		r.Status, r.Advice = Warning, "berth system df shows what takes the space, berth system prune frees it; see image-gc"
	case d.inodes > 0 && float64(d.freeInodes) < leastFree*float64(d.inodes):
		r.Status, r.Detail, r.Advice = Warning, fmt.Sprintf("%d of %d inodes free below %s", d.freeInodes, d.inodes, d.path), "berth system prune frees inodes as well"
	}
	return r
}

func checkPrograms(h host) Result {
	switch {
	case len(h.missing) > 0:
		return Result{Check: "programs", Status: Problem, Detail: list(h.missing) + " not beside berth, nor in ../libexec/berth", Advice: "install Berth as a whole: docs/install.md"}
	case len(h.optional) > 0:
		return Result{
			Check: "programs", Status: Warning, Detail: "there is no " + list(h.optional),
			Advice: "install them: git is for build contexts of URLs, ps for berth top",
		}
	}
	return Result{Check: "programs", Status: OK, Detail: "all there"}
}

// lacking are those of want that are not in have.
func lacking(have []string, want ...string) (lacks []string) {
	for _, w := range want {
		if !slices.Contains(have, w) {
			lacks = append(lacks, w)
		}
	}
	return lacks
}

func list(names []string) string { return strings.Join(names, ", ") }
