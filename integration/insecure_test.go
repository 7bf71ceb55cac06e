package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// TestInsecureRegistries: a registry that is listed may speak TLS with a certificate that
// nobody vouches for, or no TLS at all; others may not, and are not tried without.
func TestInsecureRegistries(t *testing.T) {
	t.Parallel()
	ca := newCA(t) // which nobody knows; its certificate is for another address, too
	host := harness.NewOtherHost(t)
	tls := harness.StartRegistryAt(t, host, ca.file("cert.pem"), ca.file("key.pem"))
	plain := harness.StartRegistryAt(t, host, "", "")
	list := filepath.Join(t.TempDir(), "daemon.json")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(`{}`)
	d := start(t, harness.Options{Flags: []string{"--config-file", list}})
	for _, r := range []struct {
		*harness.Registry
		refusal string
	}{{tls, "x509: "}, {plain, "server gave HTTP response to HTTPS client"}} {
		name := r.Address + "/team/app:v1"
		d.Berth("tag", image, name).OK(t)
		d.Berth("push", name).Fails(t, 1, r.refusal)
		d.Berth("pull", name).Fails(t, 1, r.refusal)
		d.Berth("login", "-u", "u", "-p", "p", r.Address).Fails(t, 1, r.refusal)
		d.Build("berth", nil, buildContext(t, "FROM "+r.Address+"/team/base\n")).Fails(t, 1, r.refusal)
	}
	for _, listed := range []string{`"` + tls.Address + `", "` + plain.Address + `"`, `"` + host.Address + `/32"`} {
		write(`{"insecure-registries": [` + listed + `]}`)
		d.Terminate()
		d.Run()
		for _, r := range []*harness.Registry{tls, plain} {
			for client, path := range clients(t) {
				s := script{t, d, path}
				name := r.Address + "/team/" + client + ":v1"
				s.ok("tag", image, name)
				s.contains("v1: digest: sha256:", "push", name)
				s.contains("Untagged: "+name, "rmi", name)
				s.contains("Status: Downloaded newer image for "+name, "pull", name)
				s.ok("login", "-u", "u", "-p", "p", r.Address) // which asks for no password
			}
			d.Build("berth", nil, "--pull", "-t", "built", buildContext(t, "FROM "+r.Address+"/team/berth:v1\n")).OK(t)
			d.Build("berth", nil, "--push", "-t", r.Address+"/team/built", buildContext(t, "FROM "+image+"\n")).OK(t)
		}
	}
	// What is taken off the list is refused from then on.
	write(`{}`)
	if err := syscall.Kill(d.Pid(), syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the list is read again", func() bool {
		return strings.Contains(d.Berth("pull", tls.Address+"/team/berth:v1").Stderr, "x509: ")
	})
	if out, err := exec.Command("skopeo", "inspect", "--tls-verify=false", "docker://"+tls.Address+"/team/built").CombinedOutput(); err != nil {
		t.Errorf("skopeo: %v: %s", err, out)
	}
}
