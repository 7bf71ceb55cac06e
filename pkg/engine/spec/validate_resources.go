package spec

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
)

// minMemory is Docker's: less does not carry a container through its start.
const minMemory = 6 << 20

// ValidateResources refuses limits that contradict one another or the host
// (InvalidArgument), and takes out of r, with a warning, those that the kernel
// cannot hold. update says that r changes a container that has limits already.
func ValidateResources(r *container.Resources, host Host, update bool) (warnings []string, err error) {
	w := &warner{}
	for _, check := range []func(*container.Resources, Host, bool, *warner) error{
		checkMemory, checkMemoryTuning, checkCPU, checkRealtime, checkCpuset, checkBlkio,
	} {
		if err := check(r, host, update, w); err != nil {
			return w.warnings, err
		}
	}
	return w.warnings, nil
}

type warner struct{ warnings []string }

// unless warns and says so, when a feature is wanted that is not there.
func (w *warner) unless(supported, wanted bool, msg string) bool {
	if supported || !wanted {
		return false
	}
	w.warnings = append(w.warnings, msg)
	return true
}

func checkMemory(r *container.Resources, host Host, update bool, w *warner) error {
	if r.Memory != 0 && r.Memory < minMemory {
		return invalid("Minimum memory limit allowed is 6MB")
	}
	if w.unless(host.MemoryLimit, r.Memory > 0, "Your kernel does not support memory limit capabilities or the cgroup is not mounted. Limitation discarded.") {
		r.Memory, r.MemorySwap = 0, -1
	}
	if w.unless(host.SwapLimit, r.Memory > 0 && r.MemorySwap != -1, "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.") {
		r.MemorySwap = -1
	}
	// The kernel takes no other for unlimited; Docker leaves it to the start. (Twice a huge limit is refused below.)
	if r.MemorySwap < -1 && r.Memory <= math.MaxInt64/2 {
		return invalid(fmt.Sprintf("Invalid memoryswap limit: %d, use -1 for unlimited swap", r.MemorySwap))
	}
	if r.Memory > 0 && r.MemorySwap > 0 && r.MemorySwap < r.Memory {
		return invalid("Minimum memoryswap limit should be larger than memory limit, see usage")
	}
	if r.Memory == 0 && r.MemorySwap > 0 && !update {
		return invalid("You should always set the Memory limit when using Memoryswap limit, see usage")
	}
	if w.unless(host.MemoryReservation, r.MemoryReservation > 0, "Your kernel does not support memory soft limit capabilities or the cgroup is not mounted. Limitation discarded.") {
		r.MemoryReservation = 0
	}
	if r.MemoryReservation > 0 && r.MemoryReservation < minMemory {
		return invalid("Minimum memory reservation allowed is 6MB")
	}
	if r.Memory > 0 && r.MemoryReservation > 0 && r.Memory < r.MemoryReservation {
		return invalid("Minimum memory limit can not be less than memory reservation limit, see usage")
	}
	return nil
}

func checkMemoryTuning(r *container.Resources, host Host, _ bool, w *warner) error {
	if w.unless(host.Swappiness, r.MemorySwappiness != nil, "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.") {
		r.MemorySwappiness = nil
	}
	if s := r.MemorySwappiness; s != nil && (*s < 0 || *s > 100) {
		return invalid(fmt.Sprintf("Invalid value: %v, valid memory swappiness range is 0-100", *s))
	}
	disabled := r.OomKillDisable != nil && *r.OomKillDisable
	if !host.OomKillDisable {
		w.unless(false, disabled, "Your kernel does not support OomKillDisable. OomKillDisable discarded.")
		r.OomKillDisable, disabled = nil, false
	}
	w.unless(r.Memory != 0, disabled, "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.")
	if !host.PidsLimit {
		w.unless(false, r.PidsLimit != nil && *r.PidsLimit > 0, "Your kernel does not support PIDs limit capabilities or the cgroup is not mounted. PIDs limit discarded.")
		r.PidsLimit = nil
	}
	return nil
}

func checkCPU(r *container.Resources, host Host, _ bool, w *warner) error {
	switch {
	case r.NanoCPUs > 0 && r.CPUPeriod > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Period cannot both be set")
	case r.NanoCPUs > 0 && r.CPUQuota > 0:
		return invalid("Conflicting options: Nano CPUs and CPU Quota cannot both be set")
	case r.NanoCPUs > 0 && !host.CPUCfs:
		return invalid("NanoCPUs can not be set, as your kernel does not support CPU CFS scheduler or the cgroup is not mounted")
	case r.NanoCPUs < 0 || r.NanoCPUs > int64(host.CPUs)*1e9:
		return invalid(fmt.Sprintf("range of CPUs is from 0.01 to %d.00, as there are only %d CPUs available", host.CPUs, host.CPUs))
	}
	if err := checkShares(r); err != nil {
		return err
	}
	if w.unless(host.CPUShares, r.CPUShares > 0, "Your kernel does not support CPU shares or the cgroup is not mounted. Shares discarded.") {
		r.CPUShares = 0
	}
	if w.unless(host.CPUCfs, r.CPUPeriod != 0 || r.CPUQuota != 0, "Your kernel does not support CPU CFS scheduler. CPU period/quota discarded.") {
		r.CPUPeriod, r.CPUQuota = 0, 0
	}
	if r.CPUPeriod != 0 && (r.CPUPeriod < 1000 || r.CPUPeriod > 1000000) {
		return invalid("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)")
	}
	if r.CPUQuota > 0 && r.CPUQuota < 1000 {
		return invalid("CPU cfs quota can not be less than 1ms (i.e. 1000)")
	}
	if w.unless(false, r.CPUPercent > 0, "linux does not support CPU percent. Percent discarded.") {
		r.CPUPercent = 0
	}
	return nil
}

