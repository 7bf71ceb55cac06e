package spec

import (
	"fmt"
	"path"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/engine/etc"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/sys/signal"
)

// Others are checks of other packages that have a place among those of Validate, which
// nothing but the request decides. Each is optional.
type Others struct {
	Mounts, Ports, Runtime, Tmpfs func() error
}

// Validate refuses, with InvalidArgument and Docker's words, what cannot
// become a container of any image, and fills in hc's defaults. What the host cannot do but
// the container can go without is taken out of hc and told in warnings. An empty command
// is not an error here (Merge has it). The first of several mistakes is Docker's first.
func Validate(cfg *container.Config, hc *container.HostConfig, host Host, others Others) (warnings []string, err error) {
	adapt(hc, host)
	for _, check := range []func() error{
		func() error { return validateNetwork(cfg, hc) },
		func() error { return validatePlatform(hc, host) },
		func() error { return ValidateConfig(cfg) },
		func() error { return validateRemoval(hc) },
		others.Mounts,
		func() error { return validateExtraHosts(hc) },
		others.Ports,
		func() error { return validateHostConfig(hc, host) },
		func() error { return validateHostname(cfg) },
		func() error { warnings, err = ValidateResources(&hc.Resources, host, false); return err },
		func() error { return validateNamespaces(hc, host) },
		others.Runtime,
		others.Tmpfs,
		func() error { return validateCgroupns(hc) },
	} {
		if check == nil {
			continue
		}
		if err := check(); err != nil {
			return warnings, err
		}
	}
	if hc.NetworkMode.IsHost() && len(hc.PortBindings) > 0 {
		warnings = append(warnings, "Published ports are discarded when using host network mode")
	}
	if hc.CgroupnsMode.IsPrivate() && !host.CgroupNamespaces {
		warnings = append(warnings, "Your kernel does not support cgroup namespaces.  Cgroup namespace setting discarded.")
	}
	return warnings, nil
}

// ValidateSecurity goes on where Docker has had a look at the image and the name. It
// refuses more than Docker's create, which leaves all but the form of --security-opt to
// the start; and with InvalidArgument, where Docker's create says that it failed itself.
func ValidateSecurity(hc *container.HostConfig, host Host) error {
	if err := validateSecurity(hc); err != nil {
		return err
	}
	return validateUlimits(hc, host)
}

// validatePlatform refuses what no Linux has.
func validatePlatform(hc *container.HostConfig, host Host) error {
	switch {
	case !hc.Isolation.IsValid():
		return invalid(fmt.Sprintf("invalid isolation (%s): linux only supports 'default'", hc.Isolation))
	case hc.IOMaximumBandwidth != 0:
		return invalid("invalid option: QoS maximum bandwidth configuration is not supported on linux")
	case hc.IOMaximumIOps != 0:
		return invalid("invalid option: QoS maximum IOPs configuration is not supported on linux")
	}
	if err := checkRealtime(&hc.Resources, host, false, nil); err != nil {
		return err
	}
	return checkShares(&hc.Resources)
}

// ValidateConfig refuses what no process of a container can have: of a request, and of
// what an image made of it.
func ValidateConfig(cfg *container.Config) error {
	if cfg.WorkingDir != "" {
		if !path.IsAbs(cfg.WorkingDir) {
			return invalid(fmt.Sprintf("the working directory '%s' is invalid, it needs to be an absolute path", cfg.WorkingDir))
		}
		cfg.WorkingDir = path.Clean(cfg.WorkingDir)
	}
	if cfg.StopSignal != "" {
		if _, err := signal.ParseSignal(cfg.StopSignal); err != nil {
			return invalid(err.Error())
		}
	}
	for _, e := range cfg.Env {
		if name, _, _ := strings.Cut(e, "="); name == "" {
			return invalid("invalid environment variable: " + e)
		}
		if strings.ContainsRune(e, 0) {
			return invalid(fmt.Sprintf("invalid environment variable: %q", e))
		}
	}
	for _, a := range append(append([]string{cfg.User, cfg.WorkingDir}, cfg.Entrypoint...), cfg.Cmd...) {
		if strings.ContainsRune(a, 0) {
			return invalid(fmt.Sprintf("invalid argument: %q contains a null character", a))
		}
	}
	return validateHealthcheck(cfg.Healthcheck)
}

// maxHostname is the kernel's __NEW_UTS_LEN.
const maxHostname = 64

// validateHostname keeps lines of /etc/hosts whole and the names within what
// sethostname(2) and setdomainname(2) take.
func validateHostname(cfg *container.Config) error {
	for _, name := range []string{cfg.Hostname, cfg.Domainname} {
		if strings.ContainsAny(name, " \t\n\r\x00/") {
			return invalid(fmt.Sprintf("invalid hostname format: %q", name))
		}
		if len(name) > maxHostname {
			return invalid(fmt.Sprintf("hostname %q is too long (maximum %d bytes)", name, maxHostname))
		}
	}
	return nil
}

