package clients

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestSSH reaches the daemon through a real sshd, by DOCKER_HOST and by a context. On the
// far side the command is docker, as the client calls it there.
func TestSSH(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	host := newSSHHost(t, d)
	for name, client := range harness.Dockers() {
		t.Run(name, func(t *testing.T) {
			do := func(stdin string, env []string, args ...string) string {
				t.Helper()
				ctx, cancel := context.WithTimeout(context.Background(), harness.Patience)
				defer cancel()
				cmd := d.Command(ctx, client, args...)
				// Debian's client takes an empty DOCKER_HOST for a host.
				cmd.Env = slices.DeleteFunc(cmd.Env, func(s string) bool { return strings.HasPrefix(s, "DOCKER_HOST=") })
				cmd.Env = append(append(cmd.Env, "PATH="+host.path+":"+os.Getenv("PATH"), "DOCKER_CONFIG="+filepath.Join(d.Root, "ssh", name)), env...)
				cmd.Stdin = strings.NewReader(stdin)
				return d.Done(cmd).OK(t)
			}
			byHost := []string{"DOCKER_HOST=" + host.url}
			var byContext []string
			if got := do("", byHost, "run", "--rm", image, "echo", "far", "away"); got != "far away" {
				t.Errorf("run: %q", got)
			}
			if got := do("both ways\n", byHost, "run", "--rm", "-i", image, "cat"); got != "both ways" {
				t.Errorf("run -i: %q", got)
			}
			do("", byContext, "context", "create", "far", "--docker", "host="+host.url)
			do("", byContext, "context", "use", "far")
			id := do("", byContext, "run", "-d", "--init", image, "sh", "-c", "echo begun; exec sleep 600")
			if got := do("in\n", byContext, "exec", "-i", id, "sh", "-c", "cat; hostname"); got != "in\n"+id[:12] {
				t.Errorf("exec: %q", got)
			}
			if got := d.Berth("ps", "-q", "--no-trunc").OK(t); got != id {
				t.Errorf("the daemon runs %s, want %s", got, id)
			}
			do("", byContext, "rm", "-f", id)
			if got := do("", []string{"DOCKER_CONTEXT=default"}, "context", "ls", "-q"); got != "default\nfar" {
				t.Errorf("contexts %q", got)
			}
		})
	}
}

// sshHost is this machine behind an sshd of its own.
type sshHost struct {
	url  string
	path string // where ssh is that knows the key
}

func newSSHHost(t *testing.T, d *harness.Daemon) sshHost {
	t.Helper()
	dir := t.TempDir()
	file := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	key := func(name string) (path, public string) {
		t.Helper()
		path = filepath.Join(dir, name)
		if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path).CombinedOutput(); err != nil {
			t.Fatalf("ssh-keygen (hack/deps test): %v: %s", err, out)
		}
		b, err := os.ReadFile(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		return path, string(b)
	}
	hostKey, hostPublic := key("host")
	userKey, userPublic := key("user")
	// Debian's sshd wants the folder that its service makes.
	if err := os.Mkdir("/run/sshd", 0o755); err == nil {
		t.Cleanup(func() {
			if err := os.Remove("/run/sshd"); err != nil {
				t.Error(err)
			}
		})
	} else if !os.IsExist(err) {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Join(dir, "far"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(harness.BerthCLI(), filepath.Join(dir, "far", "docker")); err != nil {
		t.Fatal(err)
	}
	port := freePort(t)
	config := file("sshd_config", fmt.Sprintf(`ListenAddress 127.0.0.1
Port %d
HostKey %s
AuthorizedKeysFile %s
StrictModes no
UsePAM no
PidFile none
MaxStartups 100
PermitRootLogin prohibit-password
SetEnv DOCKER_HOST=unix://%s PATH=%s:/usr/bin:/bin
`, port, hostKey, file("authorized_keys", userPublic, 0o600), d.Socket, filepath.Join(dir, "far")), 0o600)
	log := &harness.Buffer{}
	sshd := exec.Command("/usr/sbin/sshd", "-D", "-e", "-f", config)
	sshd.Stdout, sshd.Stderr = log, log
	sshd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := sshd.Start(); err != nil {
		t.Fatalf("sshd (hack/deps test): %v", err)
	}
	t.Cleanup(func() {
		_ = sshd.Process.Kill()
		_ = sshd.Wait()
		if t.Failed() {
			t.Logf("sshd: %s", log)
		}
	})
	address := fmt.Sprintf("127.0.0.1:%d", port)
	await(t, "sshd listens", func() bool {
		c, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		_ = c.Close()
		return true
	})
	known := file("known_hosts", fmt.Sprintf("[127.0.0.1]:%d %s", port, hostPublic), 0o600)
	// The user's own configuration, whoever runs the tests.
	mine := file("ssh_config", fmt.Sprintf("IdentityFile %s\nIdentitiesOnly yes\nUserKnownHostsFile %s\nGlobalKnownHostsFile none\nBatchMode yes\n", userKey, known), 0o600)
	file("near/ssh", "#!/bin/sh\nexec /usr/bin/ssh -F "+mine+" \"$@\"\n", 0o755)
	return sshHost{url: "ssh://root@" + address, path: filepath.Join(dir, "near")}
}

func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}
