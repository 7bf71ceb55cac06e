package integration

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// packages are the Debian packages that make dist made.
func packages(t *testing.T) (files []string) {
	t.Helper()
	for _, name := range []string{"berth_*.deb", "berth-docker_*.deb"} {
		files = append(files, one(t, filepath.Join(harness.Bin(), "..", "dist", name)))
	}
	return files
}

// TestInstall is a new user's way on a machine without the sources: the packages are
// installed, the daemon started as systemd does, containers run and one is built;
// the power fails, and what should run runs again. Then the packages are purged.
func TestInstall(t *testing.T) {
	t.Parallel()
	m := harness.NewFresh(t, harness.DebianArchive(t))
	for _, deb := range packages(t) {
		must(t, "cp", deb, m.Root)
	}
	must(t, "cp", sample, filepath.Join(m.Root, "sample.tar"))
	m.Write("ctx/Dockerfile", "FROM "+image+"\nRUN echo built >/made\n")
	// Docker's plugin for it, from where it is installed.
	compose := filepath.Join(m.Root, "usr/libexec/docker/cli-plugins/docker-compose")
	must(t, "install", "-D", filepath.Join(harness.Bin(), "clients", "docker-compose"), compose)
	m.Write("app/compose.yaml", "services: {db: {image: "+image+", command: sleep 1000, restart: always}, job: {image: "+image+", command: echo done, depends_on: [db]}}\n")
	const install = "dpkg -i /berth_*.deb /berth-docker_*.deb"
	m.On()
	m.Run("sh", "-c", install).OK(t)
	for _, file := range []string{
		"/usr/share/man/man1/berth-doctor.1.gz", "/usr/share/man/man8/berthd.8.gz", "/usr/share/bash-completion/completions/berth",
		"/usr/share/bash-completion/completions/docker", "/usr/share/doc/berth/docs/configuration.md", "/usr/lib/systemd/system/berth.socket",
	} {
		if _, err := os.Stat(filepath.Join(m.Root, file)); err != nil {
			t.Error(err)
		}
	}
	m.Run("berthd", "--validate").OK(t)
	sockets := []string{"/run/berth/berth.sock", "/run/docker.sock"}
	m.Serve(sockets...)

	m.Run("docker", "load", "-i", "/sample.tar").OK(t)
	m.Run("docker", "network", "create", "own").OK(t)
	m.Run("berth", "run", "-d", "--name", "web", "--restart", "unless-stopped", "--network", "own", "-p", "127.0.0.1:8080:80", "-v", "data:/www", image,
		"sh", "-c", "echo kept >/www/index.html; exec httpd -f -p 80 -h /www").OK(t)
	m.Run("docker", "run", "-d", "--name", "peer", "--restart", "always", "--network", "own", image, "sleep", "1000").OK(t)
	m.Run("docker", "run", "-d", "--name", "once", image, "sleep", "1000").OK(t)
	m.Run("docker", "run", "-d", "--name", "stopped", "--restart", "unless-stopped", image, "sleep", "1000").OK(t)
	m.Run("docker", "stop", "-t", "0", "stopped").OK(t)
	m.Run("docker", "build", "-t", "mine", "/ctx").OK(t)
	if got := m.Run("docker", "run", "--rm", "mine", "cat", "/made").OK(t); got != "built" {
		t.Errorf("the image that was built: %q", got)
	}
	m.Run("docker", "compose", "--progress", "plain", "-f", "/app/compose.yaml", "up", "-d").OK(t)
	answers := func() bool {
		return strings.TrimSpace(m.Run("docker", "exec", "peer", "wget", "-qO-", "http://web/index.html").Stdout) == "kept"
	}
	await(t, "the server answers by its name", answers)
	if r := m.Run("berth", "doctor"); r.Code != 0 {
		t.Errorf("doctor: %s%s", r.Stdout, r.Stderr)
	}

	// An upgrade changes the programs; then the daemon alone is another process.
	pids := func() string { return m.Run("docker", "inspect", "-f", "{{.State.Pid}}", "web", "peer").OK(t) }
	before := pids()
	const end = "start-stop-daemon --stop --retry TERM/30 --pidfile /run/berth/berthd.pid --exec /usr/bin/berthd"
	if got := m.Run("sh", "-c", install).OK(t); !strings.Contains(got, "restart berthd") {
		t.Errorf("the upgrade says: %s", got)
	}
	m.Run("sh", "-c", end).OK(t)
	m.Serve(sockets...)
	if after := pids(); after != before {
		t.Errorf("the upgrade ended containers: they were %s and are %s", before, after)
	}
	await(t, "the server answers after the upgrade", answers)

	m.Off()
	m.On()
	m.Serve(sockets...)
	states := func() string {
		return m.Run("berth", "ps", "-a", "--format", "{{.Names}} {{.State}}").OK(t)
	}
	await(t, "what should run runs again", func() bool {
		return states() == "app-job-1 exited\napp-db-1 running\nstopped exited\nonce exited\npeer running\nweb running"
	})
	await(t, "the server answers again, with its data", answers)
	if got := m.Run("berth", "port", "web").OK(t); got != "80/tcp -> 127.0.0.1:8080" {
		t.Errorf("ports: %s", got)
	}
	if r := m.Run("berth", "doctor"); r.Code != 0 {
		t.Errorf("doctor after the reboot: %s%s", r.Stdout, r.Stderr)
	}

	// Removal stops what runs and keeps what is on the disk, for who installs it again.
	m.Run("dpkg", "--remove", "berth-docker", "berth").OK(t)
	gone(t, m)
	if _, err := os.Stat(filepath.Join(m.Root, "var/lib/berth/berth.db")); err != nil {
		t.Error(err)
	}
	m.Run("sh", "-c", install).OK(t)
	m.Serve(sockets...)
	m.Run("docker", "start", "web", "peer").OK(t)
	await(t, "the server answers once it is installed again", answers)

	// Purging stops what runs, too, and leaves nothing.
	m.Run("dpkg", "--purge", "berth-docker", "berth").OK(t)
	for _, dir := range []string{"/var/lib/berth", "/etc/berth", "/usr/libexec/berth", "/usr/bin/docker"} {
		if _, err := os.Lstat(filepath.Join(m.Root, dir)); err == nil {
			t.Errorf("%s is still there", dir)
		}
	}
	gone(t, m)
}