func validateHealthcheck(h *container.HealthConfig) error {
	if h == nil {
		return nil
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{{"Interval", h.Interval}, {"Timeout", h.Timeout}, {"Retries", 0}, {"StartPeriod", h.StartPeriod}, {"StartInterval", h.StartInterval}} {
		switch {
		case d.name == "Retries" && h.Retries < 0:
			return invalid("Retries in Healthcheck cannot be negative")
		case d.value != 0 && d.value < container.MinimumDuration:
			return invalid(fmt.Sprintf("%s in Healthcheck cannot be less than %s", d.name, container.MinimumDuration))
		}
	}
	return nil
}

func validateRemoval(hc *container.HostConfig) error {
	if hc.AutoRemove && !hc.RestartPolicy.IsNone() {
		return invalid("can't create 'AutoRemove' container with restart policy")
	}
	return nil
}

func validateExtraHosts(hc *container.HostConfig) error {
	for _, h := range hc.ExtraHosts {
		if _, _, err := etc.ParseExtraHost(h); err != nil {
			return err
		}
	}
	return nil
}

func validateHostConfig(hc *container.HostConfig, host Host) error {
	if err := container.ValidateRestartPolicy(hc.RestartPolicy); err != nil {
		return invalid(err.Error())
	}
	if err := validateCapabilities(hc, host); err != nil {
		return err
	}
	if _, ok := hc.Annotations[""]; ok {
		return invalid("invalid Annotations: the empty string is not permitted as an annotation key")
	}
	if strings.ContainsRune(hc.CgroupParent, 0) {
		return invalid("invalid cgroup parent: it contains a null character")
	}
	if hc.Cgroup != "" {
		return invalid(fmt.Sprintf("invalid cgroup mode: %v", hc.Cgroup))
	}
	for option := range hc.StorageOpt {
		return invalid(fmt.Sprintf("--storage-opt is not supported by this snapshotter: %s", option))
	}
	return nil
}

func validateNamespaces(hc *container.HostConfig, host Host) error {
	if !hc.IpcMode.Valid() || hc.IpcMode.IsContainer() && hc.IpcMode.Container() == "" {
		return invalid(fmt.Sprintf("invalid IPC mode: %v", hc.IpcMode))
	}
	if !hc.PidMode.Valid() {
		return invalid(fmt.Sprintf("invalid PID mode: %v", hc.PidMode))
	}
	if hc.ShmSize < 0 {
		return invalid("SHM size can not be less than 0")
	}
	if !hc.UTSMode.Valid() {
		return invalid(fmt.Sprintf("invalid UTS mode: %v", hc.UTSMode))
	}
	if a := hc.OomScoreAdj; a < -1000 || a > 1000 {
		return invalid(fmt.Sprintf("Invalid value %d, range for oom score adj is [-1000, 1000]", a))
	}
	if hc.OomScoreAdj < host.OOMScoreAdj && hc.OomScoreAdj != 0 && !host.Can("CAP_SYS_RESOURCE") {
		return invalid(fmt.Sprintf("cannot set oom score adj to %d: the daemon's own is %d and it has no CAP_SYS_RESOURCE to lower it", hc.OomScoreAdj, host.OOMScoreAdj))
	}
	return nil
}

func validateCgroupns(hc *container.HostConfig) error {
	if !hc.CgroupnsMode.Valid() {
		return invalid(fmt.Sprintf("invalid cgroup namespace mode: %v", hc.CgroupnsMode))
	}
	if !hc.UsernsMode.Valid() { // Docker's daemon takes any
		return invalid(fmt.Sprintf("invalid user namespace mode: %v", hc.UsernsMode))
	}
	return nil
}

func validateCapabilities(hc *container.HostConfig, host Host) error {
	for _, f := range []struct {
		name string
		caps []string
	}{{"CapAdd", hc.CapAdd}, {"CapDrop", hc.CapDrop}} {
		names, err := normalizeCapabilities(f.caps)
		if err != nil {
			return invalid("invalid " + f.name + ": " + err.Error())
		}
		for _, c := range names {
			if f.name == "CapAdd" && c != allCapabilities && !host.Can(c) {
				return invalid(fmt.Sprintf("invalid CapAdd: capability not supported by your kernel or not available in the current environment: %q", c))
			}
		}
	}
	return nil
}

func validateSecurity(hc *container.HostConfig) error {
	sec, err := parseSecurity(hc.SecurityOpt, Defaults{})
	if err != nil {
		return err
	}
	if err := validateSeccomp(sec); err != nil {
		return err
	}
	for _, r := range hc.DeviceCgroupRules {
		if _, err := parseDeviceRule(r); err != nil {
			return err
		}
	}
	for _, d := range hc.Devices {
		if d.CgroupPermissions != "" && !validAccess(d.CgroupPermissions) {
			return invalid(fmt.Sprintf("invalid device mode: %s", d.CgroupPermissions))
		}
	}
	return validateSysctls(hc)
}
