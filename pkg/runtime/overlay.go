package runtime

import (
	"context"
	"os"
	"path/filepath"
	"strconv"

	"github.com/berth-engine/berth/pkg/runtime/snapref"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/core/snapshots/storage"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	"github.com/containerd/plugin"
	"github.com/moby/sys/userns"
)

// overlayPlugin is containerd's overlay snapshotter in place of its own plugin
// (plugins/snapshots/overlay/plugin, whose defaults these are), so that the snapshots
// of a build can be those of an image.
func overlayPlugin() *plugin.Registration {
	return &plugin.Registration{
		Type: plugins.SnapshotPlugin,
		ID:   "overlayfs",
		InitFn: func(ic *plugin.InitContext) (any, error) {
			ic.Meta.Platforms = append(ic.Meta.Platforms, platforms.DefaultSpec())
			opts := []overlay.Opt{overlay.AsynchronousRemove}
			if ok, err := overlayutils.SupportsIDMappedMounts(); err == nil && ok {
				opts = append(opts, overlay.WithRemapIDs)
				ic.Meta.Capabilities = append(ic.Meta.Capabilities, "remap-ids")
			}
			ic.Meta.Capabilities = append(ic.Meta.Capabilities, "only-remap-ids") // nothing is chowned instead
			if !userns.RunningInUserNS() {
				// It makes device nodes of whiteouts, which a user namespace may not.
				ic.Meta.Capabilities = append(ic.Meta.Capabilities, snapshots.RebaseCap)
			}
			root := ic.Properties[plugins.PropertyRootDir]
			ic.Meta.Exports[plugins.SnapshotterRootDir] = root
			meta, err := storage.NewMetaStore(filepath.Join(root, "metadata.db"))
			if err != nil {
				return nil, err
			}
			s, err := overlay.NewSnapshotter(root, append(opts, overlay.WithMetaStore(meta))...)
			if err != nil {
				return nil, err
			}
			if err := setAside(ic.Context, meta, filepath.Join(root, "snapshots")); err != nil {
				return nil, err
			}
			return snapref.New(s), nil
		},
	}
}

// setAside moves folders that belong to no snapshot out of the way. A snapshot's folder
// is there before its number is committed: after a kill in between, the next snapshot
// would get the same number, find a folder of that name and fail, and so would every
// other one until the next collection of garbage, which removes what is set aside.
func setAside(ctx context.Context, meta *storage.MetaStore, dir string) error {
	var known map[string]string
	err := meta.WithTransaction(ctx, false, func(ctx context.Context) (err error) {
		known, err = storage.IDMap(ctx)
		return ignore(err, errdefs.IsNotFound) // there never was a snapshot
	})
	if err != nil {
		return err
	}
	all, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range all {
		if _, err := strconv.ParseUint(e.Name(), 10, 64); err != nil || known[e.Name()] != "" {
			continue
		}
		aside, err := os.MkdirTemp(dir, "aside-")
		if err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(dir, e.Name()), filepath.Join(aside, e.Name())); err != nil {
			return err
		}
	}
	return nil
}
