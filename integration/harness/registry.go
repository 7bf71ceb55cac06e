package harness

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// Registry is Debian's docker-registry on a loopback port of its own.
type Registry struct {
	t       *testing.T
	Address string // host:port
}

// StartRegistry runs one until the end of the test.
func StartRegistry(t *testing.T) *Registry {
	t.Helper()
	// The registry cannot be told to choose a port itself.
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &Registry{t: t, Address: l.Addr().String()}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir, log := t.TempDir(), &logBuffer{}
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q}\n", filepath.Join(dir, "data"), r.Address)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatalf("registry (hack/deps test): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	deadline := time.Now().Add(Patience)
	for {
		c, err := net.Dial("tcp", r.Address)
		if err == nil {
			c.Close()
			return r
		}
		if time.Now().After(deadline) {
			t.Fatalf("the registry does not answer: %v\n%s", err, log.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// Push copies an archive made by docker save to a repository of the registry,
// with another engine's client. It gives the image's name.
func (r *Registry) Push(archive, repository string) string {
	r.t.Helper()
	name := r.Address + "/" + repository
	cmd := exec.Command("skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", "docker-archive:"+archive, "docker://"+name)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("skopeo (hack/deps test): %v: %s", err, out)
	}
	return name
}
