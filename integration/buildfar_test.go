package integration

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	"golang.org/x/sys/unix"
)

// A base image of a private registry is pulled with the client's credentials, which
// come by the session (BuildKit's clients) or with the request (the first builder's);
// who has none is refused.
func TestBuildPrivateBase(t *testing.T) {
	t.Parallel()
	r := harness.StartPrivateRegistry(t, "someone", "secret word")
	base := r.Push(sample, "team/base:v1", "--dest-creds", "someone:secret word")
	d := start(t, harness.Options{})
	dir := buildContext(t, "FROM "+base+"\nRUN echo pulled >/out\nCMD [\"cat\", \"/out\"]\n")
	for _, builder := range harness.Builders {
		refused := d.Build(builder, nil, "-t", "private", dir)
		if refused.Code == 0 {
			t.Fatalf("%s builds without credentials", builder)
		}
		tells(t, refused, "401 Unauthorized")
		d.Client(harness.BerthCLI(), strings.NewReader("secret word"), "login", "-u", "someone", "--password-stdin", r.Address).OK(t)
		d.Build(builder, nil, "-t", "private", dir).OK(t)
		if got := d.Berth("run", "--rm", "private").OK(t); got != "pulled" {
			t.Errorf("%s: it says %q", builder, got)
		}
		d.Berth("logout", r.Address).OK(t)
		// Neither the image nor the cache are there for the next one.
		d.Berth("rmi", "-f", "private").OK(t)
		d.Berth("builder", "prune", "-af").OK(t)
	}
}

// Another architecture's steps run where the kernel has an emulator for them
// (binfmt_misc), and say what is missing where it has not.
func TestBuildPlatform(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := buildContext(t, "FROM scratch\nARG TARGETARCH\nCOPY tool-$TARGETARCH /tool\nRUN [\"/tool\"]\nCMD [\"/tool\"]\n", "tool/go.mod", "module example.org/tool\n",
		"tool/main.go", "package main\n\nimport (\n\t\"fmt\"\n\t\"os\"\n\t\"runtime\"\n)\n\nfunc main() {\n\tfmt.Println(runtime.GOARCH)\n\t_ = os.WriteFile(\"/out\", []byte(runtime.GOARCH), 0o644)\n}\n")
	for _, arch := range []string{"amd64", "arm64", "s390x"} {
		cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "tool-"+arch), ".")
		cmd.Dir = filepath.Join(dir, "tool")
		cmd.Env = append(os.Environ(), "GOARCH="+arch, "CGO_ENABLED=0", "GOFLAGS=")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	for _, builder := range []string{"berth", "buildx", "classic", "py"} {
		r := d.Build(builder, nil, "--platform", "linux/s390x", dir)
		if r.Code == 0 {
			t.Fatalf("%s runs a program of s390x", builder)
		}
		tells(t, r, "exec format error")
	}
	emulated(t, "aarch64", elf.EM_AARCH64)
	for _, builder := range []string{"berth", "buildx", "classic", "py"} {
		name := "far:" + builder
		d.Build(builder, nil, "-t", name, "--platform", "linux/arm64", dir).OK(t)
		if got := d.Berth("image", "inspect", "-f", "{{.Architecture}}", "--platform", "linux/arm64", name).OK(t); got != "arm64" {
			t.Errorf("%s: the image is of %s", builder, got)
		}
		if got := d.Berth("run", "--rm", "--platform", "linux/arm64", name).OK(t); got != "arm64" {
			t.Errorf("%s: the container is of %s", builder, got)
		}
	}
	// Both in one image.
	for _, builder := range []string{"berth", "buildx"} {
		d.Build(builder, nil, "-t", "both", "--platform", "linux/amd64,linux/arm64", dir).OK(t)
		for _, arch := range []string{"amd64", "arm64"} {
			if got := d.Berth("run", "--rm", "--platform", "linux/"+arch, "both").OK(t); got != arch {
				t.Errorf("%s: linux/%s runs %s", builder, arch, got)
			}
		}
		d.Berth("rmi", "-f", "both").OK(t)
	}
}

// emulated registers QEMU for an architecture until the end of the test.
func emulated(t *testing.T, name string, machine elf.Machine) {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("binfmt_misc", dir, "binfmt_misc", 0, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	entry := fmt.Sprintf("berth-test-%d", os.Getpid())
	// The header of a little-endian 64-bit program (ELF, 4.2) up to its machine; of the
	// ABI and the type only what all programs have in common.
	magic := `\x7fELF\x02\x01\x01` + strings.Repeat(`\x00`, 9) + fmt.Sprintf(`\x02\x00\x%02x\x00`, byte(machine))
	mask := `\xff\xff\xff\xff\xff\xff\xff\x00` + strings.Repeat(`\xff`, 8) + `\xfe\xff\xff\xff`
	// F: the kernel opens the emulator now, and so has it in a container.
	line := strings.Join([]string{"", entry, "M", "", magic, mask, "/usr/bin/qemu-" + name + "-static", "F"}, ":")
	if err := os.WriteFile(filepath.Join(dir, "register"), []byte(line), 0); err != nil {
		t.Fatalf("binfmt_misc (hack/deps test): %v", err)
	}
	t.Cleanup(func() {
		if err := os.WriteFile(filepath.Join(dir, entry), []byte("-1"), 0); err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Error(err)
		}
	})
}