func checkShares(r *container.Resources) error {
	if r.CPUShares < 0 {
		return invalid(fmt.Sprintf("invalid CPU shares (%d): value must be a positive integer", r.CPUShares))
	}
	return nil
}

func checkRealtime(r *container.Resources, host Host, _ bool, _ *warner) error {
	if (r.CPURealtimePeriod != 0 || r.CPURealtimeRuntime != 0) && !host.CPURealtime {
		return invalid("kernel does not support CPU real-time scheduler")
	}
	if r.CPURealtimePeriod < 0 || r.CPURealtimeRuntime < 0 {
		return invalid("cpu real-time period and runtime cannot be negative")
	}
	if r.CPURealtimePeriod != 0 && r.CPURealtimeRuntime > r.CPURealtimePeriod {
		return invalid("cpu real-time runtime cannot be higher than cpu real-time period")
	}
	return nil
}

func checkCpuset(r *container.Resources, host Host, _ bool, w *warner) error {
	if w.unless(host.Cpuset, r.CpusetCpus != "" || r.CpusetMems != "", "Your kernel does not support cpuset or the cgroup is not mounted. Cpuset discarded.") {
		r.CpusetCpus, r.CpusetMems = "", ""
	}
	for _, s := range []struct{ asked, online, kind, what string }{
		{r.CpusetCpus, host.CPUSet, "cpus", "CPUs"},
		{r.CpusetMems, host.MemorySet, "mems", "memory nodes"},
	} {
		asked, err := parseSet(s.asked)
		if err != nil {
			return invalid(fmt.Sprintf("Invalid value %s for cpuset %s: %v", s.asked, s.kind, err))
		}
		online, err := parseSet(s.online)
		if err != nil {
			return fmt.Errorf("the kernel's list of %s: %w", s.what, err)
		}
		for n := range asked {
			if !online[n] {
				return invalid(fmt.Sprintf("Requested %s are not available - requested %s, available: %s", s.what, s.asked, s.online))
			}
		}
	}
	return nil
}

// parseSet reads the kernel's list format (cpuset(7)), "0-3,7".
func parseSet(s string) (map[int]bool, error) {
	const last = 8192 // the largest NR_CPUS of any architecture
	set := map[int]bool{}
	if s == "" {
		return set, nil
	}
	for part := range strings.SplitSeq(s, ",") {
		from, to, isRange := strings.Cut(part, "-")
		lo, err := strconv.ParseUint(strings.TrimSpace(from), 10, 63)
		if err != nil {
			return nil, fmt.Errorf("invalid format: %s", s)
		}
		hi := lo
		if isRange {
			if hi, err = strconv.ParseUint(strings.TrimSpace(to), 10, 63); err != nil {
				return nil, fmt.Errorf("invalid format: %s", s)
			}
		}
		if hi < lo {
			return nil, fmt.Errorf("invalid format: %s", s)
		}
		if hi > last {
			return nil, fmt.Errorf("value of out range, maximum is %d", last)
		}
		for n := lo; n <= hi; n++ {
			set[int(n)] = true
		}
	}
	return set, nil
}

func checkBlkio(r *container.Resources, host Host, _ bool, w *warner) error {
	if w.unless(host.BlkioWeight, r.BlkioWeight > 0, "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.") {
		r.BlkioWeight = 0
	}
	if r.BlkioWeight > 0 && (r.BlkioWeight < 10 || r.BlkioWeight > 1000) {
		return invalid("Range of blkio weight is from 10 to 1000")
	}
	if r.IOMaximumBandwidth != 0 || r.IOMaximumIOps != 0 {
		return invalid("Invalid QoS settings: linux does not support Maximum IO Bandwidth or Maximum IO IOps")
	}
	if w.unless(host.BlkioWeightDevice, len(r.BlkioWeightDevice) > 0, "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.") {
		r.BlkioWeightDevice = nil
	}
	if w.unless(host.BlkioThrottle, len(r.BlkioDeviceReadBps) > 0, "Your kernel does not support BPS Block I/O read limit or the cgroup is not mounted. Block I/O BPS read limit discarded.") {
		r.BlkioDeviceReadBps = nil
	}
	if w.unless(host.BlkioThrottle, len(r.BlkioDeviceWriteBps) > 0, "Your kernel does not support BPS Block I/O write limit or the cgroup is not mounted. Block I/O BPS write limit discarded.") {
		r.BlkioDeviceWriteBps = nil
	}
	if w.unless(host.BlkioThrottle, len(r.BlkioDeviceReadIOps) > 0, "Your kernel does not support IOPS Block read limit or the cgroup is not mounted. Block I/O IOPS read limit discarded.") {
		r.BlkioDeviceReadIOps = nil
	}
	if w.unless(host.BlkioThrottle, len(r.BlkioDeviceWriteIOps) > 0, "Your kernel does not support IOPS Block write limit or the cgroup is not mounted. Block I/O IOPS write limit discarded.") {
		r.BlkioDeviceWriteIOps = nil
	}
	if r.Memory > math.MaxInt64/2 { // MemorySwap is twice that
		return invalid("Invalid memory limit: it is larger than what the kernel can count")
	}
	return nil
}
