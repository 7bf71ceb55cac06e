package integration

import (
	"maps"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/integration/harness"
	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/api/plugins"
	"github.com/berth-engine/berth/pkg/api/swarm"
	"github.com/berth-engine/berth/pkg/api/volumes"
	"github.com/berth-engine/berth/pkg/version"
)

// declined are the operations that cannot succeed, with the reason.
func declined() map[string]string {
	all := map[string]string{}
	for _, r := range slices.Concat(plugins.Routes(), swarm.Routes(), volumes.Routes(nil)) {
		if r.Declined != "" {
			all[r.Operation] = r.Declined
		}
	}
	return all
}

// TestContract has every operation that is served done by the real engine, in
// versions between which shapes changed, and held against the schema. One that
// is served and not asked for fails the test.
func TestContract(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{})
	pulled := harness.StartRegistry(t).Push(sample, "team/app:v1")
	for _, spoken := range []string{version.MinAPI, "1.35", "1.41", "1.44", "1.48", version.MaxAPI} {
		t.Run(spoken, func(t *testing.T) {
			c := &talk{t: t, h: d.HTTP(), dial: d.Dial, version: "/v" + spoken, done: map[string]bool{}}
			c.engine(pulled)
			c.complete()
		})
	}
}

// complete probes what was not done: each must be unimplemented or declined.
func (c *talk) complete() {
	c.t.Helper()
	known := declined()
	for _, o := range api.Operations {
		if c.done[o.ID] {
			continue
		}
		resp, err := c.h.Do(c.request(o, "nothing", nil, map[string]any{}))
		if err != nil {
			c.t.Fatal(err)
		}
		resp.Body.Close()
		_, refused := known[o.ID]
		switch s := resp.StatusCode; {
		case refused && s < 400:
			c.t.Errorf("%s is declined (%s) and answered with %d", o.ID, known[o.ID], s)
		case !refused && s != http.StatusNotImplemented:
			c.t.Errorf("%s is served (status %d) and was not exercised", o.ID, s)
		}
	}
}

func (c *talk) system(began time.Time) {
	c.ask("SystemPing", "", nil, nil, 200)
	c.ask("SystemPingHead", "", nil, nil, 200)
	var v struct{ APIVersion, MinAPIVersion string }
	c.into(&v, "SystemVersion", "", nil, nil, 200)
	if v.APIVersion != version.MaxAPI || v.MinAPIVersion != version.MinAPI {
		c.t.Errorf("versions %+v", v)
	}
	var info struct{ Containers, Images int }
	if c.into(&info, "SystemInfo", "", nil, nil, 200); info.Containers != 0 || info.Images == 0 {
		c.t.Errorf("info: %+v", info)
	}
	unix := func(t time.Time) []string {
		return []string{strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)}
	}
	seen := string(c.ask("SystemEvents", "", url.Values{"since": unix(began), "until": unix(time.Now())}, nil, 200))
	for _, want := range []string{`"create"`, `"start"`, `"die"`, `"destroy"`, `"exec_die"`, `"pause"`, `"rename"`, `"pull"`, `"top"`, `"update"`, `"prune"`} {
		if !strings.Contains(seen, want) {
			c.t.Errorf("event %s is not in %s", want, seen)
		}
	}
	c.ask("PluginList", "", nil, nil, 200)
	c.ask("SystemDataUsage", "", nil, nil, 200)
}

