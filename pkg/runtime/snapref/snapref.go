// Package snapref lets a committed snapshot be known under the name of the layers
// that it holds, beside the name that it was made under: BuildKit names snapshots
// before it knows what will be in them, images by the chain ID of their layers. With
// both names on one snapshot, what was built is an image's root without being packed
// and unpacked.
//
// containerd's metadata store has the mechanism, made for snapshotters that are
// elsewhere: when a snapshotter answers Prepare with AlreadyExists, the store looks
// for a committed snapshot of the same parent that is labelled with the reference
// asked for, and gives it that name (core/metadata/snapshot.go). The snapshot goes
// when neither name is left. What is missing is a snapshotter that answers so; New
// makes one of any.
//
// Adopt asks any snapshotter; others than New's decline.
package snapref

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
)

// labelAdopt asks for a snapshot that exists. Without it, an image that is pulled
// would search all snapshots for each of its layers. The prefix has containerd pass
// it on to the snapshotter.
const labelAdopt = "containerd.io/snapshot/berth-engine.adopt"

// Adopt gives the committed snapshot name a second name, the chain ID of the layers
// that it holds, and has the lease in ctx hold that. parent is the chain ID of the
// layers below, "" if there are none, and must be known by that name. It says whether
// the second name is there now: not if the snapshot has another parent than parent
// names, or the snapshotter cannot do it.
func Adopt(ctx context.Context, s snapshots.Snapshotter, name, parent, chain string) (bool, error) {
	_, err := s.Update(ctx, snapshots.Info{
		Name: name, Labels: map[string]string{snapshots.LabelSnapshotRef: chain},
	}, "labels."+snapshots.LabelSnapshotRef)
	if err != nil {
		return false, err
	}
	key := "adopt-" + rand.Text()
	_, err = s.Prepare(ctx, key, parent, snapshots.WithLabels(map[string]string{snapshots.LabelSnapshotRef: chain, labelAdopt: "true"}))
	if errdefs.IsAlreadyExists(err) {
		return true, nil
	}
	if err == nil {
		err = s.Remove(ctx, key)
	}
	return false, err
}

// New makes s answer Adopt.
func New(s snapshots.Snapshotter) snapshots.Snapshotter { return snapshotter{s} }

type snapshotter struct{ snapshots.Snapshotter }

// Prepare answers AlreadyExists where a committed snapshot can be adopted.
func (s snapshotter) Prepare(ctx context.Context, key, parent string, opts ...snapshots.Opt) ([]mount.Mount, error) {
	var asked snapshots.Info
	for _, o := range opts {
		if err := o(&asked); err != nil {
			return nil, err
		}
	}
	if chain := asked.Labels[snapshots.LabelSnapshotRef]; chain != "" && asked.Labels[labelAdopt] != "" {
		there, err := s.committed(ctx, chain, parent)
		if err != nil {
			return nil, err
		}
		if there {
			return nil, fmt.Errorf("snapshot of %s: %w", chain, errdefs.ErrAlreadyExists)
		}
	}
	return s.Snapshotter.Prepare(ctx, key, parent, opts...)
}

// committed looks for what the metadata store will look for.
func (s snapshotter) committed(ctx context.Context, chain, parent string) (found bool, err error) {
	err = s.Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Kind == snapshots.KindCommitted && i.Parent == parent && i.Labels[snapshots.LabelSnapshotRef] == chain {
			found = true
			return errFound
		}
		return nil
	}, fmt.Sprintf("labels.%q==%s,parent==%q", snapshots.LabelSnapshotRef, chain, parent))
	if errors.Is(err, errFound) {
		err = nil
	}
	return found, err
}

// errFound ends a walk.
var errFound = errors.New("found")

// Cleanup frees what removed snapshots took, where the snapshotter does that apart.
func (s snapshotter) Cleanup(ctx context.Context) error {
	if c, ok := s.Snapshotter.(snapshots.Cleaner); ok {
		return c.Cleanup(ctx)
	}
	return errdefs.ErrNotImplemented
}
