package runtime

import (
	"github.com/berth-engine/berth/pkg/runtime/snapref"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
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
			s, err := overlay.NewSnapshotter(root, opts...)
			if err != nil {
				return nil, err
			}
			return snapref.New(s), nil
		},
	}
}
