package spec

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestEnvironment(t *testing.T) {
	for name, c := range map[string]struct {
		tty       bool
		linked    []string
		cfg, more []string
		want      []string
	}{
		"plain":         {want: []string{defaultPath, "HOSTNAME=h"}},
		"tty":           {tty: true, want: []string{defaultPath, "HOSTNAME=h", "TERM=xterm"}},
		"replaced":      {cfg: []string{"PATH=/x", "A=1", "A=2"}, want: []string{"PATH=/x", "HOSTNAME=h", "A=2"}},
		"removed":       {cfg: []string{"A=1", "HOSTNAME", "B"}, want: []string{defaultPath, "A=1"}},
		"removed, set":  {cfg: []string{"A=1", "A", "A=2"}, want: []string{defaultPath, "HOSTNAME=h", "A=2"}},
		"more":          {cfg: []string{"A=1"}, more: []string{"A=2", "B=x=y"}, want: []string{defaultPath, "HOSTNAME=h", "A=2", "B=x=y"}},
		"empty value":   {cfg: []string{"A="}, want: []string{defaultPath, "HOSTNAME=h", "A="}},
		"of links":      {linked: []string{"DB_NAME=/h/db", "A=0"}, cfg: []string{"A=1"}, want: []string{defaultPath, "HOSTNAME=h", "DB_NAME=/h/db", "A=1"}},
		"tty with TERM": {tty: true, cfg: []string{"TERM=dumb"}, want: []string{defaultPath, "HOSTNAME=h", "TERM=dumb"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := environment(Input{Config: &container.Config{Hostname: "h", Env: c.cfg}, LinkEnv: c.linked}, c.tty, c.more)
			if !slices.Equal(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestUser(t *testing.T) {
	none := map[string]string{}
	for name, c := range map[string]struct {
		user   string
		groups []string
		files  map[string]string
		want   specs.User
		home   string
	}{
		"root":                 {want: specs.User{AdditionalGids: []uint32{0, 10}}, home: "/root"},
		"name":                 {user: "web", want: specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 2000}}, home: "/srv/web"},
		"number":               {user: "1000", want: specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 2000}}, home: "/srv/web"},
		"number of nobody":     {user: "77", want: specs.User{UID: 77, AdditionalGids: []uint32{0}}},
		"explicit group":       {user: "web:media", want: specs.User{UID: 1000, GID: 3000, AdditionalGids: []uint32{3000}}, home: "/srv/web"},
		"explicit number":      {user: "web:55", want: specs.User{UID: 1000, GID: 55, AdditionalGids: []uint32{55}}, home: "/srv/web"},
		"group-add":            {user: "web", groups: []string{"media", "55", "logs"}, want: specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001, 2000, 55, 3000}}, home: "/srv/web"},
		"no files":             {files: none, want: specs.User{AdditionalGids: []uint32{0}}},
		"no files, numbers":    {user: "5:6", files: none, want: specs.User{UID: 5, GID: 6, AdditionalGids: []uint32{6}}},
		"rubbish in passwd":    {user: "web", files: map[string]string{"/etc/passwd": "::::\nx\nweb:x:1:2\n\x00\xff:1:1:1\n"}, want: specs.User{UID: 1, GID: 2, AdditionalGids: []uint32{2}}},
		"no group file":        {user: "web", files: map[string]string{"/etc/passwd": testFiles["/etc/passwd"]}, want: specs.User{UID: 1000, GID: 1001, AdditionalGids: []uint32{1001}}, home: "/srv/web"},
		"passwd that is empty": {user: "7", files: map[string]string{"/etc/passwd": ""}, want: specs.User{UID: 7, AdditionalGids: []uint32{0}}},
	} {
		t.Run(name, func(t *testing.T) {
			files := c.files
			if files == nil {
				files = testFiles
			}
			got, home, err := lookupUser(lookupIn(files), c.user, c.groups)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, c.want) || home != c.home {
				t.Errorf("got %+v at %q, want %+v at %q", got, home, c.want, c.home)
			}
		})
	}
}

