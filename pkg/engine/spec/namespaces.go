package spec

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// namespaces lists those that the container does not share with the host.
// Order is that of Docker's default specification.
func namespaces(in Input) ([]specs.LinuxNamespace, error) {
	hc := in.HostConfig
	out := []specs.LinuxNamespace{{Type: specs.MountNamespace}}
	if in.NetNS != "" {
		out = append(out, specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: in.NetNS})
	}
	if !hc.UTSMode.IsHost() {
		out = append(out, specs.LinuxNamespace{Type: specs.UTSNamespace})
	}
	join := func(t specs.LinuxNamespaceType, file, ref string) error { // file is its name in /proc/PID/ns
		ns := specs.LinuxNamespace{Type: t}
		if ref != "" {
			pid, err := in.Namespaces(ref)
			if err != nil {
				// Docker calls it no conflict but its own failure.
				return errdefs.ErrInternal.WithMessage(fmt.Sprintf("failed to join %s namespace: %v", strings.ToUpper(file), err))
			}
			ns.Path = fmt.Sprintf("/proc/%d/ns/%s", pid, file)
		}
		out = append(out, ns)
		return nil
	}
	if !hc.PidMode.IsHost() {
		if err := join(specs.PIDNamespace, "pid", hc.PidMode.Container()); err != nil {
			return nil, err
		}
	}
	if !hc.IpcMode.IsHost() {
		if err := join(specs.IPCNamespace, "ipc", hc.IpcMode.Container()); err != nil {
			return nil, err
		}
	}
	if hc.CgroupnsMode.IsPrivate() && in.Host.CgroupNamespaces {
		out = append(out, specs.LinuxNamespace{Type: specs.CgroupNamespace})
	}
	return out, nil
}
