package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// sysctls are the user's, and two of Docker's own in a network namespace of
// the container's own: anyone there may bind low ports and send pings, for
// which images would otherwise have to run as root.
func sysctls(in Input) map[string]string {
	out := make(map[string]string, len(in.HostConfig.Sysctls)+2)
	if in.NetNS != "" && !in.HostConfig.NetworkMode.IsContainer() {
		for _, k := range in.Host.NetSysctls {
			out[k] = netSysctls[k]
		}
	}
	for k, v := range in.HostConfig.Sysctls {
		out[dotted(k)] = v
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

var netSysctls = map[string]string{
	"net.ipv4.ip_unprivileged_port_start": "0",
	"net.ipv4.ping_group_range":           "0 2147483647",
}

// ipcSysctls belong to the ipc namespace (sysctl(5), ipc/ipc_sysctl.c).
var ipcSysctls = []string{
	"kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem", "kernel.shmall",
	"kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced",
}

// validateSysctls refuses what would change the host, as the runtime does, but
// at create.
func validateSysctls(hc *container.HostConfig) error {
	for _, key := range slices.Sorted(maps.Keys(hc.Sysctls)) {
		k := dotted(key)
		switch {
		case slices.Contains(ipcSysctls, k) || strings.HasPrefix(k, "fs.mqueue."):
			if hc.IpcMode.IsHost() {
				return invalid(fmt.Sprintf("sysctl %q is not allowed in the hosts ipc namespace", key))
			}
		case strings.HasPrefix(k, "net."):
			if hc.NetworkMode.IsHost() {
				return invalid(fmt.Sprintf("sysctl %q not allowed in host network namespace", key))
			}
		case k == "kernel.domainname" || k == "kernel.hostname":
			if hc.UTSMode.IsHost() {
				return invalid(fmt.Sprintf("sysctl %q is not allowed as it conflicts with the host's UTS namespace", key))
			}
			if k == "kernel.hostname" {
				return invalid(fmt.Sprintf("sysctl %q is not allowed as it conflicts with the OCI \"hostname\" field", key))
			}
		default:
			return invalid(fmt.Sprintf("sysctl %q is not in a separate kernel namespace", key))
		}
	}
	return nil
}

// dotted is the key with dots, which sysctl(8) lets one write as slashes. The
// separator is whichever comes first, so that net/ipv4/conf/eth0.1/forwarding
// keeps its interface's dot.
func dotted(k string) string {
	i := strings.IndexAny(k, "./")
	if i < 0 || k[i] == '.' {
		return k
	}
	return strings.Map(func(r rune) rune {
		switch r {
		case '.':
			return '/'
		case '/':
			return '.'
		}
		return r
	}, k)
}
