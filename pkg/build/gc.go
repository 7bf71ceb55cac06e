package build

import (
	"time"

	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/buildkit/cmd/buildkitd/config"
	"github.com/moby/buildkit/util/disk"
)

// GC says when the cache is collected (daemon.json, builder.gc).
type GC struct {
	Disabled bool
	// Bytes; 0 is BuildKit's own choice by the size of the disk.
	ReservedSpace, MaxUsedSpace, MinFreeSpace int64
	Rules                                     []GCRule // instead of the built-in ones
}

// GCRule is one rule of collection; rules are applied in their order.
type GCRule struct {
	All                                       bool
	Filters                                   []string
	KeepDuration                              time.Duration
	ReservedSpace, MaxUsedSpace, MinFreeSpace int64 // bytes
}

// policy are the rules as BuildKit takes them; none collects nothing.
func (g GC) policy(root string) []bkclient.PruneInfo {
	if g.Disabled {
		return nil
	}
	rules := g.Rules
	if len(rules) == 0 {
		rules = g.builtin(root)
	}
	out := make([]bkclient.PruneInfo, len(rules))
	for i, r := range rules {
		out[i] = bkclient.PruneInfo{
			All: r.All, Filter: r.Filters, KeepDuration: r.KeepDuration,
			ReservedSpace: r.ReservedSpace, MaxUsedSpace: r.MaxUsedSpace, MinFreeSpace: r.MinFreeSpace,
		}
	}
	return out
}

func (g GC) builtin(root string) []GCRule {
	space, _ := disk.GetDiskStat(root) // zero: as if the disk were empty, which limits the most
	var c config.GCConfig
	c.GCReservedSpace.Bytes, c.GCMaxUsedSpace.Bytes, c.GCMinFreeSpace.Bytes = g.ReservedSpace, g.MaxUsedSpace, g.MinFreeSpace
	var rules []GCRule
	for _, p := range config.DefaultGCPolicy(c, space) {
		rules = append(rules, GCRule{
			All: p.All, Filters: p.Filters, KeepDuration: p.KeepDuration.Duration,
			ReservedSpace: p.ReservedSpace.AsBytes(space), MaxUsedSpace: p.MaxUsedSpace.AsBytes(space), MinFreeSpace: p.MinFreeSpace.AsBytes(space),
		})
	}
	return rules
}