func (c *talk) networks() {
	for _, name := range []string{"bridge", "host", "none"} {
		var n struct{ Name, Driver string }
		if c.into(&n, "NetworkInspect", name, nil, nil, 200); n.Name != name {
			c.t.Errorf("network %s is %+v", name, n)
		}
	}
	var networks []struct{ Name string }
	if c.into(&networks, "NetworkList", "", nil, nil, 200); len(networks) != 3 {
		c.t.Errorf("networks: %+v", networks)
	}
	var made struct {
		ID string `json:"Id"`
	}
	c.into(&made, "NetworkCreate", "", nil, map[string]any{"Name": "app", "Labels": map[string]string{"a": "b"}}, 201)
	c.ask("NetworkCreate", "", nil, map[string]any{"Name": "app"}, 409)
	c.ask("NetworkDelete", made.ID, nil, nil, 204)
	c.ask("NetworkDelete", "bridge", nil, nil, 403)
	c.ask("NetworkCreate", "", nil, map[string]any{"Name": "app"}, 201)
	var pruned struct{ NetworksDeleted []string }
	if c.into(&pruned, "NetworkPrune", "", nil, map[string]any{}, 200); len(pruned.NetworksDeleted) != 1 {
		c.t.Errorf("pruned: %+v", pruned)
	}
}

// connected has the running container join a network and leave it.
func (c *talk) connected() {
	c.t.Helper()
	c.ask("NetworkCreate", "", nil, map[string]any{"Name": "joined"}, 201)
	c.ask("NetworkConnect", "joined", nil, map[string]any{"Container": "box", "EndpointConfig": map[string]any{"Aliases": []string{"a"}}}, 200)
	c.ask("NetworkConnect", "joined", nil, map[string]any{"Container": "nothing"}, 404)
	var n struct {
		Containers map[string]struct{ Name, IPv4Address string }
	}
	if c.into(&n, "NetworkInspect", "joined", nil, nil, 200); len(n.Containers) != 1 {
		c.t.Errorf("network with a container: %+v", n)
	}
	c.ask("NetworkDelete", "joined", nil, nil, 403)
	c.ask("NetworkDisconnect", "joined", nil, map[string]any{"Container": "box"}, 200)
	c.ask("NetworkDelete", "joined", nil, nil, 204)
}

func (c *talk) images(pulled string) {
	archive, err := os.Open(sample)
	if err != nil {
		c.t.Fatal(err)
	}
	defer archive.Close()
	if got := string(c.ask("ImageLoad", "", nil, archive, 200)); !strings.Contains(got, "Loaded image: "+image) {
		c.t.Errorf("load says %s", got)
	}
	name, tag := pulled[:strings.LastIndex(pulled, ":")], pulled[strings.LastIndex(pulled, ":")+1:]
	if got := string(c.ask("ImageCreate", "", url.Values{"fromImage": {name}, "tag": {tag}}, nil, 200)); !strings.Contains(got, "Status: ") {
		c.t.Errorf("pull says %s", got)
	}
	var list []struct{ RepoTags []string }
	if c.into(&list, "ImageList", "", url.Values{"all": {"1"}}, nil, 200); len(list) == 0 {
		c.t.Error("no images")
	}
	var one struct {
		ID           string `json:"Id"`
		Architecture string
	}
	if c.into(&one, "ImageInspect", image, nil, nil, 200); one.ID == "" || one.Architecture == "" {
		c.t.Errorf("image: %+v", one)
	}
	var history []struct{ CreatedBy string }
	if c.into(&history, "ImageHistory", image, nil, nil, 200); len(history) == 0 {
		c.t.Error("no history")
	}
	c.imageMoves(pulled, one.ID)
	c.ask("ImageTag", image, url.Values{"repo": {"tagged"}, "tag": {"x"}}, nil, 201)
	c.ask("ImageDelete", "tagged:x", nil, nil, 200)
	c.ask("ImageDelete", pulled, nil, nil, 200)
}

func (c *talk) volumes() {
	var v struct{ Name, Mountpoint string }
	c.into(&v, "VolumeCreate", "", nil, map[string]any{"Name": "data", "Labels": map[string]string{"a": "b"}}, 201)
	if c.into(&v, "VolumeInspect", "data", nil, nil, 200); v.Name != "data" || v.Mountpoint == "" {
		c.t.Errorf("volume: %+v", v)
	}
	var list struct{ Volumes []struct{ Name string } }
	if c.into(&list, "VolumeList", "", nil, nil, 200); len(list.Volumes) != 1 {
		c.t.Errorf("volumes: %+v", list)
	}
	c.ask("VolumeDelete", "data", nil, nil, 204)
	c.ask("VolumeCreate", "", nil, map[string]any{}, 201)
	var pruned struct{ VolumesDeleted []string }
	if c.into(&pruned, "VolumePrune", "", nil, map[string]any{}, 200); len(pruned.VolumesDeleted) != 1 {
		c.t.Errorf("pruned: %+v", pruned)
	}
}

