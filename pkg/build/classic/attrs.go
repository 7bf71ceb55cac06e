package classic

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	bkclient "github.com/moby/buildkit/client"
)

func invalid(format string, a ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, a...))
}

// attrs are the attributes of BuildKit's Dockerfile frontend
// (frontend/dockerui/config.go), and what the build must be allowed to do.
// gateway is the host's address as steps see it, "" if there is none.
func (r *Request) attrs(gateway string) (out map[string]string, allow []string, err error) {
	if err := r.check(); err != nil {
		return nil, nil, err
	}
	out = map[string]string{"image-resolve-mode": "local"}
	set := func(key, value string) {
		if value != "" {
			out[key] = value
		}
	}
	for key, value := range r.BuildArgs {
		if value != nil {
			out["build-arg:"+key] = *value
		}
	}
	for key, value := range r.Labels {
		out["label:"+key] = value
	}
	if r.Pull {
		out["image-resolve-mode"] = "pull"
	}
	if r.NoCache {
		out["no-cache"] = ""
	}
	set("filename", r.Dockerfile)
	set("context", r.Remote)
	set("target", r.Target)
	for p := range strings.SplitSeq(r.Platform, ",") {
		if _, err := platforms.Parse(p); p != "" && err != nil {
			return nil, nil, invalid("invalid platform %q: %v", p, err)
		}
	}
	set("platform", r.Platform)
	set("cgroup-parent", r.CgroupParent)
	r.limits(set)
	hosts, err := r.hosts(gateway)
	if err != nil {
		return nil, nil, err
	}
	set("add-hosts", hosts)
	switch r.Network {
	case "", "default", "bridge":
	case "none":
		out["force-network-mode"] = "none"
	case "host":
		out["force-network-mode"] = "host"
		allow = []string{"network.host"}
	default:
		return nil, nil, invalid("network mode %q not supported by buildkit", r.Network)
	}
	return out, allow, nil
}

func (r *Request) limits(set func(key, value string)) {
	number := func(key string, n int64) {
		if n != 0 {
			set(key, strconv.FormatInt(n, 10))
		}
	}
	number("shm-size", r.ShmSize)
	number("memory", r.Limits.Memory)
	number("memswap", r.Limits.MemorySwap)
	number("cpushares", r.Limits.CPUShares)
	number("cpuperiod", r.Limits.CPUPeriod)
	number("cpuquota", r.Limits.CPUQuota)
	set("cpusetcpus", r.Limits.CPUs)
	set("cpusetmems", r.Limits.Mems)
	var ulimits []string
	for _, u := range r.Ulimits {
		if u != nil {
			ulimits = append(ulimits, fmt.Sprintf("%s=%d:%d", u.Name, u.Soft, u.Hard))
		}
	}
	set("ulimit", strings.Join(ulimits, ","))
}

// hosts is BuildKit's "host=ip,…" of Docker's "host:ip".
func (r *Request) hosts(gateway string) (string, error) {
	var out []string
	for _, h := range r.ExtraHosts {
		host, ip, _ := strings.Cut(h, ":")
		if ip == "host-gateway" {
			if ip = gateway; ip == "" {
				return "", invalid("unable to derive the IP value for host-gateway")
			}
		}
		if _, err := netip.ParseAddr(ip); err != nil || host == "" {
			return "", invalid("invalid extra host %q: must be host:ip", h)
		}
		out = append(out, host+"="+ip)
	}
	return strings.Join(out, ","), nil
}

// exports are where the result goes: the image store unless said otherwise.
func (r *Request) exports() ([]bkclient.ExportEntry, error) {
	name := strings.Join(r.Tags, ",")
	if len(r.Outputs) == 0 {
		return []bkclient.ExportEntry{{Type: "moby", Attrs: map[string]string{"name": name}}}, nil
	}
	if len(r.Outputs) > 1 {
		return nil, invalid("multiple outputs not supported")
	}
	o := r.Outputs[0]
	if o.Attrs == nil {
		o.Attrs = map[string]string{}
	}
	switch o.Type {
	case "", "image", "moby":
		o.Type = "moby"
		if o.Attrs["name"] == "" {
			o.Attrs["name"] = name
		}
	case "cacheonly":
		return nil, nil
	default:
		if !r.Version2 {
			return nil, invalid("output type %q needs a client with BuildKit", o.Type)
		}
	}
	return []bkclient.ExportEntry{{Type: o.Type, Attrs: o.Attrs}}, nil
}

func (r *Request) imports() []bkclient.CacheOptionsEntry {
	var out []bkclient.CacheOptionsEntry
	for _, ref := range r.CacheFrom {
		out = append(out, bkclient.CacheOptionsEntry{Type: "registry", Attrs: map[string]string{"ref": ref}})
	}
	return out
}
