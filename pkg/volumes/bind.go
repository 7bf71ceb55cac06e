package volumes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/pkg/volumes/points"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/sys/mountinfo"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// checkSource: only -v and CreateMountpoint make what is not there.
func checkSource(p points.Point, recursiveReadonly bool) error {
	if p.Type != mount.TypeBind {
		return nil
	}
	if p.ReadonlyForceRecursive && !recursiveReadonly {
		return invalid("invalid mount config for type %q: ReadOnlyForceRecursive is not supported by the kernel", p.Type)
	}
	_, err := os.Stat(p.Source)
	switch {
	case err == nil, p.CreateSource && errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrNotExist):
		return invalid("invalid mount config for type %q: bind source path does not exist: %s", p.Type, p.Source)
	}
	return invalid("invalid mount config for type %q: %v", p.Type, err)
}

func (m *mounter) bindMount(p points.Point) (specs.Mount, error) {
	if err := checkSource(p, m.recursiveReadonly); err != nil {
		return specs.Mount{}, err
	}
	if p.CreateSource {
		if err := makeSource(p.Source); err != nil {
			return specs.Mount{}, err
		}
	}
	propagation := p.Propagation
	if err := checkPropagation(p); errdefs.IsInvalidArgument(err) && p.Unasked {
		propagation = mount.PropagationRPrivate // nothing that happens on the host can be passed on
	} else if err != nil {
		return specs.Mount{}, err
	}
	out := specs.Mount{Type: "bind", Source: p.Source, Options: []string{"rbind", string(propagation)}}
	if p.NonRecursive {
		out.Options[0] = "bind"
	}
	if !p.RW {
		out.Options = append(out.Options, "ro")
		// Without rro what is mounted below the source stays writable.
		if !p.NonRecursive && !p.ReadonlyNonRecursive && m.recursiveReadonly {
			out.Options = append(out.Options, "rro")
		}
	}
	return out, nil
}

// makeSource makes a -v's folder, as Docker does, owned by root.
func makeSource(p string) error {
	if _, err := os.Stat(p); err == nil {
		return nil
	}
	if err := os.MkdirAll(p, 0o755); err != nil {
		return fmt.Errorf("error while creating mount source path '%s': %w", p, err)
	}
	return nil
}

// checkPropagation: the kernel passes mount events on only from a mount that is
// itself shared, or a slave.
func checkPropagation(p points.Point) error {
	shared := strings.HasSuffix(string(p.Propagation), "shared")
	slave := strings.HasSuffix(string(p.Propagation), "slave")
	if !shared && !slave {
		return nil
	}
	source, err := filepath.EvalSymlinks(p.Source)
	if err != nil {
		return err
	}
	infos, err := mountinfo.GetMounts(mountinfo.ParentsFilter(source))
	if err != nil {
		return fmt.Errorf("looking up the mount of %s: %w", source, err)
	}
	at, optional := "", ""
	for _, i := range infos {
		// Of mounts on one place, the last is on top.
		if len(i.Mountpoint) >= len(at) {
			at, optional = i.Mountpoint, i.Optional
		}
	}
	switch {
	case strings.Contains(optional, "shared:"), slave && strings.Contains(optional, "master:"):
		return nil
	case shared:
		return invalid("path %s is mounted on %s but it is not a shared mount", p.Source, at)
	}
	return invalid("path %s is mounted on %s but it is not a shared or slave mount", p.Source, at)
}