// container takes one through its life.
func (c *talk) container() {
	var made struct{ ID string }
	c.into(&made, "ContainerCreate", "", url.Values{"name": {"box"}}, map[string]any{
		"Image": image, "Cmd": []string{"sh"}, "Tty": true, "OpenStdin": true, "AttachStdin": true, "AttachStdout": true,
		"ExposedPorts": map[string]any{"80/tcp": map[string]any{}}, "Volumes": map[string]any{"/data": map[string]any{}},
		"HostConfig": map[string]any{"PortBindings": map[string]any{"80/tcp": []any{map[string]string{"HostIp": "127.0.0.1"}}}},
	}, 201)
	terminal := c.upgrade("ContainerAttach", "box", url.Values{"stream": {"1"}, "stdin": {"1"}, "stdout": {"1"}}, nil)
	c.ask("ContainerStart", "box", nil, nil, 204)
	terminal.says("echo $((40+2))\n", "42\r\n")
	size := url.Values{"w": {"101"}, "h": {"31"}}
	c.ask("ContainerResize", "box", size, nil, 200)
	terminal.says("until [ \"$(stty size)\" = '31 101' ]; do sleep 0.01; done; echo re''sized\n", "resized\r\n")
	browser := c.webSocket("ContainerAttachWebsocket", "box", url.Values{"stream": {"1"}, "stdin": {"1"}, "stdout": {"1"}})
	browser.says("echo $((40+3))\n", "43\r\n")
	var one struct {
		ID    string
		State struct {
			Status   string
			Running  bool
			ExitCode int
		}
	}
	state := func(want string) {
		c.t.Helper()
		if c.into(&one, "ContainerInspect", "box", url.Values{"size": {"1"}}, nil, 200); one.ID != made.ID || one.State.Status != want {
			c.t.Errorf("the container is %+v, want %s", one, want)
		}
	}
	state("running")
	var list []struct{ ID string }
	if c.into(&list, "ContainerList", "", url.Values{"all": {"1"}, "size": {"1"}}, nil, 200); len(list) != 1 || list[0].ID != made.ID {
		c.t.Errorf("containers: %+v", list)
	}
	c.watched()
	c.files()
	c.connected()
	c.ask("ContainerPause", "box", nil, nil, 204)
	state("paused")
	c.ask("ContainerUnpause", "box", nil, nil, 204)
	if log := string(c.ask("ContainerLogs", "box", url.Values{"stdout": {"1"}}, nil, 200)); !strings.Contains(log, "42\r\n") {
		c.t.Errorf("log: %q", log)
	}
	c.ask("ContainerRename", "box", url.Values{"name": {"other"}}, nil, 204)
	c.ask("ContainerRename", "other", url.Values{"name": {"box"}}, nil, 204)
	c.ask("ContainerRestart", "box", url.Values{"t": {"0"}}, nil, 204)
	c.ask("ContainerKill", "box", url.Values{"signal": {"KILL"}}, nil, 204)
	var end struct{ StatusCode int }
	if c.into(&end, "ContainerWait", "box", nil, nil, 200); end.StatusCode != 137 {
		c.t.Errorf("wait says %+v", end)
	}
	state("exited")
	c.ask("ContainerStart", "box", nil, nil, 204)
	c.ask("ContainerStop", "box", url.Values{"t": {"0"}}, nil, 204)
	c.ask("ContainerDelete", "box", url.Values{"v": {"1"}}, nil, 204)
	c.ask("ContainerInspect", "box", nil, nil, 404)
}

