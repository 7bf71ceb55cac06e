package spec

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

func TestMerge(t *testing.T) {
	const image = `{"User":"web","ExposedPorts":{"80":{},"443/udp":{},"9000-9001/tcp":{}},"Env":["PATH=/img","A=img"],"Entrypoint":["/entry"],"Cmd":["serve"],
		"Volumes":{"/data":{}},"WorkingDir":"/srv","Labels":{"a":"img","b":"img"},"StopSignal":"SIGQUIT","Shell":["/bin/ash"],
		"Healthcheck":{"Test":["CMD","ok"],"Interval":1000000000,"Retries":3}}`
	ports := network.PortSet{}
	for _, p := range []string{"80/tcp", "443/udp", "9000/tcp", "9001/tcp"} {
		ports[network.MustParsePort(p)] = struct{}{}
	}
	health := &container.HealthConfig{Test: []string{"CMD", "ok"}, Interval: time.Second, Retries: 3}
	base := func(change func(*container.Config)) container.Config {
		c := container.Config{
			User: "web", ExposedPorts: ports, Env: []string{"PATH=/img", "A=img"}, Entrypoint: []string{"/entry"}, Cmd: []string{"serve"},
			Volumes: map[string]struct{}{"/data": {}}, WorkingDir: "/srv", Labels: map[string]string{"a": "img", "b": "img"},
			StopSignal: "SIGQUIT", Shell: []string{"/bin/ash"}, Healthcheck: health,
		}
		change(&c)
		return c
	}
	for name, c := range map[string]struct{ in, want container.Config }{
		"nothing": {container.Config{}, base(func(*container.Config) {})},
		"command": {container.Config{Cmd: []string{"x"}}, base(func(c *container.Config) { c.Cmd = []string{"x"} })},
		"entrypoint takes the command away": {container.Config{Entrypoint: []string{"/own"}},
			base(func(c *container.Config) { c.Entrypoint, c.Cmd = []string{"/own"}, nil })},
		"entrypoint and command": {container.Config{Entrypoint: []string{"/own"}, Cmd: []string{"x"}},
			base(func(c *container.Config) { c.Entrypoint, c.Cmd = []string{"/own"}, []string{"x"} })},
		"entrypoint reset": {container.Config{Entrypoint: []string{""}, Cmd: []string{"x"}},
			base(func(c *container.Config) { c.Entrypoint, c.Cmd = nil, []string{"x"} })},
		"empty entrypoint": {container.Config{Entrypoint: []string{}}, base(func(c *container.Config) { c.Entrypoint = []string{} })},
		"own values": {container.Config{User: "0", WorkingDir: "/", StopSignal: "TERM", Env: []string{"A=own", "B"}, Labels: map[string]string{"a": "own"}, Shell: []string{"x"}},
			base(func(c *container.Config) {
				c.User, c.WorkingDir, c.StopSignal, c.Shell = "0", "/", "TERM", []string{"x"}
				c.Env, c.Labels = []string{"A=own", "B", "PATH=/img"}, map[string]string{"a": "own", "b": "img"}
			})},
		"part of the healthcheck": {container.Config{Healthcheck: &container.HealthConfig{Interval: time.Minute}},
			base(func(c *container.Config) {
				c.Healthcheck = &container.HealthConfig{Test: health.Test, Interval: time.Minute, Retries: 3}
			})},
		"no healthcheck": {container.Config{Healthcheck: &container.HealthConfig{Test: []string{"NONE"}}},
			base(func(c *container.Config) {
				c.Healthcheck = &container.HealthConfig{Test: []string{"NONE"}, Interval: time.Second, Retries: 3}
			})},
	} {
		t.Run(name, func(t *testing.T) {
			var img dockerspec.DockerOCIImageConfig
			must(t, json.Unmarshal([]byte(image), &img))
			if err := Merge(&c.in, &img); err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(c.in, c.want) {
				t.Errorf("got  %+v\nwant %+v", c.in, c.want)
			}
		})
	}
	if err := Merge(&container.Config{}, nil); !errdefs.IsInvalidArgument(err) || err.Error() != "no command specified" {
		t.Errorf("no command: %v", err)
	}
	bad := &dockerspec.DockerOCIImageConfig{}
	bad.ExposedPorts = map[string]struct{}{"http": {}}
	if err := Merge(&container.Config{Cmd: []string{"x"}}, bad); !errdefs.IsInvalidArgument(err) {
		t.Errorf("bad port: %v", err)
	}
}

// What a client sent and what an image holds must not become one another's.
func TestMergeCopies(t *testing.T) {
	img := &dockerspec.DockerOCIImageConfig{}
	img.Labels, img.Env, img.Cmd = map[string]string{"a": "1"}, []string{"A=1"}, []string{"x"}
	var cfg container.Config
	must(t, Merge(&cfg, img))
	cfg.Labels["b"] = "2"
	cfg.Env[0] = "A=2"
	if len(img.Labels) != 1 || img.Env[0] != "A=1" {
		t.Error("the image was changed")
	}
}
