package points

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/mount"
)

// parseMount reads a --mount value in the form of the API.
func parseMount(m mount.Mount) (Point, error) {
	if err := checkMount(m); err != nil {
		return Point{}, invalid("invalid mount config for type %q: %v", m.Type, err)
	}
	p := Point{Type: m.Type, Destination: path.Clean(m.Target), RW: !m.ReadOnly}
	switch m.Type {
	case mount.TypeBind:
		p.Source, p.Propagation, p.Unasked = path.Clean(m.Source), mount.PropagationRPrivate, true
		if o := m.BindOptions; o != nil {
			if o.Propagation != "" {
				p.Propagation, p.Unasked = o.Propagation, false
			}
			p.CreateSource, p.NonRecursive = o.CreateMountpoint, o.NonRecursive
			p.ReadonlyNonRecursive, p.ReadonlyForceRecursive = o.ReadOnlyNonRecursive, o.ReadOnlyForceRecursive
		}
	case mount.TypeVolume:
		p.Name, p.Driver, p.Copy, p.Mode = m.Source, DefaultDriver, true, "z"
		if o := m.VolumeOptions; o != nil {
			p.Copy, p.Labels, p.Subpath = !o.NoCopy, o.Labels, o.Subpath
			if o.DriverConfig != nil && o.DriverConfig.Name != "" {
				p.Driver = o.DriverConfig.Name
			}
			if o.DriverConfig != nil {
				p.Options = o.DriverConfig.Options
			}
		}
		// Only a whole volume begins with the image's content.
		p.Copy = p.Copy && p.Subpath == ""
	case mount.TypeImage:
		p.Name, p.RW = m.Source, false
		if o := m.ImageOptions; o != nil {
			p.Subpath = o.Subpath
		}
	case mount.TypeTmpfs:
		options, err := tmpfsOptions(m.TmpfsOptions, m.ReadOnly)
		if err == nil {
			p.Tmpfs, err = mergeTmpfs(options)
		}
		if err != nil {
			return Point{}, invalid("invalid mount config for type %q: %v", m.Type, err)
		}
	}
	return p, nil
}

func checkMount(m mount.Mount) error {
	if m.Target == "" {
		return errors.New("field Target must not be empty")
	}
	if err := checkDestination(m.Target); err != nil {
		return err
	}
	if err := checkOptionFields(m); err != nil {
		return err
	}
	switch m.Type {
	case mount.TypeBind:
		return checkBind(m)
	case mount.TypeVolume:
		if m.VolumeOptions == nil || m.VolumeOptions.Subpath == "" {
			return nil
		}
		if m.Source == "" {
			return errors.New("must not set Subpath when using anonymous volumes")
		}
		if !filepath.IsLocal(m.VolumeOptions.Subpath) {
			return errSubpath
		}
		return nil
	case mount.TypeTmpfs:
		if m.Source != "" {
			return errors.New("field Source must not be specified")
		}
		return nil
	case mount.TypeImage:
		if m.Source == "" {
			return errors.New("field Source must not be empty")
		}
		if o := m.ImageOptions; o != nil && o.Subpath != "" && !filepath.IsLocal(o.Subpath) {
			return errSubpath
		}
		return nil
	}
	return errors.New("mount type unknown")
}

// errSubpath is of images, too.
var errSubpath = errors.New("subpath must be a relative path within the volume")

func checkBind(m mount.Mount) error {
	if m.Source == "" {
		return errors.New("field Source must not be empty")
	}
	if !path.IsAbs(m.Source) {
		return fmt.Errorf("invalid mount path: '%s' mount path must be absolute", m.Source)
	}
	if strings.ContainsRune(m.Source, 0) {
		return fmt.Errorf("invalid mount path: %q", m.Source)
	}
	o := m.BindOptions
	if o == nil {
		return nil
	}
	if o.Propagation != "" && !slices.Contains(mount.Propagations, o.Propagation) {
		return fmt.Errorf("invalid propagation mode: %s", o.Propagation)
	}
	if o.ReadOnlyForceRecursive {
		switch {
		case !m.ReadOnly:
			return errors.New("mount must be set to read-only to use recursive read-only")
		case o.NonRecursive || o.ReadOnlyNonRecursive:
			return errors.New("field ReadOnlyForceRecursive conflicts with a non-recursive mount")
		case o.Propagation != "" && o.Propagation != mount.PropagationRPrivate:
			return errors.New("ReadOnlyForceRecursive requires propagation to be rprivate")
		}
	}
	return nil
}