// watched looks at what the container does and uses, and changes what it may use.
func (c *talk) watched() {
	var top struct{ Titles []string }
	if c.into(&top, "ContainerTop", "box", url.Values{"ps_args": {"-o pid,comm"}}, nil, 200); len(top.Titles) != 2 {
		c.t.Errorf("top: %+v", top)
	}
	var sample struct {
		Name     string
		CPUStats struct {
			CPUUsage struct {
				Total uint64 `json:"total_usage"`
			} `json:"cpu_usage"`
		} `json:"cpu_stats"`
	}
	c.into(&sample, "ContainerStats", "box", url.Values{"stream": {"0"}, "one-shot": {"1"}}, nil, 200)
	if sample.Name != "/box" || sample.CPUStats.CPUUsage.Total == 0 {
		c.t.Errorf("stats: %+v", sample)
	}
	c.ask("ContainerUpdate", "box", nil, map[string]any{"PidsLimit": 100, "RestartPolicy": map[string]any{"Name": "no"}}, 200)
	c.ask("ContainerUpdate", "box", nil, map[string]any{"Memory": 1}, 400)
	var pruned struct{ ContainersDeleted []string }
	if c.into(&pruned, "ContainerPrune", "", nil, map[string]any{}, 200); len(pruned.ContainersDeleted) != 0 {
		c.t.Errorf("pruned: %+v", pruned)
	}
}

// process runs more of them in a container that has no terminal itself.
func (c *talk) process() {
	c.ask("ContainerCreate", "", url.Values{"name": {"host"}}, map[string]any{"Image": image, "Cmd": []string{"sh", "-c", "echo out; echo err >&2; exec sleep 1000"}}, 201)
	c.ask("ContainerStart", "host", nil, nil, 204)
	var exec struct{ ID string }
	c.into(&exec, "ContainerExec", "host", nil, map[string]any{"Cmd": []string{"sh"}, "Tty": true, "AttachStdin": true, "AttachStdout": true, "AttachStderr": true}, 201)
	terminal := c.upgrade("ExecStart", exec.ID, nil, map[string]any{"Tty": true})
	terminal.says("echo $((1+1))\n", "2\r\n")
	c.ask("ExecResize", exec.ID, url.Values{"w": {"90"}, "h": {"20"}}, nil, 200)
	terminal.says("until [ \"$(stty size)\" = '20 90' ]; do sleep 0.01; done; echo re''sized\n", "resized\r\n")
	var state struct {
		Running  bool
		ExitCode *int
	}
	if c.into(&state, "ExecInspect", exec.ID, nil, nil, 200); !state.Running || state.ExitCode != nil {
		c.t.Errorf("exec: %+v", state)
	}
	terminal.end("exit 3\n")
	if c.into(&state, "ExecInspect", exec.ID, nil, nil, 200); state.Running || state.ExitCode == nil || *state.ExitCode != 3 {
		c.t.Errorf("exec: %+v", state)
	}
	c.into(&exec, "ContainerExec", "host", nil, map[string]any{"Cmd": []string{"true"}}, 201)
	c.ask("ExecStart", exec.ID, nil, map[string]any{"Detach": true}, 200)
	// Both streams, each in frames of its own.
	frames := map[byte]string{}
	await(c.t, "both streams are in the log", func() bool {
		log := c.ask("ContainerLogs", "host", url.Values{"stdout": {"1"}, "stderr": {"1"}}, nil, 200)
		clear(frames)
		for len(log) >= 8 {
			n := 8 + int(log[7])
			frames[log[0]] += string(log[8:n])
			log = log[n:]
		}
		return len(frames) == 2
	})
	if want := map[byte]string{1: "out\n", 2: "err\n"}; !maps.Equal(frames, want) {
		c.t.Errorf("frames %q, want %q", frames, want)
	}
	c.ask("ContainerDelete", "host", url.Values{"force": {"1"}}, nil, 204)
}
