package spec

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// maxDevices bounds what one --device folder or /dev may hold.
const maxDevices = 4096

// devices are the nodes to make in /dev besides the runtime's own (null, zero,
// full, random, urandom, tty), and the rules of the devices cgroup.
func devices(hc *container.HostConfig) ([]specs.LinuxDevice, []specs.LinuxDeviceCgroup, error) {
	if hc.Privileged {
		nodes, err := hostDevices()
		if err != nil {
			return nil, nil, err
		}
		for _, m := range hc.Devices {
			m.CgroupPermissions = "rwm"
			more, _, err := mapDevice(m)
			if err != nil {
				return nil, nil, err
			}
			nodes = append(nodes, more...)
		}
		return lastOfEachPath(nodes), []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}, nil
	}
	rules := defaultDeviceRules()
	var nodes []specs.LinuxDevice
	for _, m := range hc.Devices {
		more, allow, err := mapDevice(m)
		if err != nil {
			return nil, nil, err
		}
		nodes, rules = append(nodes, more...), append(rules, allow...)
	}
	for _, r := range hc.DeviceCgroupRules {
		rule, err := parseDeviceRule(r)
		if err != nil {
			return nil, nil, err
		}
		rules = append(rules, rule)
	}
	return lastOfEachPath(nodes), rules, nil
}

// defaultDeviceRules: nothing, then making any node (without being able to open
// it), then Docker's list. The runtime adds ptmx and pts itself.
func defaultDeviceRules() []specs.LinuxDeviceCgroup {
	rules := []specs.LinuxDeviceCgroup{
		{Allow: false, Access: "rwm"},
		{Allow: true, Type: "c", Access: "m"},
		{Allow: true, Type: "b", Access: "m"},
	}
	for _, d := range [][2]int64{{1, 3}, {1, 5}, {1, 7}, {1, 8}, {1, 9}, {5, 0}, {5, 1}} {
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: "c", Major: &d[0], Minor: &d[1], Access: "rwm"})
	}
	return rules
}

var errNotDevice = errors.New("not a device node")

// device describes the node at p, following links.
func device(p string) (specs.LinuxDevice, error) {
	var st unix.Stat_t
	if err := unix.Stat(p, &st); err != nil {
		return specs.LinuxDevice{}, err
	}
	d := specs.LinuxDevice{Path: p, Major: int64(unix.Major(st.Rdev)), Minor: int64(unix.Minor(st.Rdev)), UID: &st.Uid, GID: &st.Gid}
	mode := os.FileMode(st.Mode &^ unix.S_IFMT)
	d.FileMode = &mode
	switch st.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFBLK:
		d.Type = "b"
	default:
		return specs.LinuxDevice{}, errNotDevice
	}
	return d, nil
}

// mapDevice resolves one --device: a node, or a folder of nodes.
func mapDevice(m container.DeviceMapping) (nodes []specs.LinuxDevice, rules []specs.LinuxDeviceCgroup, err error) {
	refuse := func(err error) error {
		return invalid(fmt.Sprintf("error gathering device information while adding custom device %q: %v", m.PathOnHost, err))
	}
	access := m.CgroupPermissions
	if access == "" {
		access = "rwm"
	}
	if !validAccess(access) {
		return nil, nil, invalid(fmt.Sprintf("invalid device mode: %s", access))
	}
	// /dev/disk/by-id/… and the like are links; the node counts.
	source, err := filepath.EvalSymlinks(m.PathOnHost)
	if err != nil {
		return nil, nil, refuse(withoutPath(err))
	}
	target := m.PathInContainer
	if target == "" {
		target = m.PathOnHost
	}
	target = path.Clean("/" + target)
	add := func(d specs.LinuxDevice, p string) {
		d.Path = p
		nodes = append(nodes, d)
		rules = append(rules, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: access})
	}
	switch d, err := device(source); {
	case err == nil:
		add(d, target)
		return nodes, rules, nil
	case !errors.Is(err, errNotDevice):
		return nil, nil, refuse(err)
	}
	found, err := devicesBelow(source, nil)
	if err != nil {
		return nil, nil, refuse(err)
	}
	for _, d := range found {
		add(d, target+strings.TrimPrefix(d.Path, source))
	}
	if len(nodes) == 0 {
		return nil, nil, refuse(errNotDevice)
	}
	return nodes, rules, nil
}

// hostDevices are the nodes of the host's /dev that mean the same in a
// container, which has its own pts, shm, mqueue, fd and console.
func hostDevices() ([]specs.LinuxDevice, error) {
	found, err := devicesBelow("/dev", []string{"pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"})
	if err != nil {
		return nil, fmt.Errorf("listing the host's devices: %w", err)
	}
	return slices.DeleteFunc(found, func(d specs.LinuxDevice) bool { return d.Path == "/dev/console" }), nil
}

// devicesBelow walks dir without following links; skip names folders of its top.
func devicesBelow(dir string, skip []string) ([]specs.LinuxDevice, error) {
	var out []specs.LinuxDevice
	err := filepath.WalkDir(dir, func(p string, e fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist) && p != dir: // gone since it was listed
			return nil
		case err != nil:
			return err
		case e.IsDir() && filepath.Dir(p) == dir && slices.Contains(skip, e.Name()):
			return fs.SkipDir
		case e.Type()&fs.ModeDevice == 0:
			return nil
		}
		d, err := device(p)
		if err != nil {
			return nil // gone, or replaced, since it was listed
		}
		if len(out) == maxDevices {
			return fmt.Errorf("more than %d devices below %s", maxDevices, dir)
		}
		out = append(out, d)
		return nil
	})
	return out, err
}

// lastOfEachPath keeps the user's mapping where it names a path that is there.
func lastOfEachPath(nodes []specs.LinuxDevice) []specs.LinuxDevice {
	at := make(map[string]int, len(nodes))
	var out []specs.LinuxDevice
	for _, d := range nodes {
		if i, ok := at[d.Path]; ok {
			out[i] = d
			continue
		}
		at[d.Path] = len(out)
		out = append(out, d)
	}
	return out
}

var deviceRule = regexp.MustCompile(`^([acb]) ([0-9]+|\*):([0-9]+|\*) ([rwm]{1,3})$`)

// parseDeviceRule reads one --device-cgroup-rule, "c 1:3 rwm".
func parseDeviceRule(s string) (specs.LinuxDeviceCgroup, error) {
	m := deviceRule.FindStringSubmatch(s)
	if m == nil {
		return specs.LinuxDeviceCgroup{}, invalid(fmt.Sprintf("invalid device cgroup rule format: '%s'", s))
	}
	number := func(s string) (*int64, error) {
		if s == "*" {
			return nil, nil // absent is any
		}
		n, err := strconv.ParseInt(s, 10, 32)
		return &n, err
	}
	rule := specs.LinuxDeviceCgroup{Allow: true, Type: m[1], Access: m[4]}
	var err error
	if rule.Major, err = number(m[2]); err == nil {
		rule.Minor, err = number(m[3])
	}
	if err != nil {
		return rule, invalid(fmt.Sprintf("invalid device cgroup rule format: '%s'", s))
	}
	return rule, nil
}

func validAccess(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("rwm", c) || strings.Count(s, string(c)) > 1 {
			return false
		}
	}
	return s != ""
}

func withoutPath(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
