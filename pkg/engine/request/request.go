// Package request turns what a user asks for into the record of a container. It
// checks and completes, and changes nothing.
package request

import (
	"cmp"
	"context"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/engine/cdi"
	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/health"
	"github.com/berth-engine/berth/pkg/engine/links"
	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/berth-engine/berth/pkg/logs"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	"github.com/containerd/platforms"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Create is the body and query of POST /containers/create.
type Create struct {
	Name             string // "" lets the engine choose
	Platform         *ocispec.Platform
	Config           *ctypes.Config
	HostConfig       *ctypes.HostConfig
	NetworkingConfig *network.NetworkingConfig
	// ReadOnlyNonRecursive leaves what is mounted below read-only binds writable.
	ReadOnlyNonRecursive bool
}

// Plan is what the record of a container depends on besides the request. Every
// field is required unless it says otherwise.
type Plan struct {
	Defaults    spec.Defaults
	Runtimes    func() (names []string, standard string) // OCI runtimes, and that of who names none
	Host        spec.Host
	Snapshotter string
	Devices     cdi.Dirs // of vendors; optional
	Units       *unit.Registry
	Images      Images
	Networks    Networks
	Volumes     Volumes
}

// Images finds what containers are made of.
type Images interface {
	Resolve(ctx context.Context, ref string, p *ocispec.Platform) (Image, error)
}

// Image is one platform's of an image.
type Image struct {
	ID       string // of the whole
	Manifest ocispec.Descriptor
	Chain    digest.Digest // of its layers; "" if it has none
	Config   *dockerspec.DockerOCIImage
}

// Networks finds a network by name, ID or ID prefix, and says whether a container
// may have such an endpoint there.
type Networks interface {
	Lookup(ref string) (network.Network, error)
	Check(ref string, settings *network.EndpointSettings) error
}

// Volumes checks and describes mounts, and changes nothing.
type Volumes interface {
	// Points describes the mounts as inspect shows them.
	Points(id string, cfg *ctypes.Config, hc *ctypes.HostConfig, from []mount.Mount) ([]ctypes.MountPoint, error)
	// Shared tells what a container that takes these mounts over gets.
	Shared(id string, cfg *ctypes.Config, hc *ctypes.HostConfig, from []mount.Mount) ([]mount.Mount, error)
}

// Record checks and completes what was asked for. It changes nothing. The first of
// several mistakes is Docker's first.
func (p *Plan) Record(ctx context.Context, q Create) (*container.Record, []string, error) {
	if q.Config == nil {
		return nil, nil, errdefs.ErrInvalidArgument.WithMessage("config cannot be empty in order to create a container")
	}
	hc := cmp.Or(q.HostConfig, &ctypes.HostConfig{})
	p.Defaults.Fill(hc)
	runtimes, standard := p.Runtimes()
	hc.Runtime = cmp.Or(hc.Runtime, standard)
	warnings, err := p.check(q.Config, hc, runtimes)
	if err != nil {
		return nil, nil, err
	}
	img, err := p.Images.Resolve(ctx, q.Config.Image, q.Platform)
	if err != nil {
		return nil, nil, err
	}
	wanted, err := p.wantedNetworks(hc, q.NetworkingConfig)
	if err != nil {
		return nil, nil, err
	}
	if err := p.joined(hc); err != nil {
		return nil, nil, err
	}
	if err := spec.Merge(q.Config, &img.Config.Config); err != nil {
		return nil, nil, err
	}
	if err := spec.ValidateConfig(q.Config); err != nil {
		return nil, nil, err
	}
	r := &container.Record{
		ID: container.NewID(), Name: strings.TrimPrefix(q.Name, "/"), Created: time.Now().UTC(),
		Image: img.ID, Manifest: &img.Manifest, Chain: img.Chain, Driver: p.Snapshotter,
		Platform: platforms.Normalize(ocispec.Platform{OS: img.Config.OS, Architecture: img.Config.Architecture, Variant: img.Config.Variant}),
		Config:   q.Config, HostConfig: hc, ReadOnlyNonRecursive: q.ReadOnlyNonRecursive, Endpoints: wanted,
	}
	if r.Path, r.Args, err = command(q.Config); err != nil {
		return nil, nil, err
	}
	if err := p.complete(ctx, r, q.Name); err != nil {
		return nil, nil, err
	}
	if q.Config.Hostname == "" && !hc.UTSMode.IsHost() {
		q.Config.Hostname, err = hostname(r.ID, hc)
	}
	return r, warnings, err
}

// complete checks what is left once there is an image, in which a name is the second.
func (p *Plan) complete(ctx context.Context, r *container.Record, name string) (err error) {
	hc := r.HostConfig
	if err := logs.Validate(hc.LogConfig.Type, hc.LogConfig.Config); err != nil {
		return err
	}
	if _, err := Log(r, streams.Log{}); err != nil {
		return err
	}
	if name != "" {
		if err := CheckName(name); err != nil {
			return err
		}
		if err := p.Units.Free(r.Name); err != nil {
			return err
		}
	}
	if err := spec.ValidateSecurity(hc, p.Host); err != nil {
		return err
	}
	if err := p.Devices.Check(hc.DeviceRequests); err != nil {
		return err
	}
	if hc.AutoRemove && health.Restarts(r.Config) {
		return errdefs.ErrInvalidArgument.WithMessage("can't create 'AutoRemove' container with the label " + health.RestartLabel)
	}
	if r.Links, err = links.Resolve(hc, p.Units.Find); err != nil {
		return err
	}
	return p.planMounts(ctx, r)
}

// check refuses what no image can make right: a client whose request is refused need not
// pull one.
func (p *Plan) check(c *ctypes.Config, hc *ctypes.HostConfig, runtimes []string) (warnings []string, err error) {
	// Of some mounts alone: what they are together, and all others, depends on the image.
	mounts := func(some *ctypes.HostConfig) func() error {
		return func() error {
			_, err := p.Volumes.Points("", &ctypes.Config{}, some, nil)
			return err
		}
	}
	return spec.Validate(c, hc, p.Host, spec.Others{
		Mounts: mounts(&ctypes.HostConfig{Mounts: hc.Mounts}),
		Tmpfs:  mounts(&ctypes.HostConfig{Tmpfs: hc.Tmpfs}),
		Ports: func() error {
			_, err := Ports(&container.Record{Config: c, HostConfig: hc})
			return err
		},
		Runtime: func() error {
			if !slices.Contains(runtimes, hc.Runtime) {
				return errdefs.ErrInvalidArgument.WithMessage("unknown or invalid runtime name: " + hc.Runtime)
			}
			return nil
		},
	})
}

// hostname is the one of a container that names none.
func hostname(id string, hc *ctypes.HostConfig) (string, error) {
	if hc.NetworkMode.IsHost() {
		return os.Hostname()
	}
	return id[:12], nil
}

// joined puts IDs in the place of names of containers whose namespaces are joined:
// names change hands.
func (p *Plan) joined(hc *ctypes.HostConfig) error {
	id := func(ref string) (string, error) {
		u, err := p.Units.Find(ref)
		if err != nil {
			return "", errdefs.ErrInvalidArgument.WithMessage(err.Error())
		}
		return "container:" + u.ID, nil
	}
	// One that is to give its network may be made later, as Docker has it.
	if ref := hc.NetworkMode.ConnectedContainer(); ref != "" {
		if mode, err := id(ref); err == nil {
			hc.NetworkMode = ctypes.NetworkMode(mode)
		}
	}
	if ref := hc.PidMode.Container(); ref != "" {
		mode, err := id(ref)
		if err != nil {
			return err
		}
		hc.PidMode = ctypes.PidMode(mode)
	}
	if ref := hc.IpcMode.Container(); ref != "" {
		mode, err := id(ref)
		if err != nil {
			return err
		}
		hc.IpcMode = ctypes.IpcMode(mode)
	}
	return nil
}

// command is what will run, entry point first. InvalidArgument: nothing.
func command(c *ctypes.Config) (path string, args []string, err error) {
	all := append(append([]string{}, c.Entrypoint...), c.Cmd...)
	if len(all) == 0 || all[0] == "" && len(all) == 1 {
		return "", nil, errdefs.ErrInvalidArgument.WithMessage("no command specified")
	}
	return all[0], all[1:], nil
}
