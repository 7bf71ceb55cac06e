package classic

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/session/auth"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/registry"
)

func TestAttributes(t *testing.T) {
	b, e := "b", ""
	for _, c := range []struct {
		name  string
		r     Request
		want  map[string]string // besides image-resolve-mode=local
		allow []string
		err   string
	}{
		{name: "nothing"},
		{name: "arguments", r: Request{BuildArgs: map[string]*string{"A": &b, "E": &e, "N": nil}}, want: map[string]string{"build-arg:A": "b", "build-arg:E": ""}},
		{name: "limits", r: Request{Limits: Limits{Memory: 1, MemorySwap: -1, CPUShares: 2, CPUPeriod: 3, CPUQuota: 4, CPUs: "0", Mems: "1"}, ShmSize: 5},
			want: map[string]string{"memory": "1", "memswap": "-1", "cpushares": "2", "cpuperiod": "3", "cpuquota": "4", "cpusetcpus": "0", "cpusetmems": "1", "shm-size": "5"}},
		{name: "ulimits", r: Request{Ulimits: []*container.Ulimit{{Name: "a", Soft: 1, Hard: 2}, nil, {Name: "b", Soft: 3, Hard: 4}}}, want: map[string]string{"ulimit": "a=1:2,b=3:4"}},
		{name: "hosts", r: Request{ExtraHosts: []string{"a:1.2.3.4", "b:::1", "g:host-gateway"}}, want: map[string]string{"add-hosts": "a=1.2.3.4,b=::1,g=10.0.0.1"}},
		{name: "host without address", r: Request{ExtraHosts: []string{"a"}}, err: `invalid extra host "a"`},
		{name: "host's network", r: Request{Network: "host"}, want: map[string]string{"force-network-mode": "host"}, allow: []string{"network.host"}},
		{name: "no network", r: Request{Network: "none"}, want: map[string]string{"force-network-mode": "none"}},
		{name: "default network", r: Request{Network: "default"}},
		{name: "another network", r: Request{Network: "mine"}, err: `network mode "mine" not supported by buildkit`},
		{name: "platforms", r: Request{Platform: "linux/amd64,linux/arm64/v8"}, want: map[string]string{"platform": "linux/amd64,linux/arm64/v8"}},
		{name: "no platform", r: Request{Platform: "a/b/c/d/e"}, err: `invalid platform "a/b/c/d/e"`},
		{name: "no CPUs", r: Request{Limits: Limits{CPUs: "x"}}, err: `Invalid value x for cpuset cpus: invalid cpuset element "x"`},
		{name: "no memory nodes", r: Request{Limits: Limits{Mems: "-1"}}, err: "for cpuset mems"},
		{name: "no name", r: Request{Dockerfile: strings.Repeat("a", 300)}, err: "is too long"},
		{name: "archive elsewhere", r: Request{Remote: "http://x/y"}, want: map[string]string{"context": "http://x/y"}},
		{name: "repository", r: Request{Remote: "git://x/y.git#main:sub"}, want: map[string]string{"context": "git://x/y.git#main:sub"}},
		{name: "repository by ssh", r: Request{Remote: "git@x:y.git"}, want: map[string]string{"context": "git@x:y.git"}},
		{name: "repository of GitHub", r: Request{Remote: "github.com/x/y"}, want: map[string]string{"context": "github.com/x/y"}},
		{name: "nowhere", r: Request{Remote: "nope://x"}, err: "remoteURL (nope://x) could not be recognized as URL"},
		{name: "a folder", r: Request{Remote: "../x"}, err: "remoteURL (../x) could not be recognized as URL"},
		{name: "cache", r: Request{Pull: true, NoCache: true}, want: map[string]string{"image-resolve-mode": "pull", "no-cache": ""}},
	} {
		got, allow, err := c.r.attrs("10.0.0.1")
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%s: %v, want %s", c.name, err, c.err)
			}
			continue
		}
		want := map[string]string{"image-resolve-mode": "local"}
		maps.Copy(want, c.want)
		if err != nil || !maps.Equal(got, want) || !slices.Equal(allow, c.allow) {
			t.Errorf("%s: %v, allowed %v, %v, want %v", c.name, got, allow, err, want)
		}
	}
}

func TestCredentials(t *testing.T) {
	c := credentials{auth: map[string]registry.AuthConfig{
		hub:            {Username: "hub", Password: "1"},
		"r:5000":       {Username: "u", Password: "2"},
		"https://tls":  {Auth: "dTpw"}, // u:p
		"token.io":     {Username: "ignored", IdentityToken: "t"},
		"bad.encoding": {Auth: "?"},
	}}
	for host, want := range map[string][2]string{
		"registry-1.docker.io": {"hub", "1"}, "r:5000": {"u", "2"}, "tls": {"u", "p"}, "token.io": {"", "t"}, "bad.encoding": {}, "other": {},
	} {
		got, err := c.Credentials(context.Background(), &auth.CredentialsRequest{Host: host})
		if err != nil || got.Username != want[0] || got.Secret != want[1] {
			t.Errorf("%s: %v, %v, want %v", host, got, err, want)
		}
	}
}
