package build

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strconv"
	"strings"

	"github.com/tonistiigi/go-csvvalue"
)

// attrs are the attributes that BuildKit's Dockerfile frontend takes
// (frontend/dockerui/config.go). getenv gives a build argument's value that is
// named alone; gateway is the host's address as seen by steps.
func (o *options) attrs(getenv func(string) (string, bool), gateway func() (string, error)) (map[string]string, error) {
	out := map[string]string{}
	set := func(key, value string) {
		if value != "" {
			out[key] = value
		}
	}
	for _, arg := range o.args {
		if key, value, ok := pair(arg, getenv); ok {
			out["build-arg:"+key] = value
		}
	}
	for _, label := range o.labels {
		key, value, _ := strings.Cut(label, "=")
		if key == "" {
			return nil, fmt.Errorf("invalid label %q: empty name", label)
		}
		out["label:"+key] = value
	}
	set("target", o.target)
	set("platform", strings.Join(o.platforms, ","))
	set("cgroup-parent", o.cgroupParent)
	hosts, err := extraHosts(o.hosts, gateway)
	if err != nil {
		return nil, err
	}
	set("add-hosts", hosts)
	set("ulimit", o.ulimitList())
	if n := o.shmSize.Value(); n > 0 {
		set("shm-size", strconv.FormatInt(n, 10))
	}
	o.limits.attrs(set)
	if err := o.cacheAttrs(out); err != nil {
		return nil, err
	}
	switch o.network {
	case "", "default":
	case "host", "none":
		out["force-network-mode"] = o.network
	case "bridge":
		return nil, fmt.Errorf("network mode %q not supported by BuildKit: steps are on the default bridge unless told otherwise", o.network)
	default:
		return nil, fmt.Errorf("network mode %q not supported by BuildKit", o.network)
	}
	return out, o.attestations(out)
}

// pair splits NAME=VALUE; a NAME alone has the environment's value, or is dropped.
func pair(s string, getenv func(string) (string, bool)) (key, value string, ok bool) {
	if key, value, ok = strings.Cut(s, "="); ok {
		return key, value, key != ""
	}
	value, ok = getenv(s)
	return s, value, ok
}

func (o *options) cacheAttrs(out map[string]string) error {
	if o.pull {
		out["image-resolve-mode"] = "pull"
	} else {
		out["image-resolve-mode"] = "local"
	}
	if o.noCache && len(o.noCacheFilter) > 0 {
		return errors.New("--no-cache and --no-cache-filter cannot currently be used together")
	}
	if len(o.noCacheFilter) > 0 {
		out["no-cache"] = strings.Join(o.noCacheFilter, ",")
	}
	if o.noCache {
		out["no-cache"] = ""
	}
	return nil
}

func (l *limits) attrs(set func(key, value string)) {
	number := func(key string, n int64) {
		if n != 0 {
			set(key, strconv.FormatInt(n, 10))
		}
	}
	number("memory", l.memory.Value())
	number("memswap", l.swap.Value())
	number("cpushares", l.cpuShares)
	number("cpuperiod", l.cpuPeriod)
	number("cpuquota", l.cpuQota)
	set("cpusetcpus", l.cpus)
	set("cpusetmems", l.mems)
}

func (o *options) ulimitList() string {
	if o.ulimits == nil {
		return ""
	}
	var all []string
	for _, u := range o.ulimits.GetList() {
		all = append(all, u.String())
	}
	return strings.Join(all, ",")
}

// extraHosts is BuildKit's "host=ip,…" of Docker's "host:ip".
func extraHosts(in []string, gateway func() (string, error)) (string, error) {
	var out []string
	for _, h := range in {
		host, ips, ok := strings.Cut(h, "=")
		if !ok {
			host, ips, ok = strings.Cut(h, ":")
		}
		if !ok || host == "" || ips == "" {
			return "", fmt.Errorf("invalid host %s", h)
		}
		if ips == "host-gateway" {
			ip, err := gateway()
			if err != nil {
				return "", fmt.Errorf("unable to derive the IP value for host-gateway: %w", err)
			}
			ips = ip
		}
		for ip := range strings.SplitSeq(ips, ",") {
			ip = strings.TrimSuffix(strings.TrimPrefix(ip, "["), "]")
			if _, err := netip.ParseAddr(ip); err != nil {
				return "", fmt.Errorf("invalid host %s", h)
			}
			out = append(out, host+"="+ip)
		}
	}
	return strings.Join(out, ","), nil
}

// attestations adds what is asked for, and buildx's default, the smallest
// provenance, unless an option or the environment say otherwise.
func (o *options) attestations(out map[string]string) error {
	asked := o.attests
	for kind, value := range map[string]string{"provenance": o.provenance, "sbom": o.sbom} {
		if value == "" {
			continue
		}
		on, err := strconv.ParseBool(value)
		switch {
		case err == nil:
			asked = append(asked, fmt.Sprintf("type=%s,disabled=%t", kind, !on))
		case strings.Contains(value, "="):
			asked = append(asked, "type="+kind+","+value)
		default:
			return fmt.Errorf("invalid value %q for --%s: true, false or key=value", value, kind)
		}
	}
	kinds := map[string]bool{}
	for _, a := range asked {
		kind, value, err := attestation(a)
		if err != nil {
			return err
		}
		if kinds[kind] {
			return fmt.Errorf("duplicate attestation field %s", kind)
		}
		if kinds[kind] = true; value != nil {
			out["attest:"+kind] = *value
		}
	}
	off, _ := strconv.ParseBool(os.Getenv("BUILDX_NO_DEFAULT_ATTESTATIONS"))
	if !kinds["provenance"] && !off {
		out["attest:provenance"] = "mode=min,inline-only=true"
	}
	return nil
}

// attestation parses "type=KIND[,key=value…]"; nil is one that is switched off.
func attestation(s string) (kind string, value *string, err error) {
	fields, err := csvvalue.Fields(s, nil)
	if err != nil {
		return "", nil, err
	}
	var rest []string
	disabled := false
	for _, f := range fields {
		key, v, ok := strings.Cut(f, "=")
		switch {
		case !ok:
			return "", nil, fmt.Errorf("invalid value %s: must be key=value", f)
		case key == "type":
			kind = v
		case key == "disabled":
			if disabled, err = strconv.ParseBool(v); err != nil {
				return "", nil, fmt.Errorf("invalid value %s", f)
			}
		default:
			rest = append(rest, f)
		}
	}
	if kind == "" {
		return "", nil, fmt.Errorf("attestation type not specified: %s", s)
	}
	if disabled {
		return kind, nil, nil
	}
	all := strings.Join(rest, ",")
	return kind, &all, nil
}
