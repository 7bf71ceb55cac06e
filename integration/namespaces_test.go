package integration

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestJoin has containers share one another's namespaces, and asks for what cannot be.
func TestJoin(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	d.Berth("run", "-d", "--name", "shares", "--hostname", "donor", "--ipc", "shareable", image, "sh", "-c", "echo secret >/dev/shm/x; sleep 1000").OK(t)
	d.Berth("run", "-d", "--name", "private", image, "sleep", "1000").OK(t)
	d.Berth("create", "--name", "stopped", "--ipc", "shareable", image, "true").OK(t)
	d.Berth("run", "-d", "--name", "third", "--ipc", "container:shares", image, "sleep", "1000").OK(t)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, options, command, want string }{
		{"PID", "--pid container:shares", "ps", "sleep 1000"},
		{"IPC", "--ipc container:shares", "cat /dev/shm/x", "secret"},
		{"IPC of one that joined", "--ipc container:third", "cat /dev/shm/x", "secret"},
		{"network", "--network container:shares", "ip -o addr show eth0", "inet "},
		{"hostname of whose network it is", "--network container:shares", "hostname; echo $HOSTNAME", "donor\ndonor"},
		{"hosts of whose network it is", "--network container:shares", "grep -c donor /etc/hosts", "1"},
		{"hostname in the host's network", "--network host", "hostname; echo $HOSTNAME", host + "\n" + host},
		{"own shared memory", "--ipc private", "ls /dev/shm | wc -l", "0"},
		{"no shared memory", "--ipc none", "mount | grep -c ' /dev/shm '", "0"},
		{"user namespace of the host", "--userns host", "readlink /proc/self/ns/user", link(t, "user")},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append([]string{"run", "--rm"}, strings.Fields(c.options)...), image, "sh", "-c", c.command+"; true")
			if got := d.Berth(args...).OK(t); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	before := d.Berth("ps", "-aq").OK(t)
	for _, c := range []struct {
		name, options, message string
	}{
		{"PID of nobody", "--pid container:nobody", "No such container: nobody"},
		{"PID of who does not run", "--pid container:stopped", "failed to join PID namespace: container "},
		{"IPC of nobody", "--ipc container:nobody", "No such container: nobody"},
		{"IPC of who does not run", "--ipc container:stopped", "failed to join IPC namespace: container "},
		{"IPC that is private", "--ipc container:private", ": non-shareable IPC (hint: use IpcMode:shareable for the donor container)"},
		{"network of nobody", "--network container:nobody", "No such container: nobody"},
		{"network of who does not run", "--network container:stopped", "cannot join network namespace of a non running container: container stopped is created"},
		{"one's own network", "--name self --network container:self", "cannot join own network namespace"},
		{"IPC of what is no mode", "--ipc nonsense", "invalid IPC mode: nonsense"},
		{"PID of what is no mode", "--pid nonsense", "--pid: invalid PID mode"},
		{"UTS of what is no mode", "--uts nonsense", "--uts: invalid UTS mode"},
		{"user namespace of what is no mode", "--userns nonsense", "--userns: invalid USER mode"},
		{"cgroup namespace of what is no mode", "--cgroupns nonsense", "--cgroupns: invalid CGROUP mode"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append([]string{"run", "--rm"}, strings.Fields(c.options)...), image, "true")
			d.Berth(args...).Fails(t, 125, c.message)
		})
	}
	if after := d.Berth("ps", "-aq").OK(t); after != before {
		t.Errorf("left: %s", after)
	}
}

// TestDevices maps nodes, links and folders of them, and devices that their vendor
// describes.
func TestDevices(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "vendor.json"), []byte(`{"cdiVersion": "0.6.0", "kind": "vendor.com/thing", "devices": [
		{"name": "one", "containerEdits": {"env": ["THING=one"], "deviceNodes": [{"path": "/dev/thing", "hostPath": "/dev/zero"}]}}
	]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "gpu.json"), []byte(`{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [
		{"name": "all", "containerEdits": {"env": ["GPUS=all"]}}
	]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	links := filepath.Join(dir, "nodes")
	if err := os.Mkdir(links, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/dev/zero", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	d := start(t, harness.Options{Flags: []string{"--cdi-spec-dir", dir}})
	for _, c := range []struct{ name, options, command, want string }{
		{"node", "--device /dev/loop-control:/dev/a:r", "(: </dev/a) && echo read; (: >/dev/a) || echo refused", "read\nrefused"},
		{"link", "--device " + dir + "/link:/dev/b", "stat -c %t,%T /dev/b", "1,5"},
		{"folder", "--device /dev/net:/dev/nets", "ls /dev/nets", "tun"},
		{"rule", "--device-cgroup-rule c:1:5:r", "true", ""},
		{"by its vendor", "--device vendor.com/thing=one", "echo $THING; head -c 3 /dev/thing | wc -c", "one\n3"},
		{"graphics", "--gpus all", "echo $GPUS", "all"},
	} {
		t.Run(c.name, func(t *testing.T) {
			args := append(append([]string{"run", "--rm"}, strings.Fields(c.options)...), image, "sh", "-c", c.command)
			if c.name == "rule" {
				args = []string{"run", "--rm", "--cap-add", "MKNOD", "--device-cgroup-rule", "c 7:* rmw", image, "sh", "-c", "mknod /x c 7 1 && echo made"}
				c.want = "made"
			}
			if got := d.Berth(args...).OK(t); !strings.Contains(got, c.want) {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
	for _, c := range []struct {
		name, options, message string
	}{
		{"no such node", "--device /dev/nothing", `error gathering device information while adding custom device "/dev/nothing": no such file or directory`},
		{"no node", "--device /etc/hostname", `error gathering device information while adding custom device "/etc/hostname": not a device node`},
		{"an empty folder", "--device " + links, "not a device node"},
		{"a pattern is no node", "--device /dev/z*", "no such file or directory"},
		{"unknown to its vendor", "--device vendor.com/thing=two", "CDI device injection failed: unresolvable CDI devices vendor.com/thing=two"},
		{"two of them", "--gpus 2", "2 devices of nvidia.com/gpu are requested, there are 0"},
		{"another vendor's", "--gpus driver=amd", `could not select device driver "amd" with capabilities: [[gpu]]`},
		{"mode", "--device /dev/zero:/dev/a:x", "bad mode specified: x"},
		{"rule", "--device-cgroup-rule nonsense", "invalid device cgroup format"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := d.Berth(append(append([]string{"run", "--rm"}, strings.Fields(c.options)...), image, "true")...)
			// What starts and finds no file has ended with 127, for the client.
			if r.Code != 125 && r.Code != 127 || !strings.Contains(r.Stderr, c.message) {
				t.Errorf("%d: %s", r.Code, r.Stderr)
			}
		})
	}
	if left := d.Berth("ps", "-aq").OK(t); left != "" {
		t.Errorf("left: %s", left)
	}
}
