package build

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	bkclient "github.com/moby/buildkit/client"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/events"
)

// Cache lists what the cache holds. It starts BuildKit if there is one to start:
// a root that never built has an empty cache and stays as it is.
func (b *Builder) Cache(ctx context.Context) ([]build.CacheRecord, error) {
	if !b.used() {
		return []build.CacheRecord{}, nil
	}
	client, err := b.Client(ctx)
	if err != nil {
		return nil, err
	}
	usage, err := client.DiskUsage(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]build.CacheRecord, len(usage))
	for i, u := range usage {
		out[i] = record(u)
	}
	return out, nil
}

func record(u *bkclient.UsageInfo) build.CacheRecord {
	return build.CacheRecord{
		ID: u.ID, Parents: u.Parents, Type: string(u.RecordType), Description: u.Description,
		InUse: u.InUse, Shared: u.Shared, Size: u.Size,
		CreatedAt: u.CreatedAt, LastUsedAt: u.LastUsedAt, UsageCount: u.UsageCount,
	}
}

// PruneOptions say what of the cache goes.
type PruneOptions struct {
	All                                       bool // also what is internal and what images use
	ReservedSpace, MaxUsedSpace, MinFreeSpace int64
	// Filters: until (or unused-for), id, parent, type, description, inuse,
	// shared, private. Unknown ones and several values are InvalidArgument.
	Filters filters.Args
}

// Prune removes from the cache what nothing uses and the options select.
func (b *Builder) Prune(ctx context.Context, o PruneOptions) (build.CachePruneReport, error) {
	report := build.CachePruneReport{CachesDeleted: []string{}}
	info, err := o.info(time.Now())
	if err != nil || !b.used() {
		return report, err
	}
	client, err := b.Client(ctx)
	if err != nil {
		return report, err
	}
	removed := make(chan bkclient.UsageInfo)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for u := range removed {
			report.CachesDeleted = append(report.CachesDeleted, u.ID)
			report.SpaceReclaimed += uint64(max(u.Size, 0))
		}
	}()
	err = client.Prune(ctx, removed, info)
	close(removed)
	<-done
	if err == nil {
		b.published(report)
	}
	return report, err
}

// pruneInfo is an option of the client that says all.
type pruneInfo bkclient.PruneInfo

// SetPruneOption makes the whole an option of the client.
func (p pruneInfo) SetPruneOption(to *bkclient.PruneInfo) { *to = bkclient.PruneInfo(p) }

func (o PruneOptions) info(now time.Time) (pruneInfo, error) {
	info := pruneInfo{All: o.All, ReservedSpace: o.ReservedSpace, MaxUsedSpace: o.MaxUsedSpace, MinFreeSpace: o.MinFreeSpace}
	if err := o.Filters.Validate("until", "unused-for", "id", "parent", "type", "description", "inuse", "shared", "private"); err != nil {
		return info, err
	}
	var all []string
	for key, values := range o.Filters {
		if len(values) > 1 {
			return info, errdefs.ErrInvalidArgument.WithMessage("filters expect only one value: " + key)
		}
		switch {
		case key == "until" || key == "unused-for":
			reached, err := filters.Args{"until": values}.Until(now)
			if err != nil {
				return info, err
			}
			if reached.After(now) {
				return info, errdefs.ErrInvalidArgument.WithMessage("invalid filter '" + key + "=" + values[0] + "': in the future")
			}
			if !reached.IsZero() {
				info.KeepDuration = now.Sub(reached)
			}
		case len(values) == 0 || key == "inuse" || key == "shared" || key == "private":
			all = append(all, key)
		case strings.ContainsAny(values[0], `,"`):
			return info, errdefs.ErrInvalidArgument.WithMessage("invalid filter '" + key + "=" + values[0] + "'")
		case key == "id":
			all = append(all, "id~="+values[0])
		default:
			all = append(all, key+"=="+values[0])
		}
	}
	if len(all) > 0 {
		info.Filter = []string{strings.Join(all, ",")}
	}
	return info, nil
}

func (b *Builder) published(r build.CachePruneReport) {
	if b.cfg.Events == nil {
		return
	}
	now := time.Now()
	b.cfg.Events(events.Message{
		Type: events.BuilderEventType, Action: events.ActionPrune, Scope: "local", Time: now.Unix(), TimeNano: now.UnixNano(),
		Actor: events.Actor{Attributes: map[string]string{"reclaimed": strconv.FormatUint(r.SpaceReclaimed, 10)}},
	})
}
