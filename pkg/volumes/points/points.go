// Package points reads what is mounted into a container: -v, --mount, --tmpfs,
// --volumes-from and the volumes of its image. It checks what can be checked
// without a look at any file.
package points

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

// DefaultDriver is the driver of volumes that name none.
const DefaultDriver = "local"

// Point is one mount of a container, as it was asked for.
type Point struct {
	Type        mount.Type // bind, volume, image or tmpfs
	Destination string     // absolute, clean, not "/"
	Source      string     // bind: path on the host
	Name        string     // volume: "" is one without a name; image: its reference
	RW          bool
	Mode        string // as inspect shows it
	Propagation mount.Propagation

	CreateSource bool // bind: a folder is made where nothing is
	NonRecursive bool // bind: without what is mounted below the source
	// bind: the user named no propagation, so one that the source cannot have is
	// left out.
	Unasked bool
	// Read-only binds: what is mounted below stays as it is, or cannot be left so.
	ReadonlyNonRecursive, ReadonlyForceRecursive bool

	Driver  string            // volume
	Options map[string]string // volume: of the driver, for one that has to be made
	Labels  map[string]string // volume: likewise
	Copy    bool              // volume: begins with what the image has there
	Subpath string            // volume and image: a path in it

	Tmpfs  []string // tmpfs: mount options
	Hidden bool     // --tmpfs, which inspect does not list among mounts
}

// Parser reads mounts of the containers of one data root.
type Parser struct {
	// DataRoot is where the daemon mounts the roots of containers. A bind of a
	// folder around it must learn of what is unmounted there, or would keep it busy.
	DataRoot string
}

// Parse reads what a container mounts: --volumes-from (from: what Shared tells of
// the containers it names), -v, --mount, --tmpfs and the image's volumes, in Docker's order. It looks at
// no file. Errors are InvalidArgument.
func (o Parser) Parse(cfg *container.Config, hc *container.HostConfig, from []mount.Mount) ([]Point, error) {
	p := parser{Parser: o, tmpfs: hc.Tmpfs, asked: map[string]bool{}}
	for _, m := range from {
		point, err := inherited(m)
		if err != nil {
			return nil, err
		}
		if err := o.followDataRoot(&point); err != nil {
			return nil, err
		}
		p.points = append(p.points, point)
	}
	for _, raw := range hc.Binds {
		point, err := parseBind(raw, hc.VolumeDriver)
		if err != nil {
			return nil, err
		}
		if err := p.add(point); err != nil {
			return nil, err
		}
	}
	for _, m := range hc.Mounts {
		point, err := parseMount(m)
		if err != nil {
			return nil, err
		}
		if err := p.add(point); err != nil {
			return nil, err
		}
	}
	for _, dest := range slices.Sorted(maps.Keys(hc.Tmpfs)) {
		point, err := parseTmpfs(dest, hc.Tmpfs[dest])
		if err != nil {
			return nil, err
		}
		p.place(point)
	}
	for _, dest := range slices.Sorted(maps.Keys(cfg.Volumes)) {
		point, err := parseBind(dest, hc.VolumeDriver)
		if err != nil {
			return nil, err
		}
		if !p.has(point.Destination) {
			p.place(point)
		}
	}
	return p.points, nil
}

type parser struct {
	Parser
	tmpfs  map[string]string
	asked  map[string]bool // destinations that the user named
	points []Point
}

// add refuses a destination that the user named before; one that came from
// another container gives way.
func (p *parser) add(point Point) error {
	_, tmpfs := p.tmpfs[point.Destination]
	if p.asked[point.Destination] || tmpfs {
		return invalid("Duplicate mount point: %s", point.Destination)
	}
	p.asked[point.Destination] = true
	if err := p.followDataRoot(&point); err != nil {
		return err
	}
	p.place(point)
	return nil
}

func (p *parser) place(point Point) {
	p.points = slices.DeleteFunc(p.points, func(q Point) bool { return q.Destination == point.Destination })
	p.points = append(p.points, point)
}

func (p *parser) has(dest string) bool {
	return slices.ContainsFunc(p.points, func(q Point) bool { return q.Destination == dest })
}

// followDataRoot gives a bind of a folder around or below the data root the
// propagation that it needs.
func (o Parser) followDataRoot(p *Point) error {
	if p.Type != mount.TypeBind {
		return nil
	}
	near := o.DataRoot != "" && (within(p.Source, o.DataRoot) || within(o.DataRoot, p.Source))
	switch {
	case p.Unasked && near:
		p.Propagation = mount.PropagationRSlave
	case near && p.Propagation != mount.PropagationRSlave && p.Propagation != mount.PropagationRShared:
		return invalid("invalid mount config: must use either propagation mode \"rslave\" or \"rshared\" when mount source is within the daemon root, daemon root: %q, bind mount source: %q, propagation: %q",
			o.DataRoot, p.Source, p.Propagation)
	}
	return nil
}

