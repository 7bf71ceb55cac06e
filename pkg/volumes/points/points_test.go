package points

import (
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
)

func TestParse(t *testing.T) {
	bind := func(p Point) Point {
		p.Type = mount.TypeBind
		if p.Propagation == "" {
			p.Propagation, p.Unasked = mount.PropagationRPrivate, true
		}
		return p
	}
	vol := func(p Point) Point {
		p.Type = mount.TypeVolume
		if p.Driver == "" {
			p.Driver = DefaultDriver
		}
		return p
	}
	tmpfs := []string{"noexec", "nosuid", "nodev", "rprivate"}
	for name, c := range map[string]struct {
		cfg  container.Config
		hc   container.HostConfig
		from []mount.Mount
		want []Point
	}{
		"nothing":       {},
		"bind":          {hc: container.HostConfig{Binds: []string{"/a/../b:/c/"}}, want: []Point{bind(Point{Source: "/b", Destination: "/c", RW: true, CreateSource: true})}},
		"bind options":  {hc: container.HostConfig{Binds: []string{"/a:/c:ro,Z,rslave"}}, want: []Point{bind(Point{Source: "/a", Destination: "/c", Mode: "ro,Z,rslave", Propagation: "rslave", CreateSource: true})}},
		"named":         {hc: container.HostConfig{Binds: []string{"data:/c"}}, want: []Point{vol(Point{Name: "data", Destination: "/c", RW: true, Mode: "z", Copy: true})}},
		"named options": {hc: container.HostConfig{Binds: []string{"data:/c:nocopy,ro"}, VolumeDriver: "x"}, want: []Point{vol(Point{Name: "data", Destination: "/c", Mode: "nocopy,ro", Driver: "x"})}},
		"anonymous":     {hc: container.HostConfig{Binds: []string{"/c"}}, want: []Point{vol(Point{Destination: "/c", RW: true, Copy: true})}},
		"image":         {cfg: container.Config{Volumes: map[string]struct{}{"/z": {}, "/c": {}}}, want: []Point{vol(Point{Destination: "/c", RW: true, Copy: true}), vol(Point{Destination: "/z", RW: true, Copy: true})}},
		"image gives way": {cfg: container.Config{Volumes: map[string]struct{}{"/c/": {}, "/t": {}}}, hc: container.HostConfig{Binds: []string{"/a:/c"}, Tmpfs: map[string]string{"/t": ""}},
			want: []Point{bind(Point{Source: "/a", Destination: "/c", RW: true, CreateSource: true}), {Type: mount.TypeTmpfs, Destination: "/t", RW: true, Tmpfs: tmpfs, Hidden: true}}},
		"--mount": {hc: container.HostConfig{Mounts: []mount.Mount{
			{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true, BindOptions: &mount.BindOptions{NonRecursive: true, Propagation: "shared"}},
			{Type: "volume", Target: "/c", VolumeOptions: &mount.VolumeOptions{Labels: map[string]string{"x": "y"}, DriverConfig: &mount.Driver{Options: map[string]string{"size": "0"}}}},
			{Type: "volume", Source: "data", Target: "/d", VolumeOptions: &mount.VolumeOptions{Subpath: "a/b"}},
			{Type: "tmpfs", Target: "/t", TmpfsOptions: &mount.TmpfsOptions{SizeBytes: 65536, Mode: 0o1770, Options: [][]string{{"exec"}}}},
		}}, want: []Point{
			bind(Point{Source: "/a", Destination: "/b", NonRecursive: true, Propagation: "shared"}),
			vol(Point{Destination: "/c", RW: true, Mode: "z", Copy: true, Labels: map[string]string{"x": "y"}, Options: map[string]string{"size": "0"}}),
			vol(Point{Name: "data", Destination: "/d", RW: true, Mode: "z", Subpath: "a/b"}),
			{Type: "tmpfs", Destination: "/t", RW: true, Tmpfs: []string{"nosuid", "nodev", "rprivate", "mode=1770", "size=65536", "exec"}},
		}},
		"--tmpfs": {hc: container.HostConfig{Tmpfs: map[string]string{"/t": "exec,size=1m,ro,size=2m,suid"}},
			want: []Point{{Type: "tmpfs", Destination: "/t", Hidden: true, Tmpfs: []string{"nodev", "rprivate", "exec", "ro", "size=2m", "suid"}}}},
		"from others": {hc: container.HostConfig{VolumesFrom: []string{"x"}, Binds: []string{"own:/v"}},
			from: []mount.Mount{{Type: "volume", Source: "theirs", Target: "/v"}, {Type: "bind", Source: "/s", Target: "/b", ReadOnly: true}, {Type: "tmpfs", Target: "/t", ReadOnly: true}},
			want: []Point{bind(Point{Source: "/s", Destination: "/b"}), {Type: "tmpfs", Destination: "/t", Tmpfs: append(tmpfs, "ro")}, vol(Point{Name: "own", Destination: "/v", RW: true, Mode: "z", Copy: true})}},
		"images": {hc: container.HostConfig{Mounts: []mount.Mount{{Type: "image", Source: "busybox", Target: "/i/"}, {Type: "image", Source: "x:1", Target: "/j", ImageOptions: &mount.ImageOptions{Subpath: "a/b"}}}},
			want: []Point{{Type: "image", Name: "busybox", Destination: "/i"}, {Type: "image", Name: "x:1", Destination: "/j", Subpath: "a/b"}}},
		"around the data root": {hc: container.HostConfig{Binds: []string{"/:/h", "/data/root/x:/x:ro", "/data/rooted:/r", "/data:/d:rshared"}},
			want: []Point{bind(Point{Source: "/", Destination: "/h", RW: true, Propagation: "rslave", Unasked: true, CreateSource: true}), bind(Point{Source: "/data/root/x", Destination: "/x", Mode: "ro", Propagation: "rslave", Unasked: true, CreateSource: true}),
				bind(Point{Source: "/data/rooted", Destination: "/r", RW: true, CreateSource: true}), bind(Point{Source: "/data", Destination: "/d", Mode: "rshared", RW: true, Propagation: "rshared", CreateSource: true})}},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Parser{DataRoot: "/data/root"}.Parse(&c.cfg, &c.hc, c.from)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) {
				t.Errorf("got  %+v\nwant %+v", got, c.want)
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	one := func(m mount.Mount) container.HostConfig { return container.HostConfig{Mounts: []mount.Mount{m}} }
	for want, hc := range map[string]container.HostConfig{
		"invalid volume specification: ''":        {Binds: []string{""}},
		"invalid volume specification: ':/a'":     {Binds: []string{":/a"}},
		"invalid volume specification: '/a:ro'":   {Binds: []string{"/a:ro"}},
		"invalid volume specification: '/a:'":     {Binds: []string{"/a:"}},
		"invalid volume specification: 'a:b:c:d'": {Binds: []string{"a:b:c:d"}},
		"invalid mode: ro,rw":                     {Binds: []string{"/a:/b:ro,rw"}},
		"invalid mode: magic":                     {Binds: []string{"/a:/b:magic"}},
		`invalid volume specification: '/a:/': invalid mount config for type "bind": invalid specification: destination can't be '/'`:      {Binds: []string{"/a:/"}},
		`invalid volume specification: 'a:b': invalid mount config for type "volume": invalid mount path: 'b' mount path must be absolute`: {Binds: []string{"a:b"}},
		`invalid volume specification: '/a:/b:nocopy': invalid mount config for type "bind": field VolumeOptions must not be specified`:    {Binds: []string{"/a:/b:nocopy"}},
		`invalid volume specification: 'a:/b:shared': invalid mount config for type "volume": field BindOptions must not be specified`:     {Binds: []string{"a:/b:shared"}},
		"Duplicate mount point: /b":                                                                       {Binds: []string{"/a:/b", "c:/b/"}},
		"Duplicate mount point: /t":                                                                       {Mounts: []mount.Mount{{Type: "volume", Target: "/t"}}, Tmpfs: map[string]string{"/t": ""}},
		"invalid specification: destination can't be '/'":                                                 {Tmpfs: map[string]string{"/": ""}},
		"invalid mount path: 't' mount path must be absolute":                                             {Tmpfs: map[string]string{"t": ""}},
		`invalid tmpfs option "magic"`:                                                                    {Tmpfs: map[string]string{"/t": "magic"}},
		`invalid tmpfs option "size"`:                                                                     {Tmpfs: map[string]string{"/t": "size"}},
		`invalid mount config for type "": mount type unknown`:                                            one(mount.Mount{Target: "/a"}),
		`invalid mount config for type "npipe": mount type unknown`:                                       one(mount.Mount{Type: "npipe", Target: "/a"}),
		`invalid mount config for type "bind": field Target must not be empty`:                            one(mount.Mount{Type: "bind", Source: "/a"}),
		`invalid mount config for type "bind": field Source must not be empty`:                            one(mount.Mount{Type: "bind", Target: "/a"}),
		`invalid mount config for type "bind": invalid mount path: 'a' mount path must be absolute`:       one(mount.Mount{Type: "bind", Source: "a", Target: "/a"}),
		`invalid mount config for type "bind": invalid propagation mode: far`:                             one(mount.Mount{Type: "bind", Source: "/a", Target: "/a", BindOptions: &mount.BindOptions{Propagation: "far"}}),
		`invalid mount config for type "bind": field VolumeOptions must not be specified`:                 one(mount.Mount{Type: "bind", Source: "/a", Target: "/a", VolumeOptions: &mount.VolumeOptions{}}),
		`invalid mount config for type "bind": mount must be set to read-only to use recursive read-only`: one(mount.Mount{Type: "bind", Source: "/a", Target: "/a", BindOptions: &mount.BindOptions{ReadOnlyForceRecursive: true}}),
		`invalid mount config for type "volume": field TmpfsOptions must not be specified`:                one(mount.Mount{Type: "volume", Target: "/a", TmpfsOptions: &mount.TmpfsOptions{}}),
		`invalid mount config for type "volume": must not set Subpath when using anonymous volumes`:       one(mount.Mount{Type: "volume", Target: "/a", VolumeOptions: &mount.VolumeOptions{Subpath: "x"}}),
		`invalid mount config for type "volume": subpath must be a relative path within the volume`:       one(mount.Mount{Type: "volume", Source: "vv", Target: "/a", VolumeOptions: &mount.VolumeOptions{Subpath: "../x"}}),
		`invalid mount config for type "image": field Source must not be empty`:                           one(mount.Mount{Type: "image", Target: "/a"}),
		`invalid mount config for type "image": field VolumeOptions must not be specified`:                one(mount.Mount{Type: "image", Source: "x", Target: "/a", VolumeOptions: &mount.VolumeOptions{}}),
		`invalid mount config for type "image": subpath must be a relative path within the volume`:        one(mount.Mount{Type: "image", Source: "x", Target: "/a", ImageOptions: &mount.ImageOptions{Subpath: "/x"}}),
		`invalid mount config: must use either propagation mode "rslave" or "rshared" when mount source is within the daemon root, daemon root: "/data/root", bind mount source: "/data", propagation: "private"`: {Binds: []string{"/data:/a:private"}},
		`invalid mount config for type "tmpfs": field Source must not be specified`: one(mount.Mount{Type: "tmpfs", Source: "x", Target: "/a"}),
		`invalid mount config for type "tmpfs": invalid option: magic`:              one(mount.Mount{Type: "tmpfs", Target: "/a", TmpfsOptions: &mount.TmpfsOptions{Options: [][]string{{"magic"}}}}),
	} {
		if _, err := (Parser{DataRoot: "/data/root"}).Parse(&container.Config{}, &hc, nil); !errdefs.IsInvalidArgument(err) || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// A container that takes over mounts has what was asked for, but for its name and
// whether its volume begins with the image's content.
func TestShared(t *testing.T) {
	hc := container.HostConfig{
		Binds: []string{"/a:/a:ro", "/b:/b:rshared", "/data:/c", "v:/v", "/w"}, Tmpfs: map[string]string{"/hidden": ""},
		Mounts: []mount.Mount{
			{Type: "bind", Source: "/a", Target: "/d", ReadOnly: true, BindOptions: &mount.BindOptions{NonRecursive: true}}, {Type: "tmpfs", Target: "/t"},
			{Type: "volume", Source: "v", Target: "/s", VolumeOptions: &mount.VolumeOptions{Subpath: "sub"}}, {Type: "image", Source: "x", Target: "/i", ImageOptions: &mount.ImageOptions{Subpath: "etc"}},
		},
	}
	parser := Parser{DataRoot: "/data/root"}
	all, err := parser.Parse(&container.Config{}, &hc, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.Hidden {
			continue
		}
		name := p.Name
		if p.Destination == "/w" {
			name = "generated"
		}
		got, err := parser.Parse(&container.Config{}, &container.HostConfig{}, []mount.Mount{p.Shared(name)})
		p.Copy, p.Mode, p.Name = false, "", name
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], p) {
			t.Errorf("got  %+v, %v\nwant %+v", got, err, p)
		}
	}
}

func FuzzBind(f *testing.F) {
	for _, s := range []string{"/a:/b:ro", "v:/b", "/c", "a:b:c:d", "/a:/b:shared,z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		p, err := parseBind(raw, "")
		if err != nil {
			return
		}
		if !strings.HasPrefix(p.Destination, "/") || p.Destination == "/" || strings.ContainsRune(p.Destination+p.Source, 0) ||
			p.Type == mount.TypeBind && !strings.HasPrefix(p.Source, "/") {
			t.Errorf("%q: %+v", raw, p)
		}
	})
}

func FuzzTmpfs(f *testing.F) {
	f.Add("size=1m,exec")
	f.Fuzz(func(t *testing.T, s string) {
		got, err := mergeTmpfs(strings.Split(s, ","))
		if err != nil {
			return
		}
		again, err := mergeTmpfs(got)
		if err != nil || len(again) != len(got) {
			t.Errorf("%q: %q, then %q, %v", s, got, again, err)
		}
	})
}
