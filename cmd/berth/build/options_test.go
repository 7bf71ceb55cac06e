package build

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/docker/cli/opts"
	bkclient "github.com/moby/buildkit/client"
	"github.com/spf13/pflag"
	"github.com/tonistiigi/fsutil"
)

// parse reads flags as the command does.
func parse(t *testing.T, args ...string) *options {
	t.Helper()
	o := &options{ulimits: opts.NewUlimitOpt(nil)}
	f := pflag.NewFlagSet("build", pflag.ContinueOnError)
	inputFlags(f, o)
	stepFlags(f, o)
	resultFlags(f, o)
	ignoredFlags(f)
	if err := f.Parse(args); err != nil {
		t.Fatal(err)
	}
	o.context = f.Arg(0)
	return o
}

func environment(name string) (string, bool) {
	v, ok := map[string]string{"SET": "env"}[name]
	return v, ok
}

func TestAttributes(t *testing.T) {
	gateway := func() (string, error) { return "10.0.0.1", nil }
	for _, c := range []struct {
		flags string
		want  map[string]string // besides the defaults
		err   string
	}{
		{flags: ""},
		{flags: "--build-arg A=b --build-arg SET --build-arg UNSET --build-arg E=", want: map[string]string{"build-arg:A": "b", "build-arg:SET": "env", "build-arg:E": ""}},
		{flags: "--label a=b=c --label d", want: map[string]string{"label:a": "b=c", "label:d": ""}},
		{flags: "--label =b", err: "empty name"},
		{flags: "--target x --platform linux/amd64 --platform linux/arm64", want: map[string]string{"target": "x", "platform": "linux/amd64,linux/arm64"}},
		{flags: "--add-host a:1.2.3.4 --add-host b=[::1] --add-host g:host-gateway", want: map[string]string{"add-hosts": "a=1.2.3.4,b=::1,g=10.0.0.1"}},
		{flags: "--add-host a:b", err: "invalid host a:b"},
		{flags: "--add-host a", err: "invalid host a"},
		{flags: "--network host", want: map[string]string{"force-network-mode": "host"}},
		{flags: "--network none", want: map[string]string{"force-network-mode": "none"}},
		{flags: "--network mine", err: `network mode "mine" not supported by BuildKit`},
		{flags: "--shm-size 1m --ulimit nofile=5:6 --cgroup-parent /x", want: map[string]string{"shm-size": "1048576", "ulimit": "nofile=5:6", "cgroup-parent": "/x"}},
		{flags: "-m 8m --memory-swap -1 -c 5 --cpuset-cpus 0-1", want: map[string]string{"memory": "8388608", "memswap": "-1", "cpushares": "5", "cpusetcpus": "0-1"}},
		{flags: "--pull --no-cache", want: map[string]string{"image-resolve-mode": "pull", "no-cache": ""}},
		{flags: "--no-cache-filter a --no-cache-filter b", want: map[string]string{"no-cache": "a,b"}},
		{flags: "--no-cache --no-cache-filter a", err: "cannot currently be used together"},
		{flags: "--provenance false", want: map[string]string{"attest:provenance": "-"}},
		{flags: "--provenance mode=max --sbom true", want: map[string]string{"attest:provenance": "mode=max", "attest:sbom": ""}},
		{flags: "--attest type=sbom,generator=x", want: map[string]string{"attest:sbom": "generator=x"}},
		{flags: "--attest mode=max", err: "attestation type not specified"},
		{flags: "--attest type=sbom --sbom true", err: "duplicate attestation field sbom"},
		{flags: "--sbom maybe", err: "invalid value"},
	} {
		got, err := parse(t, strings.Fields(c.flags)...).attrs(environment, gateway)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %s", c.flags, err, c.err)
			}
			continue
		}
		want := map[string]string{"image-resolve-mode": "local", "attest:provenance": "mode=min,inline-only=true"}
		maps.Copy(want, c.want)
		maps.DeleteFunc(want, func(_, v string) bool { return v == "-" })
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v, want %v", c.flags, got, err, want)
		}
	}
}

func TestExports(t *testing.T) {
	for _, c := range []struct {
		flags string
		want  []export
		err   string
	}{
		{flags: "-t a -t b:c", want: []export{{"moby", "", map[string]string{"name": "a,b:c"}}}},
		{flags: "-t A!", err: "invalid tag"},
		{flags: "-o out", want: []export{{"local", "out", map[string]string{}}}},
		{flags: "-o -", want: []export{{"tar", "-", map[string]string{}}}},
		{flags: "-o type=docker,dest=x.tar -t a", want: []export{{"docker", "x.tar", map[string]string{"name": "a"}}}},
		{flags: "-o type=docker", want: []export{{"moby", "", map[string]string{}}}},
		{flags: "-o type=image,compression=zstd --load", want: []export{{"moby", "", map[string]string{"compression": "zstd"}}, {"moby", "", map[string]string{}}}},
		{flags: "--push -t r/a", want: []export{{"moby", "", map[string]string{"push": "true", "name": "r/a"}}}},
		{flags: "--push", err: "tag is needed when pushing"},
		{flags: "-o dest=x,y=z", err: "type is required"},
		{flags: "-o type=local,x", err: "invalid value x"},
		{flags: "--annotation a=b --annotation index,manifest[linux/amd64]:c=d", want: []export{{"moby", "", map[string]string{
			"annotation-manifest.a": "b", "annotation-index.c": "d", "annotation-manifest[linux/amd64].c": "d"}}}},
		{flags: "--annotation a", err: "expected key=value"},
		{flags: "--annotation x:a=b", err: "unknown level"},
	} {
		got, err := parse(t, strings.Fields(c.flags)...).exports()
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %s", c.flags, err, c.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%q: %v, %v, want %v", c.flags, got, err, c.want)
		}
	}
}

