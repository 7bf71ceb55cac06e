package integration

import (
	"archive/tar"
	"crypto/rand"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// rootfs writes a tar of a root filesystem: BusyBox, a user, and so many bytes that
// do not compress.
func rootfs(t *testing.T, ballast int) string {
	t.Helper()
	busybox, err := os.ReadFile("/bin/busybox")
	if err != nil {
		t.Fatalf("busybox-static (hack/deps test): %v", err)
	}
	name := filepath.Join(t.TempDir(), "rootfs.tar")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w := tar.NewWriter(f)
	add := func(hdr *tar.Header, data string) {
		t.Helper()
		hdr.Size = int64(len(data))
		if err := w.WriteHeader(hdr); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			t.Fatal(err)
		}
	}
	add(&tar.Header{Name: "bin/busybox", Mode: 0o755}, string(busybox))
	for _, applet := range []string{"sh", "id", "pwd", "cat", "sleep", "echo"} {
		add(&tar.Header{Name: "bin/" + applet, Typeflag: tar.TypeSymlink, Linkname: "busybox"}, "")
	}
	add(&tar.Header{Name: "etc/passwd", Mode: 0o644}, "root:x:0:0::/:/bin/sh\nada:x:1815:1852::/:/bin/sh\n")
	add(&tar.Header{Name: "data/seed", Mode: 0o644}, "seed")
	random := make([]byte, ballast)
	rand.Read(random)
	add(&tar.Header{Name: "ballast", Mode: 0o644}, string(random))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestImageConfiguration: each field of an image's configuration is honoured by
// run, shown by inspect, and overruled by flags.
func TestImageConfiguration(t *testing.T) {
	t.Parallel()
	d := harness.Start(t, harness.Options{})
	args := []string{"import"}
	for _, change := range []string{
		`ENTRYPOINT ["/bin/sh","-c"]`, `CMD ["echo $A $(id -un) $(pwd) $(cat /data/seed)"]`, `ENV A=b PATH=/bin`, `USER ada`, `WORKDIR /made/by/run`,
		`EXPOSE 80/tcp 53/udp`, `VOLUME /data`, `STOPSIGNAL SIGUSR1`, `LABEL of=image`, `ONBUILD RUN true`, `HEALTHCHECK --interval=1h CMD true`,
	} {
		args = append(args, "-c", change)
	}
	d.Berth(append(args, "-m", "by hand", rootfs(t, 0), "configured:1")...).OK(t)
	is := func(want string, args ...string) {
		t.Helper()
		if got := d.Berth(args...).OK(t); got != want {
			t.Errorf("berth %s: %q, want %q", strings.Join(args, " "), got, want)
		}
	}
	is("b ada /made/by/run seed", "run", "--rm", "configured:1")
	is("1815 1852", "run", "--rm", "configured:1", "echo $(id -u) $(id -g)")
	is("c root / x", "run", "--rm", "-e", "A=c", "-u", "root", "-w", "/", "configured:1", "echo $A $(id -un) $(pwd) x")
	is("plain", "run", "--rm", "--entrypoint", "/bin/busybox", "configured:1", "echo", "plain")
	is("[RUN true] by hand SIGUSR1", "image", "inspect", "-f", "{{.Config.OnBuild}} {{.Comment}} {{.Config.StopSignal}}", "configured:1")
	is("image", "image", "inspect", "-f", `{{index .Config.Labels "of"}}`, "configured:1")

	d.Berth("run", "-d", "-P", "--name", "box", "-l", "of=container", "configured:1", "trap 'exit 7' USR1; while :; do sleep 0.05; done").OK(t)
	for _, port := range []string{"80/tcp", "53/udp"} {
		if got := d.Berth("port", "box", port).OK(t); !strings.Contains(got, ":") {
			t.Errorf("port %s is %q", port, got)
		}
	}
	is("container 1 /data [CMD-SHELL true]", "inspect", "-f", `{{index .Config.Labels "of"}} {{len .Mounts}} {{(index .Mounts 0).Destination}} {{.Config.Healthcheck.Test}}`, "box")
	is("box", "stop", "box") // by the image's signal
	is("7", "inspect", "-f", "{{.State.ExitCode}}", "box")
}
