// Package container holds what Berth knows of a container: the record of what
// was asked for, its status, and which status may follow which. Everything here
// is a value or a pure function; effects are pkg/engine's.
package container

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"

	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/api/types/network"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Record is what was asked for. It changes only by a request (rename, update);
// readers share it and must not write to it.
type Record struct {
	ID         string // 64 hexadecimal digits
	Name       string // without the leading slash
	Created    time.Time
	Path       string              // of the command
	Args       []string            // of the command, without Path
	Image      string              // ID
	Manifest   *ocispec.Descriptor `json:",omitempty"` // of the image, for the platform; nil in records of older versions
	Chain      digest.Digest
	Platform   ocispec.Platform
	Driver     string // snapshotter
	Config     *ctypes.Config
	HostConfig *ctypes.HostConfig
	// Endpoints are the networks asked for, by the name that was given.
	Endpoints map[string]*network.EndpointSettings
	Mounts    []ctypes.MountPoint // as inspect shows them
	Shared    []mount.Mount       `json:",omitempty"` // taken over from other containers
	Images    []MountedImage      `json:",omitempty"` // that are mounted, in the order of Mounts
	Links     []Link              `json:",omitempty"` // on the default bridge
	// ReadOnlyNonRecursive: what is mounted below the container's own read-only binds
	// stays writable, as clients before API 1.44 expect.
	ReadOnlyNonRecursive bool `json:",omitempty"`
}

// Loosen gives the container's mounts as its ReadOnlyNonRecursive wants them. Those
// that were taken over are as in the container that they are of.
func (r *Record) Loosen(mounts []specs.Mount) []specs.Mount {
	if !r.ReadOnlyNonRecursive {
		return mounts
	}
	out := slices.Clone(mounts)
	for i, m := range out {
		if !r.inherits(m.Destination) {
			out[i].Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "rro" })
		}
	}
	return out
}

// LoosenShared does so for what another container takes over of this one.
func (r *Record) LoosenShared(mounts []mount.Mount) []mount.Mount {
	if !r.ReadOnlyNonRecursive {
		return mounts
	}
	out := slices.Clone(mounts)
	for i, m := range out {
		if m.Type != mount.TypeBind || !m.ReadOnly || r.inherits(m.Target) {
			continue
		}
		var o mount.BindOptions
		if m.BindOptions != nil {
			o = *m.BindOptions
		}
		o.ReadOnlyNonRecursive = true
		out[i].BindOptions = &o
	}
	return out
}

func (r *Record) inherits(dest string) bool {
	return slices.ContainsFunc(r.Shared, func(m mount.Mount) bool { return m.Target == dest })
}

// MountedImage is an image that is mounted, whatever its name means by now.
type MountedImage struct {
	Image string // ID
	Chain digest.Digest
}

// Uses says whether the container was made of an image, or has it mounted.
func (r *Record) Uses(image string) bool {
	return r.Image == image || slices.ContainsFunc(r.Images, func(m MountedImage) bool { return m.Image == image })
}

// Link is a name for another container.
type Link struct {
	Alias string
	ID    string // of the container that it stands for
}

// Full is the link's name among those of containers.
func (l Link) Full(parent string) string { return "/" + parent + "/" + l.Alias }

// Sandbox is the network of a running container as it was made.
type Sandbox struct {
	Key       string // path of the network namespace; "" is the host's
	Owner     string `json:",omitempty"` // ID of the container that has it, if that is another
	Endpoints map[string]*network.EndpointSettings
	Ports     network.PortMap // as bound
}

// stored is the form in the database: a JSON object of both halves. Unknown
// fields are ignored, so that an older berthd can read a newer one's records.
type stored struct {
	Record Record
	Status Status
}

// Encode gives the stored form.
func Encode(r *Record, s Status) ([]byte, error) {
	return json.Marshal(stored{Record: *r, Status: s})
}

// Decode reads the stored form. A record without its configuration is refused.
func Decode(b []byte) (*Record, Status, error) {
	var s stored
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, Status{}, fmt.Errorf("container record: %w", err)
	}
	if s.Record.ID == "" || s.Record.Config == nil || s.Record.HostConfig == nil {
		return nil, Status{}, fmt.Errorf("container record %q: incomplete", s.Record.ID)
	}
	return &s.Record, s.Status, nil
}