func TestCacheEntries(t *testing.T) {
	got, err := cacheEntries([]string{"a/b:c,d", "type=local,src=x", "type=inline", ""})
	want := []bkclient.CacheOptionsEntry{
		{Type: "registry", Attrs: map[string]string{"ref": "a/b:c"}}, {Type: "registry", Attrs: map[string]string{"ref": "d"}},
		{Type: "local", Attrs: map[string]string{"src": "x"}}, {Type: "inline", Attrs: map[string]string{}},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	for _, bad := range []string{"src=x", "type=local,x", `"`} {
		if got, err := cacheEntries([]string{bad}); err == nil {
			t.Errorf("%q is taken for %v", bad, got)
		}
	}
}

func TestInput(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("full/Dockerfile", "FROM scratch")
	write("lower/dockerfile", "FROM scratch")
	other := write("other/Some.file", "FROM scratch")
	full, lower := filepath.Join(dir, "full"), filepath.Join(dir, "lower")
	for _, c := range []struct {
		flags  []string
		stdin  string
		attrs  map[string]string
		mounts []string
		err    string
	}{
		{flags: []string{full}, attrs: map[string]string{"filename": "Dockerfile"}, mounts: []string{"context", "dockerfile"}},
		{flags: []string{lower}, attrs: map[string]string{"filename": "dockerfile"}, mounts: []string{"context", "dockerfile"}},
		{flags: []string{"-f", other, full}, attrs: map[string]string{"filename": "Some.file"}, mounts: []string{"context", "dockerfile"}},
		{flags: []string{"-f", "-", full}, stdin: "FROM scratch", attrs: map[string]string{"filename": "Dockerfile", "dockerfilekey": "dockerfile"}, mounts: []string{"context", "dockerfile"}},
		{flags: []string{"-"}, stdin: "FROM scratch", attrs: map[string]string{"filename": "Dockerfile", "dockerfilekey": "dockerfile"}, mounts: []string{"context", "dockerfile"}},
		{flags: []string{"-f", "x", "https://example.com/r.git"}, attrs: map[string]string{"filename": "x", "context": "https://example.com/r.git"}},
		{flags: []string{"--build-context", "a=" + lower, "--build-context", "b=docker-image://x", full}, mounts: []string{"context", "dockerfile", "a"},
			attrs: map[string]string{"filename": "Dockerfile", "context:a": "local:a", "context:b": "docker-image://x"}},
		{flags: []string{"-"}, err: "nothing came from the standard input"},
		{flags: []string{"-"}, stdin: strings.Repeat("#", maxDockerfile+1), err: "larger than"},
		{flags: []string{"-f", "x", "-"}, stdin: "FROM scratch", err: "ambiguous Dockerfile source"},
		{flags: []string{"-f", "-", "-"}, err: "can't use stdin for both"},
		{flags: []string{filepath.Join(dir, "none")}, err: "not found"},
		{flags: []string{"-f", filepath.Join(dir, "none"), full}, err: "failed to read dockerfile"},
		{flags: []string{"--build-context", "a", full}, err: "expected key=value"},
		{flags: []string{"--build-context", "a=/none/there", full}, err: "no such directory"},
	} {
		in := &input{stdin: strings.NewReader(c.stdin), solve: &bkclient.SolveOpt{
			FrontendAttrs: map[string]string{}, LocalMounts: map[string]fsutil.FS{}, OCIStores: map[string]content.Store{}}}
		err := in.load(parse(t, c.flags...))
		if cerr := in.close(); cerr != nil {
			t.Error(cerr)
		}
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%q: error %v, want %s", c.flags, err, c.err)
			}
			continue
		}
		if err != nil || !maps.Equal(in.solve.FrontendAttrs, c.attrs) {
			t.Errorf("%q: %v, %v, want %v", c.flags, in.solve.FrontendAttrs, err, c.attrs)
		}
		for _, m := range c.mounts {
			if in.solve.LocalMounts[m] == nil {
				t.Errorf("%q: no mount %s", c.flags, m)
			}
		}
		if len(in.solve.LocalMounts) != len(c.mounts) {
			t.Errorf("%q: mounts %v, want %v", c.flags, in.solve.LocalMounts, c.mounts)
		}
	}
}
