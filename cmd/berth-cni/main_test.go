package main

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/net/bridge"
	"github.com/berth-engine/berth/pkg/net/cni"
	"github.com/berth-engine/berth/pkg/net/nettest"
	"github.com/containernetworking/cni/libcni"
	current "github.com/containernetworking/cni/pkg/types/100"
)

// The test binary is also the plugin: libcni runs it with a command.
func TestMain(m *testing.M) {
	if os.Getenv("CNI_COMMAND") != "" {
		main()
		return
	}
	nettest.Main(m)
}

func conflist(t *testing.T, version, dir string) *libcni.NetworkConfigList {
	t.Helper()
	list, err := libcni.NetworkConfFromBytes([]byte(`{"cniVersion":"` + version + `","name":"test","plugins":[
		{"type":"berth-bridge","bridge":"cni-test0","ipam":{"type":"berth-ipam","dataDir":"` + dir + `/leases",
			"subnets":[{"subnet":"10.55.0.0/24","gateway":"10.55.0.1"}]}},
		{"type":"berth-firewall","bridge":"cni-test0","subnets":["10.55.0.0/24"],"masquerade":true,"icc":true},
		{"type":"berth-ports","capabilities":{"portMappings":true}}]}`))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// Through libcni as any runtime has it: each plugin a process of its own.
func TestPlugins(t *testing.T) {
	for _, version := range []string{"1.1.0", "1.0.0", "0.4.0"} {
		t.Run(version, func(t *testing.T) { plugins(t, version) })
	}
}

func plugins(t *testing.T, version string) {
	ctx := context.Background()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, typ := range cni.Types() {
		if err := os.Symlink(self, filepath.Join(dir, typ)); err != nil {
			t.Fatal(err)
		}
	}
	c := libcni.NewCNIConfigWithCacheDir([]string{dir}, filepath.Join(dir, "cache"), nil)
	list := conflist(t, version, dir)
	defer func() {
		if err := bridge.DeleteLink("cni-test0"); err != nil {
			t.Error(err)
		}
		_ = exec.Command("nft", "flush", "ruleset").Run() // of the test's own namespace
	}()
	if _, err := c.ValidateNetworkList(ctx, list); err != nil {
		t.Fatal("validate:", err)
	}
	if err := c.GetStatusNetworkList(ctx, list); err != nil {
		t.Fatal("status:", err)
	}
	add := func(id string, port int) *libcni.RuntimeConf {
		t.Helper()
		rt := &libcni.RuntimeConf{ContainerID: id, NetNS: filepath.Join(dir, id), IfName: "eth0",
			CapabilityArgs: map[string]any{"portMappings": []map[string]any{{"hostPort": port, "containerPort": 80, "protocol": "tcp"}}}}
		if err := bridge.CreateNetNS(rt.NetNS); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = bridge.DeleteNetNS(rt.NetNS) })
		r, err := c.AddNetworkList(ctx, list, rt)
		if err != nil {
			t.Fatal("add:", err)
		}
		result, err := current.NewResultFromResult(r)
		if err != nil || len(result.IPs) != 1 || len(result.Interfaces) != 3 || result.Interfaces[2].Sandbox != rt.NetNS {
			t.Fatalf("result %s, %v", toJSON(t, r), err)
		}
		return rt
	}
	one, two := add("one", 8080), add("two", 8081)
	for _, rt := range []*libcni.RuntimeConf{one, two} {
		if err := c.CheckNetworkList(ctx, list, rt); err != nil {
			t.Error("check:", err)
		}
	}
	if got := published(t); !strings.Contains(got, "10.55.0.2 . 80") || !strings.Contains(got, "10.55.0.3 . 80") {
		t.Errorf("published: %s", got)
	}
	for range 2 { // the second time there is nothing
		if err := c.DelNetworkList(ctx, list, one); err != nil {
			t.Error("del:", err)
		}
	}
	if err := c.CheckNetworkList(ctx, list, one); err == nil {
		t.Error("check finds what was deleted")
	}
	if got := published(t); strings.Contains(got, "10.55.0.2 . 80") || !strings.Contains(got, "10.55.0.3 . 80") {
		t.Errorf("published: %s", got)
	}
	// The runtime lost its notes; GC cleans up what has no owner.
	if err := os.RemoveAll(filepath.Join(dir, "cache")); err != nil {
		t.Fatal(err)
	}
	gc := c.GCNetworkList
	if version != "1.1.0" { // before GC there is DEL, without a previous result
		gc = func(ctx context.Context, l *libcni.NetworkConfigList, _ *libcni.GCArgs) error {
			return c.DelNetworkList(ctx, l, two)
		}
	}
	if err := gc(ctx, list, &libcni.GCArgs{}); err != nil {
		t.Error("gc:", err)
	}
	leases, _ := os.ReadDir(filepath.Join(dir, "leases"))
	ends, err := bridge.Endpoints("cni-test0")
	if got := published(t); strings.Contains(got, "elements") || len(leases) > 0 || len(ends) > 0 || err != nil {
		t.Errorf("left: %s %v %v %v", got, leases, ends, err)
	}
}

func published(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("nft", "list", "map", "inet", "berth-cni", "ports4").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	return string(out)
}

func toJSON(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Called by another name, the configuration chooses; errors are CNI's JSON.
func TestByType(t *testing.T) {
	for _, tt := range []struct{ name, command, conf, want string }{
		{"version", "VERSION", `{"cniVersion":"1.1.0"}`, `"supportedVersions":["0.4.0","1.0.0","1.1.0"]`},
		{"by type", "STATUS", `{"cniVersion":"1.1.0","name":"x","type":"berth-none"}`, ""},
		{"its own check", "STATUS", `{"cniVersion":"1.1.0","name":"x","type":"berth-firewall"}`, `"msg":"berth-firewall needs bridge"`},
		{"unknown type", "STATUS", `{"cniVersion":"1.1.0","name":"x","type":"macvlan"}`, `no CNI plugin is called \"macvlan\"`},
		{"no JSON", "STATUS", `{`, `"code":6`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe")
			cmd.Env = append(os.Environ(), "CNI_COMMAND="+tt.command, "CNI_PATH=/nowhere")
			cmd.Stdin = strings.NewReader(tt.conf)
			out, err := cmd.Output()
			got := strings.Join(strings.Fields(string(out)), "")
			if want := strings.ReplaceAll(tt.want, " ", ""); !strings.Contains(got, want) || (err == nil) != (tt.want == "" || tt.command == "VERSION") {
				t.Errorf("got %s, %v", out, err)
			}
		})
	}
}
