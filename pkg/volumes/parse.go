package volumes

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

// Point is one mount of a container, as it was asked for.
type Point struct {
	Type        mount.Type // bind, volume or tmpfs
	Destination string     // absolute, clean, not "/"
	Source      string     // bind: path on the host
	Name        string     // volume: "" is one without a name
	RW          bool
	Mode        string // as inspect shows it
	Propagation mount.Propagation

	CreateSource bool // bind: a folder is made where nothing is
	NonRecursive bool // bind: without what is mounted below the source
	// Read-only binds: what is mounted below stays as it is, or cannot be left so.
	ReadonlyNonRecursive, ReadonlyForceRecursive bool

	Driver  string            // volume
	Options map[string]string // volume: of the driver, for one that has to be made
	Labels  map[string]string // volume: likewise
	Copy    bool              // volume: begins with what the image has there
	Subpath string            // volume: a path in it

	Tmpfs  []string // tmpfs: mount options
	Hidden bool     // --tmpfs, which inspect does not list among mounts
}

// Parse reads what a container mounts: --volumes-from (from: the mounts of the
// containers it names), -v, --mount, --tmpfs and the image's volumes, in Docker's order. It looks at
// no file. Errors are InvalidArgument, or NotImplemented for mount types that
// Berth does not have.
func Parse(cfg *container.Config, hc *container.HostConfig, from []container.MountPoint) ([]Point, error) {
	p := parser{tmpfs: hc.Tmpfs, asked: map[string]bool{}}
	for _, m := range from {
		p.points = append(p.points, inherited(m))
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

// inherited makes a point of another container's.
func inherited(m container.MountPoint) Point {
	p := Point{Type: m.Type, Destination: path.Clean(m.Destination), RW: m.RW, Mode: m.Mode, Propagation: m.Propagation}
	switch m.Type {
	case mount.TypeBind:
		p.Source = m.Source
	case mount.TypeVolume:
		p.Name, p.Driver = m.Name, m.Driver
	case mount.TypeTmpfs: // of the same kind, not the same memory
		p.Tmpfs = slices.Clone(tmpfsDefaults)
		if !m.RW {
			p.Tmpfs = append(p.Tmpfs, "ro")
		}
	}
	return p
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