// Numbers that the container's own files give are no others than those a user may say.
func TestUserOutOfRange(t *testing.T) {
	files := map[string]string{
		"/etc/passwd": "root:x:0:0::/:\nwraps:x:4294967296:4294967296::/:\nuid:x:4294967296:1::/:\ngid:x:1:2147483648::/:\nless:x:-5:1::/:\nmember:x:7:7::/:\n",
		"/etc/group":  "wheel:x:4294967296:member\nless:x:-1:\n",
	}
	for _, c := range []struct {
		user   string
		groups []string
	}{
		{"wraps", nil}, {"uid", nil}, {"gid", nil}, {"less", nil}, {"member", nil}, {"root:wheel", nil}, {"root:less", nil}, {"root", []string{"wheel"}},
		{"4294967296", nil}, {"0:4294967296", nil}, {"root", []string{"4294967296"}}, {"-1", nil},
	} {
		u, _, err := lookupUser(lookupIn(files), c.user, c.groups)
		if !errdefs.IsInvalidArgument(err) || err.Error() != "uids and gids must be in range 0-2147483647" {
			t.Errorf("%s %q: %+v, %v", c.user, c.groups, u, err)
		}
	}
}

func FuzzUser(f *testing.F) {
	f.Add("web:media", testFiles["/etc/passwd"], testFiles["/etc/group"])
	f.Add("-1", "a:::::::\n", "x:y:99999999999999999999:")
	f.Fuzz(func(t *testing.T, name, passwd, group string) {
		u, _, err := lookupUser(lookupIn(map[string]string{"/etc/passwd": passwd, "/etc/group": group}), name, []string{name})
		if err == nil && (u.UID > 1<<31-1 || len(u.AdditionalGids) == 0) {
			t.Errorf("user %+v", u)
		}
	})
}

func TestProcess(t *testing.T) {
	in := input(t, func(in *Input) {
		in.Config.Env, in.Config.WorkingDir, in.Config.User = []string{"A=1", "B=1"}, "/srv", "web"
		in.HostConfig.CapAdd, in.HostConfig.SecurityOpt = []string{"SYS_PTRACE"}, []string{"no-new-privileges"}
	})
	p, err := Process(context.Background(), in, &container.ExecCreateRequest{Cmd: []string{"sh"}, Env: []string{"B=2"}})
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{defaultPath, "HOSTNAME=0123456789ab", "A=1", "B=2", "HOME=/srv/web"}; !slices.Equal(p.Env, want) {
		t.Errorf("environment %q", p.Env)
	}
	if p.User.UID != 1000 || p.Cwd != "/srv" || !p.NoNewPrivileges || p.Terminal || p.OOMScoreAdj != nil {
		t.Errorf("process %+v", p)
	}
	if !slices.Contains(p.Capabilities.Bounding, "CAP_SYS_PTRACE") || slices.Contains(p.Capabilities.Bounding, "CAP_SYS_ADMIN") {
		t.Errorf("capabilities %v", p.Capabilities.Bounding)
	}

	p, err = Process(context.Background(), in, &container.ExecCreateRequest{
		Cmd: []string{"sh", "-c", "id"}, User: "0:0", WorkingDir: "/tmp/..", Privileged: true, Tty: true, ConsoleSize: &[2]uint{30, 90},
	})
	if err != nil {
		t.Fatal(err)
	}
	if p.User.UID != 0 || p.Cwd != "/" || !p.Terminal || *p.ConsoleSize != (specs.Box{Height: 30, Width: 90}) ||
		!slices.Contains(p.Env, "TERM=xterm") || !slices.Contains(p.Capabilities.Effective, "CAP_SYS_ADMIN") {
		t.Errorf("process %+v", p)
	}

	if _, err = Process(context.Background(), in, &container.ExecCreateRequest{}); !errdefs.IsInvalidArgument(err) || err.Error() != "No exec command specified" {
		t.Errorf("no command: %v", err)
	}
	_, err = Process(context.Background(), in, &container.ExecCreateRequest{Cmd: []string{"x"}, User: "gone"})
	if !errdefs.IsInvalidArgument(err) || !strings.HasPrefix(err.Error(), "unable to find user gone") {
		t.Errorf("unknown user: %v", err)
	}
}