// within says whether a clean path is the folder dir or below it.
func within(p, dir string) bool {
	return p == dir || strings.HasPrefix(p, strings.TrimSuffix(dir, "/")+"/")
}

// inherited makes a point of another container's, as Shared tells it. What is in a
// volume came from that one's image.
func inherited(m mount.Mount) (Point, error) {
	p, err := parseMount(m)
	p.Copy, p.Mode = false, ""
	return p, err
}

// Shared is the point as a container that takes over the mounts of this one gets
// it: of a tmpfs the same kind, not the same memory. name is that of its volume.
func (p Point) Shared(name string) mount.Mount {
	m := mount.Mount{Type: p.Type, Target: p.Destination, ReadOnly: !p.RW}
	switch p.Type {
	case mount.TypeBind:
		m.Source = p.Source
		m.BindOptions = &mount.BindOptions{
			Propagation: p.Propagation, NonRecursive: p.NonRecursive, CreateMountpoint: p.CreateSource,
			ReadOnlyNonRecursive: p.ReadonlyNonRecursive, ReadOnlyForceRecursive: p.ReadonlyForceRecursive,
		}
		if p.Unasked {
			m.BindOptions.Propagation = ""
		}
	case mount.TypeVolume:
		m.Source = name
		m.VolumeOptions = &mount.VolumeOptions{Subpath: p.Subpath, DriverConfig: &mount.Driver{Name: p.Driver}}
	case mount.TypeImage:
		m.Source, m.ImageOptions = p.Name, &mount.ImageOptions{Subpath: p.Subpath}
	}
	return m
}

// parseBind reads a -v value: "dest", "source:dest" or "source:dest:mode".
func parseBind(raw, driver string) (Point, error) {
	bad := invalid("invalid volume specification: '%s'", raw)
	parts := strings.SplitN(raw, ":", 4)
	m := mount.Mount{Type: mount.TypeVolume}
	var options mode
	switch {
	case len(parts) > 3 || parts[0] == "" || strings.ContainsRune(raw, 0):
		return Point{}, bad
	case len(parts) == 1:
		m.Target = parts[0]
	default:
		m.Source, m.Target = parts[0], parts[1]
		// A mode needs both: "dest:ro" would make a volume read-only that nobody
		// can write.
		if _, ok := parseMode(m.Target); ok && len(parts) == 2 {
			return Point{}, bad
		}
	}
	raws := ""
	if len(parts) == 3 {
		var ok bool
		raws = parts[2]
		if options, ok = parseMode(raws); !ok {
			return Point{}, invalid("invalid mode: %s", raws)
		}
	}
	if path.IsAbs(m.Source) {
		m.Type = mount.TypeBind
		m.BindOptions = &mount.BindOptions{CreateMountpoint: true, Propagation: options.propagation}
		if options.copySet {
			return Point{}, invalid("invalid volume specification: '%s': %s", raw, extraField(mount.TypeBind, "VolumeOptions"))
		}
	} else {
		m.VolumeOptions = &mount.VolumeOptions{NoCopy: options.noCopy}
		if driver != "" {
			m.VolumeOptions.DriverConfig = &mount.Driver{Name: driver}
		}
		if options.propagation != "" {
			return Point{}, invalid("invalid volume specification: '%s': %s", raw, extraField(mount.TypeVolume, "BindOptions"))
		}
	}
	m.ReadOnly = options.readonly
	p, err := parseMount(m)
	if err != nil {
		return Point{}, invalid("invalid volume specification: '%s': %v", raw, err)
	}
	p.Mode = raws
	if p.Mode == "" && p.Name != "" {
		p.Mode = "z" // what Docker shows of a named volume without one
	}
	return p, nil
}

// mode is the third part of a -v value.
type mode struct {
	readonly        bool
	propagation     mount.Propagation
	copySet, noCopy bool
}

// parseMode reads a comma-separated mode; each kind of option may be said once.
// z and Z are for SELinux and consistency for Docker Desktop: taken, no effect.
func parseMode(s string) (m mode, ok bool) {
	if s == "" {
		return m, true
	}
	seen := map[string]bool{}
	for o := range strings.SplitSeq(s, ",") {
		var kind string // of options, of which one may be said
		switch o {
		case "ro", "rw":
			kind, m.readonly = "rw", o == "ro"
		case "z", "Z":
			kind = "label"
		case "nocopy":
			kind, m.copySet, m.noCopy = "copy", true, true
		case "consistent", "cached", "delegated":
			kind = "consistency"
		default:
			if !slices.Contains(mount.Propagations, mount.Propagation(o)) {
				return m, false
			}
			kind, m.propagation = "propagation", mount.Propagation(o)
		}
		if seen[kind] {
			return m, false
		}
		seen[kind] = true
	}
	return m, true
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
