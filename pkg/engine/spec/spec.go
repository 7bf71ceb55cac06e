// Package spec turns what a Docker client asked for into an OCI runtime
// specification. It decides and does not act: apart from MountShm and
// DetectHost nothing here changes or scans the host, and the same input gives
// the same specification. The rules (defaults, order, messages) are those of
// Docker Engine 29; where Docker leaves a choice to the kernel the comment says
// so. Mounts of volumes, binds and --tmpfs are resolved by the caller.
package spec

import (
	"context"
	"path"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Input is all that a specification depends on.
type Input struct {
	ID         string
	Name       string                // without slash
	Config     *container.Config     // merged with the image's (Merge)
	HostConfig *container.HostConfig // with defaults filled in (Validate)
	LinkEnv    []string              // that links bring; the container's own variables win

	// Dir is the container's folder, in which Files wrote hostname, hosts and
	// resolv.conf; they are bind mounted from there.
	Dir string

	NetNS  string        // path of the network namespace; "" is the host's
	Mounts []specs.Mount // of volumes, binds and tmpfs
	Init   string        // absolute path of berth-init on the host, for --init

	// Shm is the host path of a tmpfs (MountShm) that becomes /dev/shm. It is
	// required for the ipc modes shareable and container:REF (there: REF's);
	// for private ipc the container gets a tmpfs of its own.
	Shm string

	// Lookup reads a file of the container's root, following links inside that
	// root only. An absent file is NotFound or fs.ErrNotExist; one that is
	// longer than max bytes is an error.
	Lookup func(file string, max int64) ([]byte, error)

	// Namespaces finds the process whose namespaces container:REF modes join.
	Namespaces func(ref string) (pid int, err error)

	Host     Host
	Defaults Defaults
}

// Build makes the specification of the container's task; its rootfs is at the
// bundle's "rootfs". Errors that the user can mend are InvalidArgument.
// The result may share slices with other results: it is to be read, not changed.
func Build(ctx context.Context, in Input) (*specs.Spec, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	sec, err := parseSecurity(in.HostConfig.SecurityOpt, in.Defaults)
	if err != nil {
		return nil, err
	}
	process, err := initProcess(in, sec)
	if err != nil {
		return nil, err
	}
	namespaces, err := namespaces(in)
	if err != nil {
		return nil, err
	}
	mounts, err := mounts(in, sec)
	if err != nil {
		return nil, err
	}
	linux := &specs.Linux{
		Sysctl:            sysctls(in),
		CgroupsPath:       CgroupsPath(in.HostConfig, in.Defaults.CgroupParent, in.ID),
		Namespaces:        namespaces,
		RootfsPropagation: rootfsPropagation(in.Mounts),
	}
	linux.MaskedPaths, linux.ReadonlyPaths = hiddenPaths(in.HostConfig, in.Host)
	if linux.Resources, err = Resources(&in.HostConfig.Resources, in.Host); err != nil {
		return nil, err
	}
	if linux.Devices, linux.Resources.Devices, err = devices(in.HostConfig); err != nil {
		return nil, err
	}
	if linux.Seccomp, err = seccompProfile(sec, in.HostConfig.Privileged, process.Capabilities.Bounding, in.Host); err != nil {
		return nil, err
	}
	s := &specs.Spec{
		Version:     specs.Version,
		Process:     process,
		Root:        &specs.Root{Path: "rootfs", Readonly: in.HostConfig.ReadonlyRootfs},
		Mounts:      mounts,
		Annotations: in.HostConfig.Annotations,
		Linux:       linux,
	}
	if !in.HostConfig.UTSMode.IsHost() {
		s.Hostname, s.Domainname = in.Config.Hostname, in.Config.Domainname
	}
	return s, nil
}

// CgroupsPath is the container's cgroup below each hierarchy's root.
func CgroupsPath(hc *container.HostConfig, daemonParent, id string) string {
	parent := "/berth"
	if daemonParent != "" {
		parent = daemonParent
	}
	if hc.CgroupParent != "" {
		parent = hc.CgroupParent
	}
	// Cleaned as an absolute path, so that no number of ".." leaves the root.
	return path.Join(path.Clean("/"+strings.TrimPrefix(parent, "/")), id)
}

// invalid is an InvalidArgument that prints msg alone.
func invalid(msg string) error { return errdefs.ErrInvalidArgument.WithMessage(msg) }
