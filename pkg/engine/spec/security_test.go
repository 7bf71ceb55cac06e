package spec

import (
	"slices"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestCapabilities(t *testing.T) {
	without := func(set []string, drop ...string) []string {
		return slices.DeleteFunc(slices.Clone(set), func(c string) bool { return slices.Contains(drop, c) })
	}
	noResource := without(knownCapabilities, "CAP_SYS_RESOURCE")
	for name, c := range map[string]struct {
		add, drop  []string
		privileged bool
		host, want []string
	}{
		"default":              {want: defaultCapabilities},
		"add":                  {add: []string{"sys_admin", "CAP_CHOWN"}, want: append(slices.Clone(defaultCapabilities), "CAP_SYS_ADMIN")},
		"drop":                 {drop: []string{"Cap_Chown"}, want: without(defaultCapabilities, "CAP_CHOWN")},
		"dropped and added":    {add: []string{"CHOWN"}, drop: []string{"CHOWN"}, want: append(without(defaultCapabilities, "CAP_CHOWN"), "CAP_CHOWN")},
		"drop all":             {drop: []string{"all"}, want: nil},
		"drop all, add":        {drop: []string{"ALL"}, add: []string{"KILL"}, want: []string{"CAP_KILL"}},
		"drop all, add all":    {drop: []string{"ALL"}, add: []string{"ALL"}, want: knownCapabilities},
		"add all":              {add: []string{"ALL"}, want: knownCapabilities},
		"add all, drop":        {add: []string{"ALL"}, drop: []string{"MKNOD"}, want: without(knownCapabilities, "CAP_MKNOD")},
		"privileged":           {privileged: true, drop: []string{"ALL"}, want: knownCapabilities},
		"bounded":              {add: []string{"ALL"}, host: noResource, want: noResource},
		"bounded, privileged":  {privileged: true, host: noResource, want: noResource},
		"bounded, not granted": {add: []string{"SYS_RESOURCE"}, host: noResource, want: defaultCapabilities},
	} {
		t.Run(name, func(t *testing.T) {
			host := testHost()
			if c.host != nil {
				host.Capabilities = c.host
			}
			got, err := capabilities(&container.HostConfig{CapAdd: c.add, CapDrop: c.drop}, c.privileged, host)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Bounding, c.want) || !slices.Equal(got.Effective, c.want) || !slices.Equal(got.Permitted, c.want) {
				t.Errorf("got %v, want %v", got.Bounding, c.want)
			}
			if got.Inheritable != nil || got.Ambient != nil {
				t.Error("inheritable and ambient sets must be empty")
			}
		})
	}
}

func TestSecurityOptions(t *testing.T) {
	yes, no := true, false
	for opt, want := range map[string]security{
		"no-new-privileges":       {noNewPrivileges: true},
		"no-new-privileges=true":  {noNewPrivileges: true},
		"no-new-privileges:false": {},
		"label=disable":           {},
		"disable":                 {},
		"apparmor=unconfined":     {appArmor: "unconfined"},
		"seccomp:unconfined":      {seccomp: "unconfined"},
		`seccomp={"a":"b=c"}`:     {seccomp: `{"a":"b=c"}`},
		"writable-cgroups":        {writableCgroups: &yes},
		"writable-cgroups=true":   {writableCgroups: &yes},
		"writable-cgroups=0":      {writableCgroups: &no},
	} {
		got, err := parseSecurity([]string{opt}, Defaults{})
		if err != nil {
			t.Errorf("%s: %v", opt, err)
			continue
		}
		if (got.writableCgroups == nil) != (want.writableCgroups == nil) || got.writableCgroups != nil && *got.writableCgroups != *want.writableCgroups {
			t.Errorf("%s: writable cgroups", opt)
		}
		got.writableCgroups, want.writableCgroups = nil, nil
		if got != want {
			t.Errorf("%s: got %+v, want %+v", opt, got, want)
		}
	}
	for _, opt := range []string{"", "nonsense", "no-new-privileges=maybe", "magic=1", "writable-cgroups=x"} {
		if _, err := parseSecurity([]string{opt}, Defaults{}); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%q: %v", opt, err)
		}
	}
}

func TestSeccomp(t *testing.T) {
	const custom = `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["mkdir"],"action":"SCMP_ACT_ERRNO"}]}`
	host := testHost()
	get := func(option string, privileged bool, h Host, caps ...string) (int, error) {
		p, err := seccompProfile(security{seccomp: option}, privileged, caps, h)
		if p == nil {
			return 0, err
		}
		return len(p.Syscalls), err
	}
	plain, err := get("", false, host, "CAP_CHOWN")
	if err != nil || plain == 0 {
		t.Fatalf("default profile: %d, %v", plain, err)
	}
	if again, _ := get("builtin", false, host, "CAP_CHOWN"); again != plain {
		t.Errorf("builtin: %d rules, default %d", again, plain)
	}
	mount := func(caps ...string) bool {
		p, _ := seccompProfile(security{}, false, caps, host)
		return slices.ContainsFunc(p.Syscalls, func(s specs.LinuxSyscall) bool {
			return s.Action == specs.ActAllow && slices.Contains(s.Names, "mount")
		})
	}
	if mount("CAP_CHOWN") || !mount("CAP_SYS_ADMIN") {
		t.Error("mount(2) is for CAP_SYS_ADMIN")
	}
	// The cache must not have mixed up the two sets.
	if again, _ := get("", false, host, "CAP_CHOWN"); again != plain {
		t.Errorf("%d rules the second time, %d the first", again, plain)
	}
	for name, c := range map[string]struct {
		option     string
		privileged bool
		host       Host
		want       int
	}{
		"unconfined": {"unconfined", false, host, 0}, "privileged": {"", true, host, 0},
		"privileged, custom": {custom, true, host, 1}, "custom": {custom, false, host, 1}, "no kernel support": {"", false, Host{}, 0},
	} {
		if got, err := get(c.option, c.privileged, c.host); got != c.want || err != nil {
			t.Errorf("%s: %d rules, %v; want %d", name, got, err, c.want)
		}
	}
	if _, err := get(custom, false, Host{}); err == nil || !strings.Contains(err.Error(), "seccomp is not enabled in your kernel") {
		t.Errorf("custom without support: %v", err)
	}
	if err := validateSeccomp(security{seccomp: "/path/on/the/client.json"}); !errdefs.IsInvalidArgument(err) {
		t.Errorf("a path: %v", err)
	}
}

func TestAppArmor(t *testing.T) {
	host := Host{AppArmor: true, AppArmorProfile: "docker-default"}
	for _, c := range []struct {
		option     string
		privileged bool
		host       Host
		want       string
	}{
		{"", false, host, "docker-default"}, {"own", false, host, "own"}, {"", true, host, "unconfined"},
		{"own", true, host, "own"}, {"own", false, Host{}, ""}, {"", false, Host{}, ""},
	} {
		if got := appArmorProfile(security{appArmor: c.option}, c.privileged, c.host); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}
