package spec

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/moby/moby/api/types/blkiodev"
	"github.com/moby/moby/api/types/container"
	"golang.org/x/sys/unix"
)

func TestDevices(t *testing.T) {
	dir := t.TempDir()
	must(t, os.MkdirAll(filepath.Join(dir, "group/deep"), 0o755))
	must(t, unix.Mknod(filepath.Join(dir, "group/one"), unix.S_IFCHR|0o620, int(unix.Mkdev(1, 3))))
	must(t, unix.Mknod(filepath.Join(dir, "group/deep/two"), unix.S_IFBLK|0o600, int(unix.Mkdev(7, 200))))
	must(t, os.WriteFile(filepath.Join(dir, "group/file"), nil, 0o600))
	must(t, os.Symlink("/etc", filepath.Join(dir, "group/outside")))
	must(t, os.Symlink("group/one", filepath.Join(dir, "link")))

	nodes, rules, err := devices(&container.HostConfig{Resources: container.Resources{
		Devices: []container.DeviceMapping{
			{PathOnHost: filepath.Join(dir, "group"), PathInContainer: "/dev/group", CgroupPermissions: "rw"},
			{PathOnHost: filepath.Join(dir, "link"), PathInContainer: "/dev/x/../link"},
			{PathOnHost: "/dev/full", PathInContainer: "/dev/link"},
		},
		DeviceCgroupRules: []string{"a *:* rwm", "c 10:200 m"},
	}})
	must(t, err)
	want := map[string][3]int64{"/dev/group/one": {'c', 1, 3}, "/dev/group/deep/two": {'b', 7, 200}, "/dev/link": {'c', 1, 7}}
	for _, n := range nodes {
		if w := want[n.Path]; int64(n.Type[0]) != w[0] || n.Major != w[1] || n.Minor != w[2] {
			t.Errorf("%+v", n)
		}
		delete(want, n.Path)
	}
	if len(want) > 0 {
		t.Errorf("missing %v", want)
	}
	added := rules[len(defaultDeviceRules()):]
	if len(added) != 6 || added[0].Access != "rw" || added[2].Access != "rwm" || added[4].Major != nil || *added[5].Minor != 200 {
		t.Errorf("rules %+v", added)
	}
}

func TestBlockDevices(t *testing.T) {
	dir := t.TempDir()
	disk := filepath.Join(dir, "disk")
	must(t, unix.Mknod(disk, unix.S_IFBLK|0o600, int(unix.Mkdev(7, 201))))
	r, err := Resources(&container.Resources{
		BlkioWeightDevice:  []*blkiodev.WeightDevice{nil, {Path: disk, Weight: 100}},
		BlkioDeviceReadBps: []*blkiodev.ThrottleDevice{{Path: disk, Rate: 1 << 40}}, BlkioDeviceWriteIOps: []*blkiodev.ThrottleDevice{{Path: disk, Rate: 9}},
	}, testHost())
	must(t, err)
	b := r.BlockIO
	if *b.WeightDevice[0].Weight != 100 || b.WeightDevice[0].Minor != 201 || b.ThrottleReadBpsDevice[0].Rate != 1<<40 || b.ThrottleWriteIOPSDevice[0].Rate != 9 {
		t.Errorf("%+v", b)
	}
	for _, p := range []string{"/dev/null", filepath.Join(dir, "none")} {
		if _, err := Resources(&container.Resources{BlkioDeviceReadBps: []*blkiodev.ThrottleDevice{{Path: p}}}, testHost()); err == nil {
			t.Errorf("%s is taken for a block device", p)
		}
	}
}

func FuzzDeviceRule(f *testing.F) {
	f.Add("c 1:3 rwm")
	f.Add("a *:99999999999 r")
	f.Fuzz(func(t *testing.T, s string) {
		if r, err := parseDeviceRule(s); err == nil && (r.Access == "" || r.Type == "" || r.Major != nil && *r.Major < 0) {
			t.Errorf("%+v", r)
		}
	})
}
