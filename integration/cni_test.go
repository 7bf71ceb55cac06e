package integration

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestMacvlan puts containers on the wire to another host.
func TestMacvlan(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	other := harness.NewOtherHost(t)
	wire := netOf(other.Address)
	d.Berth("network", "create", "-d", "macvlan", "-o", "parent="+other.Link(), "--subnet", wire+".0/24", "--ip-range", wire+".128/25",
		"--gateway", other.Address, "wire").OK(t)
	t.Cleanup(func() { d.Berth("rm", "-f", "web"); d.Berth("network", "rm", "wire").OK(t) })
	serving(t, d, "web", "--network", "wire")
	web := at(t, d, "wire", "web")
	if web != wire+".128" {
		t.Errorf("address %s", web)
	}
	seesFrom(t, other, "tcp", net.JoinHostPort(web, "7"), other.Address)
	if got := asking(t, d, "tcp", "web:7", "--network", "wire"); got != wire+".129" {
		t.Errorf("a neighbour is seen as %s", got)
	}
	d.Berth("network", "create", "-d", "macvlan", "-o", "parent=nope", "bad").Fails(t, 1, "invalid subinterface vlan name nope, example formatting is eth0.10")
	d.Berth("network", "create", "-d", "macvlan", "-o", "macvlan_mode=x", "bad").Fails(t, 1, "requested macvlan mode 'x' is not valid")
}

func netOf(address string) string { return address[:strings.LastIndexByte(address, '.')] }

// TestConflists runs a container on a network that an operator describes.
func TestConflists(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	d := start(t, harness.Options{Flags: []string{"--cni-conf-dir", dir}})
	for name, content := range map[string]string{"lab.conflist": `{"cniVersion":"1.1.0","name":"lab","plugins":[{"type":"berth-none"}]}`, "broken.conflist": "{"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := d.Berth("network", "ls", "--filter", "type=custom", "--format", "{{.Name}} {{.Driver}}").OK(t); got != "lab berth-none" {
		t.Errorf("networks: %s", got)
	}
	if got := d.Berth("run", "--rm", "--network", "lab", image, "ls", "/sys/class/net").OK(t); got != "lo" {
		t.Errorf("interfaces: %s", got)
	}
	if !strings.Contains(d.Log(), "broken.conflist") {
		t.Error("the broken file is not named")
	}
	d.Berth("network", "rm", "lab").Fails(t, 1, "described by a file of the operator's")
	if err := os.Remove(filepath.Join(dir, "lab.conflist")); err != nil {
		t.Fatal(err)
	}
	d.Berth("run", "--rm", "--network", "lab", image, "true").Fails(t, 125, "network lab not found")
}
