package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
)

// restless exchanges a folder and a file of the container for links to a folder of
// the host, for as long as it runs.
const restless = `
mkdir -p /d/sub && echo inside >/d/f && echo inside >/d/sub/f && echo inside >/f
ln -s %[1]s /dl; ln -s ../../../../../../../..%[1]s /ul; ln -s %[1]s/f /fl
touch /ready
while :; do
	mv -T /d /t; mv -T /dl /d; mv -T /d /dl; mv -T /ul /d; mv -T /d /ul; mv -T /t /d
	mv -T /f /tf; mv -T /fl /f; mv -T /f /fl; mv -T /tf /f
done`

// TestAttacks has containers try what others got through with.
func TestAttacks(t *testing.T) {
	t.Parallel()
	d := start(t, harness.Options{})
	outside := t.TempDir()
	at := func(name string) string { return filepath.Join(outside, name) }
	for _, err := range []error{os.WriteFile(at("f"), []byte("host-only-7f3a\n"), 0o644), os.Mkdir(at("sub"), 0o755), os.WriteFile(at("sub/f"), []byte("host-only-7f3a\n"), 0o644)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	before := pipe(t, nil, "tar", "-C", outside, "-cf", "-", ".")
	for name, attack := range map[string]func(*testing.T, *harness.Daemon, string){
		"links swapped while files are moved (CVE-2018-15664)":              swappedLinks,
		"places of mounts swapped (CVE-2026-41568, -42306)":                 swappedPlaces,
		"programs of the container (CVE-2019-14271, -2026-41567)":           plantedPrograms,
		"working directory in the host's descriptors (CVE-2024-21626)":      leakedDescriptors,
		"a volume's subpath, and its image's folder, are links to the host": linkedSubpaths,
	} {
		t.Run(name, func(t *testing.T) { attack(t, d, outside) })
	}
	if after := pipe(t, nil, "tar", "-C", outside, "-cf", "-", "."); !bytes.Equal(before, after) {
		t.Errorf("the host's folder changed: %q", tarNames(t, after))
	}
}

// attempts is how often each verb meets a restless container.
const attempts = 10

func runRestless(t *testing.T, d *harness.Daemon, outside string, flags ...string) {
	t.Helper()
	d.Berth(append(append([]string{"run", "-d", "--name", "restless"}, flags...), image, "sh", "-c", fmt.Sprintf(restless, outside))...).OK(t)
	await(t, "the container is restless", func() bool { return d.Berth("exec", "restless", "test", "-e", "/ready").Code == 0 })
	t.Cleanup(func() { d.Berth("rm", "-f", "-v", "restless").OK(t) })
}

func swappedLinks(t *testing.T, d *harness.Daemon, outside string) {
	runRestless(t, d, outside)
	evil := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(evil, []byte("evil"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range attempts {
		for _, path := range []string{"/d", "/d/f", "/f", "/d/sub"} {
			if got := d.Berth("cp", "restless:"+path, "-"); strings.Contains(got.Stdout, "host-only-7f3a") {
				t.Fatalf("cp of %s gave the host's file", path)
			}
			d.Berth("cp", evil, "restless:"+path)
		}
	}
	for range attempts / 3 {
		if got := d.Berth("export", "restless"); strings.Contains(got.Stdout, "host-only-7f3a") {
			t.Fatal("export gave the host's file")
		}
		d.Berth("commit", "--pause=false", "restless", "swapped").OK(t)
		if got := d.Berth("run", "--rm", "swapped", "sh", "-c", "cat /f /fl /d/f /dl/f /ul/f; true").Stdout; strings.Contains(got, "host-only-7f3a") {
			t.Fatal("the image has the host's file")
		}
	}
	d.Berth("rmi", "swapped").OK(t)
}

func swappedPlaces(t *testing.T, d *harness.Daemon, outside string) {
	runRestless(t, d, outside, "-v", "/d/sub/made", "-v", outside+"/f:/d/mounted:ro")
	for range attempts {
		d.Berth("cp", "restless:/d/sub/made", "-")
		d.Berth("cp", outside+"/f", "restless:/d/sub/made/x")
	}
}

func plantedPrograms(t *testing.T, d *harness.Daemon, outside string) {
	d.Berth("run", "--name", "planted", "-u", "0:0", image, "sh", "-c", `
for p in xz unxz unpigz gzip bzip2 zstd tar docker-tar; do
	rm -f /bin/$p; printf '#!/bin/sh\ntouch %s/ran /ran\n' "$0" >/bin/$p; chmod 755 /bin/$p
done; ln -s /bin /usr/bin 2>/dev/null; true`, outside).OK(t)
	stream := d.Berth("cp", "planted:/etc", "-").Stdout
	for _, compressor := range []string{"gzip", "xz", "bzip2", "zstd"} {
		d.Client(harness.BerthCLI(), bytes.NewReader(pipe(t, []byte(stream), compressor)), "cp", "-a", "-", "planted:/").OK(t)
	}
	d.Berth("cp", "planted:/ran", "-").Fails(t, 1, "Could not find the file")
	d.Berth("rm", "planted").OK(t)
}

func leakedDescriptors(t *testing.T, d *harness.Daemon, outside string) {
	for fd := range 12 {
		for _, up := range []string{"", "/../.."} {
			dir := fmt.Sprintf("/proc/self/fd/%d%s", fd, up)
			if got := d.Berth("run", "--rm", "-w", dir, image, "cat", "../../../../../../.."+outside+"/f"); strings.Contains(got.Stdout, "host-only-7f3a") {
				t.Fatalf("-w %s reads the host's files", dir)
			}
		}
	}
	d.Berth("run", "-d", "--name", "fds", image, "sleep", "1000").OK(t)
	for fd := range 12 {
		if got := d.Berth("exec", "-w", fmt.Sprintf("/proc/self/fd/%d", fd), "fds", "cat", "../../../../../../.."+outside+"/f"); strings.Contains(got.Stdout, "host-only-7f3a") {
			t.Fatalf("exec -w of descriptor %d reads the host's files", fd)
		}
		d.Berth("cp", fmt.Sprintf("fds:/proc/self/fd/%d/f", fd), "-").Fails(t, 1, "Could not find the file")
	}
	d.Berth("rm", "-f", "fds").OK(t)
}

func linkedSubpaths(t *testing.T, d *harness.Daemon, outside string) {
	d.Berth("run", "--rm", "-v", "linked:/v", image, "sh", "-c", `ln -s "$0" /v/abs; ln -s ../../../../../../../.."$0" /v/up; mkdir /v/real`, outside).OK(t)
	for _, sub := range []string{"abs", "up", "real/../abs"} {
		d.Berth("run", "--rm", "--mount", "type=volume,source=linked,target=/x,volume-subpath="+sub, image, "ls", "/x").Fails(t, 125, "cannot access path")
	}
	// The image's folder that a new volume begins with is a link.
	d.Berth("run", "--name", "linking", image, "sh", "-c", `ln -s "$0" /data; ln -s ../../../../../../../.."$0" /data2`, outside).OK(t)
	d.Berth("commit", "linking", "linking").OK(t)
	bound := t.TempDir()
	for _, dest := range []string{"/data", "/data2"} {
		if got := d.Berth("run", "--rm", "-v", bound+":"+dest, "linking", "cat", dest+"/f"); strings.Contains(got.Stdout, "host-only-7f3a") {
			t.Errorf("%s has the host's files", dest)
		}
		if got := d.Berth("run", "--rm", "-v", dest, "linking", "cat", dest+"/f"); strings.Contains(got.Stdout, "host-only-7f3a") {
			t.Errorf("a volume at %s began with the host's files", dest)
		}
	}
	d.Berth("rm", "linking").OK(t)
	d.Berth("rmi", "linking").OK(t)
	d.Berth("volume", "rm", "linked").OK(t)
}
