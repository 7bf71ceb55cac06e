package layers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"
	"time"

	"github.com/berth-engine/berth/pkg/runtime/rootfs"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"github.com/moby/sys/userns"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
)

// Passing is a layer that is unpacked while it is stored, so that Unpack finds it done:
// a commit need not read again what it wrote.
type Passing struct {
	s      snapshots.Snapshotter
	key    string
	below  []digest.Digest // diff IDs
	mounts []mount.Mount
	err    error // of Unpack
}

// Pass prepares the unpacking of a layer on top of those with the diff IDs below. The
// lease in ctx holds it. NotFound: those are not unpacked.
func (l *Unpacker) Pass(ctx context.Context, below []digest.Digest) (*Passing, error) {
	p := &Passing{s: l.client.SnapshotService(l.snapshotter), key: "berth-layer-" + uuid.NewString(), below: below}
	var err error
	p.mounts, err = p.s.Prepare(ctx, p.key, identity.ChainID(below).String())
	if err != nil {
		return nil, fmt.Errorf("prepare layer: %w", err)
	}
	return p, nil
}

// Unpack unpacks a tar. It need not succeed: what is in the way comes up again when the
// image is unpacked.
func (p *Passing) Unpack(ctx context.Context, r io.Reader) {
	p.err = apply(ctx, p.mounts, r)
}

// Wrong says what is wrong with the layer itself, with InvalidArgument, if it was that which
// Unpack failed by: neither the host nor the end of the request.
func (p *Passing) Wrong() error {
	if p.err == nil || errors.Is(p.err, context.Canceled) || errors.Is(p.err, context.DeadlineExceeded) {
		return nil
	}
	var errno syscall.Errno
	if errors.As(p.err, &errno) && !slices.Contains(misfits, errno) {
		return nil
	}
	return errdefs.ErrInvalidArgument.WithMessage("invalid layer: " + p.err.Error())
}

// misfits are of names that do not fit each other or the file system.
var misfits = []syscall.Errno{syscall.ENOENT, syscall.ENOTDIR, syscall.EISDIR, syscall.EEXIST, syscall.ELOOP, syscall.ENAMETOOLONG, syscall.EMLINK, syscall.EINVAL}

// Commit keeps what was unpacked as the layer with that diff ID, or drops it when it is
// not whole.
func (p *Passing) Commit(ctx context.Context, diffID digest.Digest) error {
	if p.err != nil {
		return p.Abort(ctx)
	}
	chain := identity.ChainID(append(p.below[:len(p.below):len(p.below)], diffID)).String()
	err := p.s.Commit(ctx, chain, p.key, snapshots.WithLabels(map[string]string{
		snapshots.LabelSnapshotRef: chain, snapshots.LabelSnapshotDiffID: diffID.String(),
	}))
	if errdefs.IsAlreadyExists(err) {
		return p.Abort(ctx)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("keep unpacked layer: %w", err), p.Abort(ctx))
	}
	return nil
}

// abortTimeout bounds the removal of what is not kept. The lease's end removes what is
// left.
const abortTimeout = 10 * time.Second

// Abort drops what was unpacked.
func (p *Passing) Abort(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTimeout)
	defer cancel()
	if err := p.s.Remove(ctx, p.key); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("drop layer: %w", err)
	}
	return nil
}

// apply does what containerd's differ does with a layer that is whole in the store.
// Whiteouts are written as overlay has them; in a user namespace devices cannot be made,
// and overlay makes them itself.
func apply(ctx context.Context, mounts []mount.Mount, r io.Reader) error {
	if upper, lower, ok := rootfs.Overlay(mounts); ok && !userns.RunningInUserNS() {
		_, err := archive.Apply(ctx, upper, r, archive.WithConvertWhiteout(archive.OverlayConvertWhiteout), archive.WithParents(lower))
		return err
	}
	var failed error // without the place of the mount in it
	err := mount.WithTempMount(ctx, mounts, func(root string) error {
		_, failed = archive.Apply(ctx, root, r)
		return failed
	})
	if failed != nil {
		return failed
	}
	return err
}