// checkDestination: a mount over the root would hide the container's image.
func checkDestination(dest string) error {
	switch {
	case path.Clean(dest) == "/":
		return errors.New("invalid specification: destination can't be '/'")
	case !path.IsAbs(dest):
		return fmt.Errorf("invalid mount path: '%s' mount path must be absolute", dest)
	case strings.ContainsRune(dest, 0):
		return fmt.Errorf("invalid mount path: %q", dest)
	}
	return nil
}

// checkOptionFields refuses options of another type than the mount's.
func checkOptionFields(m mount.Mount) error {
	for _, f := range []struct {
		of    mount.Type
		name  string
		given bool
	}{
		{mount.TypeBind, "BindOptions", m.BindOptions != nil},
		{mount.TypeVolume, "VolumeOptions", m.VolumeOptions != nil},
		{mount.TypeImage, "ImageOptions", m.ImageOptions != nil},
		{mount.TypeTmpfs, "TmpfsOptions", m.TmpfsOptions != nil},
		{mount.TypeCluster, "ClusterOptions", m.ClusterOptions != nil},
	} {
		if f.given && f.of != m.Type {
			return fmt.Errorf("field %s must not be specified", f.name)
		}
	}
	return nil
}

func extraField(t mount.Type, name string) string {
	return fmt.Sprintf("invalid mount config for type %q: field %s must not be specified", t, name)
}

// parseTmpfs reads one --tmpfs.
func parseTmpfs(dest, options string) (Point, error) {
	if err := checkDestination(dest); err != nil {
		return Point{}, invalid("%v", err)
	}
	var own []string
	if options != "" {
		own = strings.Split(options, ",")
	}
	merged, err := mergeTmpfs(own)
	if err != nil {
		return Point{}, invalid("%v", err)
	}
	return Point{Type: mount.TypeTmpfs, Destination: path.Clean(dest), RW: !slices.Contains(merged, "ro"), Tmpfs: merged, Hidden: true}, nil
}

// tmpfsOptions writes a --mount's tmpfs options as those of mount(8).
func tmpfsOptions(o *mount.TmpfsOptions, readonly bool) ([]string, error) {
	var out []string
	if readonly {
		out = append(out, "ro")
	}
	if o == nil {
		return out, nil
	}
	if o.SizeBytes < 0 {
		return nil, fmt.Errorf("invalid tmpfs size: %d", o.SizeBytes)
	}
	if o.Mode != 0 {
		out = append(out, fmt.Sprintf("mode=%o", uint32(o.Mode)))
	}
	if o.SizeBytes > 0 {
		out = append(out, fmt.Sprintf("size=%d", o.SizeBytes))
	}
	for _, opt := range o.Options {
		if len(opt) < 1 || len(opt) > 2 {
			return nil, errors.New("invalid option array length")
		}
		if opt[0] != "exec" && opt[0] != "noexec" {
			return nil, errors.New("invalid option: " + opt[0])
		}
		out = append(out, opt[0])
	}
	return out, nil
}

// tmpfsGroups: of each group of mount options the last one said counts.
var tmpfsGroups = map[string]string{
	"rw": "rw", "ro": "rw", "exec": "exec", "noexec": "exec", "suid": "suid", "nosuid": "suid", "dev": "dev", "nodev": "dev",
	"sync": "sync", "async": "sync", "dirsync": "dirsync", "mand": "mand", "nomand": "mand", "diratime": "diratime", "nodiratime": "diratime",
	"atime": "atime", "noatime": "atime", "relatime": "atime", "norelatime": "atime", "strictatime": "atime", "nostrictatime": "atime",
	"private": "propagation", "rprivate": "propagation", "shared": "propagation", "rshared": "propagation", "slave": "propagation", "rslave": "propagation",
}

var tmpfsDefaults = []string{"noexec", "nosuid", "nodev", "rprivate"}

// mergeTmpfs lays the user's options over the defaults.
func mergeTmpfs(own []string) ([]string, error) {
	type option struct{ group, text string }
	var out []option
	for _, o := range slices.Concat(tmpfsDefaults, own) {
		key, value, hasValue := strings.Cut(o, "=")
		group := tmpfsGroups[key]
		switch key {
		case "size", "mode", "uid", "gid", "nr_inodes", "nr_blocks", "mpol":
			group = key
			if !hasValue || value == "" {
				return nil, fmt.Errorf("invalid tmpfs option %q", o)
			}
		case "defaults":
			continue
		default:
			if group == "" || hasValue {
				return nil, fmt.Errorf("invalid tmpfs option %q", o)
			}
		}
		out = slices.DeleteFunc(out, func(x option) bool { return x.group == group })
		out = append(out, option{group, o})
	}
	texts := make([]string, len(out))
	for i, o := range out {
		texts[i] = o.text
	}
	return texts, nil
}
