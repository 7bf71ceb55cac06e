package harness

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Builders are the clients that build, by what they speak: our own and buildx
// BuildKit's API, the docker CLI without it and docker-py the first builder's.
var Builders = []string{"berth", "buildx", "classic", "py"}

// Build runs a builder's build with the arguments of docker build.
func (d *Daemon) Build(builder string, stdin io.Reader, args ...string) Result {
	d.t.Helper()
	args = append([]string{"build"}, args...)
	docker, err := exec.LookPath("docker")
	if err != nil {
		d.t.Fatalf("docker CLI (hack/deps test): %v", err)
	}
	switch builder {
	case "berth":
		return d.Client(BerthCLI(), stdin, args...)
	case "buildx":
		return d.Buildx(stdin, args...)
	case "classic":
		return d.Client("/usr/bin/env", stdin, append([]string{"DOCKER_BUILDKIT=0", docker}, args...)...)
	case "py":
		script, err := filepath.Abs("testdata/build.py")
		if err != nil {
			d.t.Fatal(err)
		}
		return d.Client("/usr/bin/python3", stdin, append([]string{script}, args[1:]...)...)
	}
	d.t.Fatalf("no builder %s", builder)
	return Result{}
}

// LongBuild is berth build for one that fetches packages: it has no bound of its own but
// the test's.
func (d *Daemon) LongBuild(args ...string) Result {
	d.t.Helper()
	return d.clientFor(15*time.Minute, BerthCLI(), nil, append([]string{"build"}, args...)...)
}

// Buildx runs docker's plugin.
func (d *Daemon) Buildx(stdin io.Reader, args ...string) Result {
	d.t.Helper()
	docker, err := exec.LookPath("docker")
	if err != nil {
		d.t.Fatalf("docker CLI (hack/deps test): %v", err)
	}
	d.Plugin("docker-buildx")
	return d.Client(docker, stdin, append([]string{"buildx"}, args...)...)
}

// Plugin has docker's client find a plugin that make integration built.
func (d *Daemon) Plugin(name string) {
	d.t.Helper()
	plugin := filepath.Join(Bin(), "clients", name)
	if _, err := os.Stat(plugin); err != nil {
		d.t.Fatalf("%s (make integration): %v", name, err)
	}
	link := filepath.Join(d.Root, "cli", "cli-plugins", name)
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		d.t.Fatal(err)
	}
	if err := os.Symlink(plugin, link); err != nil && !errors.Is(err, fs.ErrExist) {
		d.t.Fatal(err)
	}
}

// Dockers are docker's client in the versions that people have, Debian's and those that
// make integration built, and ours.
func Dockers() map[string]string {
	built := filepath.Join(Bin(), "clients")
	return map[string]string{
		"docker-20.10": "/usr/bin/docker",
		"docker-28":    filepath.Join(built, "docker-28"),
		"docker-29":    filepath.Join(built, "docker"),
		"berth":        BerthCLI(),
	}
}
