package build

import (
	"encoding/base64"
	"encoding/json"
	"strings"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/build/classic"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
)

// request reads a build's parameters.
func request(r *api.Request) (classic.Request, error) {
	q := r.Query
	out := classic.Request{
		Session: q.Get("session"), ID: q.Get("buildid"), Remote: q.Get("remote"), Dockerfile: q.Get("dockerfile"),
		Tags: nonempty(q["t"]), ExtraHosts: nonempty(q["extrahosts"]),
		Target: q.Get("target"), Platform: q.Get("platform"),
		Quiet: r.Bool("q"), NoCache: r.Bool("nocache"), Pull: r.Bool("pull"),
		Network: q.Get("networkmode"), CgroupParent: q.Get("cgroupparent"),
		Limits: classic.Limits{CPUs: q.Get("cpusetcpus"), Mems: q.Get("cpusetmems")},
	}
	switch v := q.Get("version"); v {
	case "", "1":
	case "2":
		out.Version2 = true
	default:
		return out, api.Invalid("invalid version %q", v)
	}
	if r.Bool("squash") {
		return out, api.Invalid("squash is only supported with experimental mode")
	}
	if len(nonempty(q["securityopt"])) > 0 {
		return out, api.Invalid("security options are not supported on linux")
	}
	if i := container.Isolation(q.Get("isolation")); !i.IsDefault() {
		return out, api.Invalid("unsupported isolation: %q", i)
	}
	if err := numbers(r, &out); err != nil {
		return out, err
	}
	for _, p := range []struct {
		key, wrong string // Docker's words
		to         any
	}{
		{"outputs", "invalid outputs specified", &out.Outputs},
		{"ulimits", "error reading ulimit settings", &out.Ulimits},
		{"buildargs", "error reading build args", &out.BuildArgs},
		{"labels", "error reading labels", &out.Labels},
		{"cachefrom", "error reading cache-from", &out.CacheFrom},
	} {
		if err := decode(q.Get(p.key), p.to); err != nil {
			return out, api.Invalid("%s: %v", p.wrong, err)
		}
	}
	out.Auth = registries(r.Header.Get("X-Registry-Config"))
	return out, nil
}

func numbers(r *api.Request, out *classic.Request) error {
	for key, to := range map[string]*int64{
		"memory": &out.Limits.Memory, "memswap": &out.Limits.MemorySwap, "shmsize": &out.ShmSize,
		"cpushares": &out.Limits.CPUShares, "cpuperiod": &out.Limits.CPUPeriod, "cpuquota": &out.Limits.CPUQuota,
	} {
		n, err := r.Int(key)
		switch {
		case err != nil:
			return err
		case n == nil:
		case *n < 0 && key != "memswap":
			return api.Invalid("invalid value for %q: %d is negative", key, *n)
		default:
			*to = int64(*n)
		}
	}
	return nil
}

// decode reads JSON; nothing leaves to as it is.
func decode(s string, to any) error {
	if s == "" {
		return nil
	}
	return json.Unmarshal([]byte(s), to)
}

func nonempty(in []string) (out []string) {
	for _, s := range in {
		if s = strings.TrimSpace(s); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// registries reads the credentials that a client sends with a build, by registry.
// Like Docker it takes what it cannot read for none.
func registries(header string) map[string]registry.AuthConfig {
	raw, err := base64.URLEncoding.DecodeString(header)
	if err != nil {
		return nil
	}
	var out map[string]registry.AuthConfig
	if json.Unmarshal(raw, &out) != nil {
		return nil
	}
	return out
}
