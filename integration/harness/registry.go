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

	"golang.org/x/crypto/bcrypt"
)

// Registry is Debian's docker-registry on a loopback port of its own.
type Registry struct {
	t       *testing.T
	Address string // host:port
}

// StartRegistry runs one until the end of the test.
func StartRegistry(t *testing.T) *Registry {
	t.Helper()
	return startRegistry(t, nil, "", "")
}

// StartRegistryAt runs one on another host. It speaks TLS if it has a certificate.
func StartRegistryAt(t *testing.T, host *OtherHost, cert, key string) *Registry {
	t.Helper()
	if cert == "" {
		return startRegistry(t, host, "", "")
	}
	return startRegistry(t, host, fmt.Sprintf(", tls: {certificate: %q, key: %q}", cert, key), "")
}

// StartPrivateRegistry runs one that knows a single user.
func StartPrivateRegistry(t *testing.T, user, password string) *Registry {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "htpasswd")
	if err := os.WriteFile(file, fmt.Appendf(nil, "%s:%s\n", user, hash), 0o600); err != nil {
		t.Fatal(err)
	}
	return startRegistry(t, nil, "", fmt.Sprintf("auth: {htpasswd: {realm: private, path: %q}}\n", file))
}

// startRegistry adds to the configuration's section http, and sections.
func startRegistry(t *testing.T, host *OtherHost, http, sections string) *Registry {
	t.Helper()
	r := &Registry{t: t, Address: freeAddress(t, host)}
	dir, log := t.TempDir(), &Buffer{}
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nstorage: {filesystem: {rootdirectory: %q}}\nhttp: {addr: %q%s}\n", filepath.Join(dir, "data"), r.Address, http) + sections
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("docker-registry", "serve", config)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := host.start(cmd); err != nil {
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

// freeAddress finds a port of a host: the registry cannot be told to choose one itself.
func freeAddress(t *testing.T, host *OtherHost) string {
	t.Helper()
	var l net.Listener
	var err error
	if host == nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	} else {
		host.Do(func() { l, err = net.Listen("tcp", host.Address+":0") })
	}
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Push copies an archive made by docker save to a repository of the registry,
// with another engine's client, and its flags. It gives the image's name.
func (r *Registry) Push(archive, repository string, flags ...string) string {
	r.t.Helper()
	name := r.Address + "/" + repository
	args := append([]string{"copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"}, flags...)
	cmd := exec.Command("skopeo", append(args, "docker-archive:"+archive, "docker://"+name)...)
	if out, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("skopeo (hack/deps test): %v: %s", err, out)
	}
	return name
}
