package integration

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// A step is on the default bridge: it resolves names by the daemon's server, and others
// see this host's address (NAT) in place of its own.
func TestBuildStepNetwork(t *testing.T) {
	t.Parallel()
	other := harness.NewOtherHost(t)
	nameServer(t, other)
	var l net.Listener
	var err error
	other.Do(func() { l, err = net.Listen("tcp", other.Address+":8080") })
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() { // ends with the listener
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = fmt.Fprintf(c, "HTTP/1.0 200 OK\r\n\r\nseen as %s", c.RemoteAddr())
			_ = c.Close()
		}
	}()
	d := start(t, harness.Options{Flags: []string{"--dns", other.Address, "--dns-search", "example.org"}})
	dir := buildContext(t, "FROM "+image+"\nRUN nslookup far.example >/names; cat /etc/resolv.conf >>/names; wget -qO- http://"+other.Address+":8080/ >/seen; hostname -i >>/seen || true; ip -4 addr show eth0 >>/seen\n")
	for _, builder := range harness.Builders {
		d.Build(builder, nil, "-t", "steps", "--no-cache", dir).OK(t)
		if got := d.Berth("run", "--rm", "steps", "cat", "/names").OK(t); !strings.Contains(got, "198.51.100.7") || !strings.Contains(got, "search example.org") {
			t.Errorf("%s: names: %s", builder, got)
		}
		got := d.Berth("run", "--rm", "steps", "cat", "/seen").OK(t)
		if !strings.Contains(got, "seen as "+other.Here+":") || !strings.Contains(got, "inet "+d.Subnet+".") {
			t.Errorf("%s: network: %s", builder, got)
		}
	}
}

// What each client's flags do to a build, where the corpus has one Dockerfile for all.
func TestBuildFlags(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := buildContext(t, "FROM "+image+"\nRUN cat /proc/sys/kernel/random/uuid >/random; ls /sys/class/net >/links\n")
	random := func(name string) string { return d.Berth("run", "--rm", name, "cat", "/random").OK(t) }
	for _, builder := range harness.Builders {
		d.Build(builder, nil, "-t", "flags", dir).OK(t)
		first := random("flags")
		d.Build(builder, nil, "-t", "flags", dir).OK(t)
		if got := random("flags"); got != first {
			t.Errorf("%s: the cache is not used", builder)
		}
		d.Build(builder, nil, "--no-cache", "-t", "flags", dir).OK(t)
		if got := random("flags"); got == first {
			t.Errorf("%s: --no-cache uses the cache", builder)
		}
		d.Build(builder, nil, "--network", "none", "--no-cache", "-t", "flags", dir).OK(t)
		if got := d.Berth("run", "--rm", "flags", "cat", "/links").OK(t); got != "lo" {
			t.Errorf("%s: --network none has %q", builder, got)
		}
		if builder == "py" {
			continue // docker-py has one name for an image, and no file for its ID
		}
		id := filepath.Join(t.TempDir(), "id")
		d.Build(builder, nil, "-t", "a:1", "-t", "b:2", "--iidfile", id, dir).OK(t)
		b, err := os.ReadFile(id)
		for _, name := range []string{"a:1", "b:2"} {
			if got := d.Berth("image", "inspect", "-f", "{{.Id}}", name).OK(t); err != nil || got != string(b) {
				t.Errorf("%s: %s is %s, the file has %s: %v", builder, name, got, b, err)
			}
		}
		if got := d.Build(builder, nil, "-q", dir).OK(t); !regexp.MustCompile(`^sha256:[0-9a-f]{64}$`).MatchString(got) {
			t.Errorf("%s: -q says %q", builder, got)
		}
	}
}

// berth build shows its progress as asked.
func TestBuildProgress(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	dir := buildContext(t, "FROM "+image+"\nRUN echo from the step\n")
	for progress, want := range map[string]string{
		"plain": `(?m)^#\d+ [0-9.]+ from the step$`, "auto": "from the step", "rawjson": `"vertexes":\[`, "quiet": `^$`, "none": `^$`,
	} {
		r := d.Build("berth", nil, "--no-cache", "--progress", progress, dir)
		r.OK(t)
		if !regexp.MustCompile(want).MatchString(r.Stderr) {
			t.Errorf("--progress=%s: %s", progress, r.Stderr)
		}
	}
	d.Build("berth", nil, "--progress", "loud", dir).Fails(t, 1, "loud")
	tty := onTerminal(t, d, harness.BerthCLI(), "build", "--no-cache", "--progress", "tty", dir)
	tty.expect(`\[\+\] Building .*FINISHED`)
	tty.exits(0)
}

// A context of any size takes little memory, and no more disk than it may.
func TestBuildOfALargeContext(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	const size = 400 << 20
	dir := buildContext(t, "FROM scratch\nCOPY large /large\n")
	if err := os.Truncate(touch(t, filepath.Join(dir, "large")), size); err != nil {
		t.Fatal(err)
	}
	for _, builder := range []string{"berth", "classic"} {
		d.Build(builder, nil, "-t", "large", dir).OK(t)
		if got := d.Berth("image", "inspect", "-f", "{{len .RootFS.Layers}}", "large").OK(t); got != "1" {
			t.Errorf("%s: %s layers", builder, got)
		}
	}
	if peak := peakMemory(t, d.Pid()); peak > size/2 {
		t.Errorf("berthd took %d bytes for a context of %d", peak, size)
	}
}

func touch(t *testing.T, name string) string {
	t.Helper()
	if err := os.WriteFile(name, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// peakMemory is the most that a process was resident, in bytes.
func peakMemory(t *testing.T, pid int) int64 {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatalf("no VmHWM in %s", b)
	}
	kib, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return kib << 10
}

// A frontend whose repository the daemon's configuration lists is executed: BuildKit's
// own, as an image.
func TestBuildAllowedFrontend(t *testing.T) {
	t.Parallel()
	config := filepath.Join(t.TempDir(), "daemon.json")
	if err := os.WriteFile(config, []byte(`{"builder": {"frontends": ["docker.io/library/listed"]}}`), 0o600); err != nil {
		t.Fatal(err)
	}
	d := start(t, harness.Options{Flags: []string{"--config-file", config}})
	dir := buildContext(t, "FROM scratch\nCOPY frontend /bin/dockerfile-frontend\nENTRYPOINT [\"/bin/dockerfile-frontend\"]\n")
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "frontend"), "github.com/moby/buildkit/frontend/dockerfile/cmd/dockerfile-frontend")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	d.Build("berth", nil, "-t", "listed", "-t", "other", dir).OK(t)
	const rest = "FROM " + image + "\nRUN echo by a frontend >/out\nCMD [\"cat\", \"/out\"]\n"
	for _, builder := range harness.Builders {
		d.Build(builder, nil, "-t", "fronted", buildContext(t, "# syntax=listed\n"+rest)).OK(t)
		if got := d.Berth("run", "--rm", "fronted").OK(t); got != "by a frontend" {
			t.Errorf("%s: %q", builder, got)
		}
		r := d.Build(builder, nil, buildContext(t, "# syntax=other\n"+rest))
		if r.Code == 0 {
			t.Errorf("%s executes a frontend that is not listed", builder)
		}
		tells(t, r, "is not allowed by the daemon's configuration (builder.frontends)")
	}
}
