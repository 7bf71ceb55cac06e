package spec

import (
	"fmt"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/sys/capability"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const allCapabilities = "ALL"

// defaultCapabilities is Docker's set.
var defaultCapabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD",
	"CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP",
	"CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// capabilities is what the container's processes may have at most. Without
// ambient capabilities the kernel takes them all from other users than root at
// execve; that inheritable is empty is CVE-2022-24769.
func capabilities(hc *container.HostConfig, privileged bool, host Host) (*specs.LinuxCapabilities, error) {
	var set []string
	if privileged {
		set = host.Capabilities
	} else {
		add, err := normalizeCapabilities(hc.CapAdd)
		if err != nil {
			return nil, err
		}
		drop, err := normalizeCapabilities(hc.CapDrop)
		if err != nil {
			return nil, err
		}
		set = combineCapabilities(add, drop, host.Capabilities)
	}
	return &specs.LinuxCapabilities{Bounding: set, Effective: set, Permitted: set}, nil
}

// combineCapabilities applies --cap-drop, then --cap-add, to the default set
// and leaves out what the daemon cannot give.
func combineCapabilities(add, drop, available []string) []string {
	base := defaultCapabilities
	switch {
	case slices.Contains(drop, allCapabilities):
		base, drop = nil, nil
		if slices.Contains(add, allCapabilities) {
			base = available
		}
	case slices.Contains(add, allCapabilities):
		base, add = available, nil
	}
	var out []string
	for _, c := range base {
		if !slices.Contains(drop, c) && slices.Contains(available, c) {
			out = append(out, c)
		}
	}
	for _, c := range add {
		if slices.Contains(available, c) && !slices.Contains(out, c) {
			out = append(out, c)
		}
	}
	return out
}

// normalizeCapabilities reads names in any case, with or without "CAP_", and
// ALL. InvalidArgument for a name that no kernel has.
func normalizeCapabilities(names []string) ([]string, error) {
	out := make([]string, 0, len(names))
	for _, n := range names {
		c := strings.ToUpper(n)
		if c != allCapabilities && !strings.HasPrefix(c, "CAP_") {
			c = "CAP_" + c
		}
		if c != allCapabilities && !slices.Contains(knownCapabilities, c) {
			return nil, invalid(fmt.Sprintf("unknown capability: %q", c))
		}
		out = append(out, c)
	}
	return out, nil
}

var knownCapabilities = func() []string {
	var out []string
	for _, c := range capability.ListKnown() {
		out = append(out, capabilityName(c))
	}
	return out
}()

func capabilityName(c capability.Cap) string { return "CAP_" + strings.ToUpper(c.String()) }
