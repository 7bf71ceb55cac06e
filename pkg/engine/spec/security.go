package spec

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"github.com/moby/profiles/seccomp"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// security is what --security-opt says. (The CLI reads seccomp profile files
// and turns systempaths=unconfined into empty path lists itself.)
type security struct {
	noNewPrivileges bool
	seccomp         string // "", "builtin", "unconfined" or a profile's JSON
	inherited       string // the same, of the daemon: for those who say nothing and are not privileged
	appArmor        string // "" is the default
	writableCgroups *bool
}

// parseSecurity reads --security-opt values over the daemon's. InvalidArgument for
// what is not one.
func parseSecurity(opts []string, d Defaults) (security, error) {
	s := security{noNewPrivileges: d.NoNewPrivileges, inherited: d.Seccomp}
	for _, o := range opts {
		if o == "no-new-privileges" {
			s.noNewPrivileges = true
			continue
		}
		if o == "writable-cgroups" {
			writable := true
			s.writableCgroups = &writable
			continue
		}
		if o == "disable" { // of labels, of which we set none
			continue
		}
		key, value, ok := strings.Cut(o, "=")
		if !ok {
			key, value, ok = strings.Cut(o, ":") // the form before Docker 1.11
		}
		if !ok {
			return s, invalid(fmt.Sprintf("invalid --security-opt 1: %q", o))
		}
		switch key {
		case "label": // SELinux: labels are never set
		case "apparmor":
			s.appArmor = value
		case "seccomp":
			s.seccomp = value
		case "no-new-privileges", "writable-cgroups":
			b, err := strconv.ParseBool(value)
			if err != nil {
				return s, invalid(fmt.Sprintf("invalid --security-opt 2: %q", o))
			}
			if key == "no-new-privileges" {
				s.noNewPrivileges = b
			} else {
				s.writableCgroups = &b
			}
		default:
			return s, invalid(fmt.Sprintf("invalid --security-opt 2: %q", o))
		}
	}
	return s, nil
}

// appArmorProfile is "" where the kernel has no AppArmor; Docker ignores the
// option there, too.
func appArmorProfile(sec security, privileged bool, host Host) string {
	switch {
	case !host.AppArmor:
		return ""
	case sec.appArmor != "":
		return sec.appArmor
	case privileged:
		return "unconfined"
	}
	return host.AppArmorProfile
}

// seccompProfile is the filter for a container with the given bounding set, on
// which Docker's profile depends. nil is no filter.
func seccompProfile(sec security, privileged bool, bounding []string, host Host) (*specs.LinuxSeccomp, error) {
	want := sec.seccomp
	if want == "" && privileged {
		return nil, nil
	}
	if want == "" {
		want = sec.inherited
	}
	builtin := want == "" || want == "builtin"
	switch {
	case want == "unconfined", builtin && !host.Seccomp:
		return nil, nil
	case builtin:
		return defaultSeccomp(bounding)
	case !host.Seccomp:
		return nil, invalid("seccomp is not enabled in your kernel, cannot run a custom seccomp profile")
	}
	p, err := seccomp.LoadProfile(want, boundedBy(bounding))
	if err != nil {
		return nil, invalid(err.Error())
	}
	return p, nil
}

// profiles keeps the default profile of each bounding set that was asked for:
// making one costs as much as the rest of the specification. Only few sets are
// in use, and a client that tries many cannot make it grow.
var profiles struct {
	mu   sync.Mutex // guards made
	made map[string]*specs.LinuxSeccomp
}

const maxProfiles = 64

func defaultSeccomp(bounding []string) (*specs.LinuxSeccomp, error) {
	key := strings.Join(bounding, ",")
	profiles.mu.Lock()
	p := profiles.made[key]
	profiles.mu.Unlock()
	if p != nil {
		return p, nil
	}
	p, err := seccomp.GetDefaultProfile(boundedBy(bounding))
	if err != nil {
		return nil, fmt.Errorf("default seccomp profile: %w", err)
	}
	profiles.mu.Lock()
	defer profiles.mu.Unlock()
	if profiles.made == nil || len(profiles.made) >= maxProfiles {
		profiles.made = make(map[string]*specs.LinuxSeccomp)
	}
	profiles.made[key] = p
	return p, nil
}

func boundedBy(caps []string) *specs.Spec {
	return &specs.Spec{Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: caps}}}
}

// validateSeccomp finds out at create what would fail at start.
func validateSeccomp(sec security) error {
	if sec.seccomp == "" || sec.seccomp == "builtin" || sec.seccomp == "unconfined" {
		return nil
	}
	if !json.Valid([]byte(sec.seccomp)) {
		return invalid("Decoding seccomp profile failed: it is not JSON")
	}
	if _, err := seccomp.LoadProfile(sec.seccomp, boundedBy(nil)); err != nil {
		return invalid(err.Error())
	}
	return nil
}