// gone fails the test if a process of the package is left.
func gone(t *testing.T, m *harness.Fresh) {
	t.Helper()
	// cat fails for a process that ends after the shell read its directory.
	got := m.Run("sh", "-c", "cat /proc/[0-9]*/comm 2>/dev/null; :").OK(t)
	if !strings.Contains(got, "sh") {
		t.Fatalf("no process is told, not even the shell: %q", got)
	}
	if strings.Contains(got, "berthd") || strings.Contains(got, "containerd-shim") {
		t.Errorf("still running: %s", got)
	}
}

// TestUnits has systemd read its units as they are packaged.
func TestUnits(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, deb := range packages(t) {
		must(t, "dpkg-deb", "-x", deb, dir)
	}
	units := filepath.Join(dir, "usr", "lib", "systemd", "system")
	service := filepath.Join(units, "berth.service")
	b, err := os.ReadFile(service)
	if err != nil {
		t.Fatal(err)
	}
	// The program is not installed on this host.
	local := strings.Replace(string(b), "ExecStart=/usr/bin/berthd ", "ExecStart="+filepath.Join(dir, "usr/bin/berthd")+" ", 1)
	if local == string(b) {
		t.Fatalf("the unit starts no berthd:\n%s", b)
	}
	if err := os.WriteFile(service, []byte(local), 0o644); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("systemd-analyze", "verify", "--man=no", service, filepath.Join(units, "berth.socket"), filepath.Join(units, "docker.socket"))
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "berth") || strings.Contains(string(out), "docker") {
		t.Errorf("systemd-analyze: %v: %s", err, out)
	}
}

// TestReproducible packs what was built once more: the files are the same.
func TestReproducible(t *testing.T) {
	t.Parallel()
	out := t.TempDir()
	cmd := exec.Command("make", "-s", "-C", "..", "pack", "DIST="+out)
	if b, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("make pack: %v: %s", err, b)
	}
	must(t, "diff", "-r", out, filepath.Join(harness.Bin(), "..", "dist"))
}
