package spec

import (
	"fmt"
	"math"
	"strings"

	"github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// rlimits are those that the user asked for and no others: a default would
// have to be raised, which takes CAP_SYS_RESOURCE.
func rlimits(ulimits []*units.Ulimit) ([]specs.POSIXRlimit, error) {
	var out []specs.POSIXRlimit
	for _, u := range ulimits {
		if u == nil {
			continue
		}
		// -1 is no limit and becomes the kernel's RLIM_INFINITY.
		r, err := u.GetRlimit()
		if err != nil {
			return nil, invalid(err.Error())
		}
		out = append(out, specs.POSIXRlimit{Type: "RLIMIT_" + strings.ToUpper(u.Name), Soft: r.Soft, Hard: r.Hard})
	}
	return out, nil
}

func validateUlimits(hc *container.HostConfig, host Host) error {
	limits, err := rlimits(hc.Ulimits)
	if err != nil {
		return err
	}
	for _, l := range limits {
		name := strings.ToLower(strings.TrimPrefix(l.Type, "RLIMIT_"))
		if l.Soft > l.Hard {
			return invalid(fmt.Sprintf("ulimit soft limit must be less than or equal to hard limit: %s: %s > %s", name, limit(l.Soft), limit(l.Hard)))
		}
		own, known := host.Rlimits[name]
		if known && l.Hard > own && !host.Can("CAP_SYS_RESOURCE") {
			return invalid(fmt.Sprintf("cannot set ulimit %s to %s: the daemon's own hard limit is %s and it has no CAP_SYS_RESOURCE to raise it", name, limit(l.Hard), limit(own)))
		}
	}
	return nil
}

func limit(v uint64) string {
	if v == math.MaxUint64 {
		return "unlimited"
	}
	return fmt.Sprint(v)
}
