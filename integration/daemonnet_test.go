package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestDefaultNetwork runs a container on a default network that daemon.json describes,
// and on one that gets its options from there.
func TestDefaultNetwork(t *testing.T) {
	t.Parallel()
	four, six := fmt.Sprintf("10.255.%d", os.Getpid()%256), fmt.Sprintf("fd00:%x::", os.Getpid()%0xffff)
	file := filepath.Join(t.TempDir(), "daemon.json")
	json := `{"ipv6": true, "fixed-cidr": "` + four + `.128/26", "fixed-cidr-v6": "` + six + `/64", "default-gateway-v6": "` + six + `1",
		"default-network-opts": {"bridge": {"com.docker.network.driver.mtu": "1300"}}}`
	if err := os.WriteFile(file, []byte(json), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, harness.Options{Flags: []string{"--config-file", file, "--bip", four + ".1/24"}})
	d.Berth("run", "-d", "--name", "web", image, "sh", "-c", "echo found >/index.html; exec httpd -f -p 80 -h /").OK(t)
	if got := d.Berth("inspect", "-f", "{{with .NetworkSettings.Networks.bridge}}{{.IPAddress}} {{.GlobalIPv6Address}} {{.IPv6Gateway}}{{end}}", "web").OK(t); got != four+".128 "+six+"3 "+six+"1" {
		t.Errorf("addresses %s", got)
	}
	if got := d.Berth("exec", "web", "ip", "-6", "route").OK(t); !strings.Contains(got, "default via "+six+"1 dev eth0") {
		t.Errorf("routes %s", got)
	}
	await(t, "the server", func() bool {
		return d.Berth("run", "--rm", image, "wget", "-qO-", "http://["+six+"3]/").Stdout == "found\n"
	})
	d.Berth("network", "create", "own").OK(t)
	if got := d.Berth("run", "--rm", "--network", "own", image, "cat", "/sys/class/net/eth0/mtu").OK(t); got != "1300" {
		t.Errorf("the MTU is %s", got)
	}
	d.Berth("network", "rm", "own").OK(t)
}
