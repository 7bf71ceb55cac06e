package integration

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
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
		"CVE-2018-15664: links swapped while files are copied":                swappedLinks,
		"CVE-2019-14271: libraries of the container":                          plantedLibraries,
		"CVE-2024-21626: working directory in the host's descriptors":         leakedDescriptors,
		"CVE-2026-41567: decompressors of the container":                      plantedPrograms,
		"CVE-2026-41568: places of mounts swapped before they are made":       swappedPlaces,
		"CVE-2026-42306: places of mounts swapped before they are mounted on": redirectedMounts,
		"links swapped while a layer is exported and committed":               swappedLayers,
		"links swapped while an image's content is copied into a volume":      swappedCopyUp,
		"a volume's subpath, and its image's folder, are links to the host":   linkedSubpaths,
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
}

func swappedLayers(t *testing.T, d *harness.Daemon, outside string) {
	runRestless(t, d, outside)
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

// swappedPlaces has mounts at places that are not there, or in the host, whenever they
// are looked for.
func swappedPlaces(t *testing.T, d *harness.Daemon, outside string) {
	runRestless(t, d, outside, "-v", "/d/sub/made", "-v", outside+"/f:/d/mounted:ro", "-v", "/d/new/deep/volume")
	for range attempts {
		d.Berth("cp", "restless:/d/sub/made", "-")
		d.Berth("cp", outside+"/f", "restless:/d/sub/made/x")
		d.Berth("cp", outside+"/f", "restless:/d/new/deep/volume/x")
		for _, name := range []string{"sub/made", "mounted", "new"} {
			if _, err := os.Lstat(filepath.Join(outside, name)); err == nil {
				t.Fatalf("%s was made on the host", name)
			}
		}
	}
}

// redirectedMounts has mounts whose places the host has, too.
func redirectedMounts(t *testing.T, d *harness.Daemon, outside string) {
	d.Berth("run", "--rm", "-v", "redirected:/v", image, "sh", "-c", "echo evil >/v/f").OK(t)
	t.Cleanup(func() { d.Berth("volume", "rm", "redirected").OK(t) }) // after its container
	runRestless(t, d, outside, "-v", "redirected:/d/sub")
	stop, stopped := make(chan struct{}), make(chan error, 1)
	go func() { stopped <- watchHost(d, outside, stop) }()
	evil := filepath.Join(t.TempDir(), "evil")
	if err := os.WriteFile(evil, []byte("evil"), 0o644); err != nil {
		t.Fatal(err)
	}
	for range attempts {
		if got := d.Berth("cp", "restless:/d/sub", "-"); strings.Contains(got.Stdout, "host-only-7f3a") {
			t.Error("cp gave the host's file")
		}
		d.Berth("cp", evil, "restless:/d/sub/f")
		d.Berth("cp", evil, "restless:/d/sub/g")
	}
	close(stop)
	if err := <-stopped; err != nil {
		t.Error(err)
	}
}

// watchHost looks all the time whether anything is mounted on a folder of the host, for
// any thread of the daemon, or whether it reads otherwise.
func watchHost(d *harness.Daemon, outside string, stop <-chan struct{}) error {
	for {
		tables, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/mountinfo", d.Pid()))
		if err != nil {
			return err
		}
		for _, table := range tables {
			if b, err := os.ReadFile(table); err == nil && mountedOnHost(string(b), outside) {
				return fmt.Errorf("a mount at %s:\n%s", outside, b)
			}
		}
		if b, err := os.ReadFile(filepath.Join(outside, "sub/f")); err != nil || string(b) != "host-only-7f3a\n" {
			return fmt.Errorf("the host's file reads %q, %w", b, err)
		}
		select {
		case <-stop:
			return nil
		default:
		}
	}
}

// mountedOnHost says whether a table, proc_pid_mountinfo(5), has a mount at or below a
// folder of the host. One on the container's own root, which the daemon has at / while it
// looks into it, may have the same name: the link that the container made leads there.
func mountedOnHost(table, folder string) bool {
	types, parents := map[string]string{}, []string{}
	for line := range strings.Lines(table) {
		fields, super, _ := strings.Cut(line, " - ")
		f := strings.Fields(fields)
		if len(f) < 5 {
			continue
		}
		types[f[0]], _, _ = strings.Cut(super, " ")
		if f[4] == folder || strings.HasPrefix(f[4], folder+"/") {
			parents = append(parents, f[1])
		}
	}
	return slices.ContainsFunc(parents, func(id string) bool { return types[id] != "overlay" })
}

func TestMountedOnHost(t *testing.T) {
	t.Parallel()
	const host, own = "1 0 8:1 / / rw - ext4 /dev/vda rw\n", "2 1 0:9 / / rw - overlay overlay rw\n"
	for table, want := range map[string]bool{
		host + own: false,
		host + own + "3 2 8:1 /v /t/001/sub rw - ext4 /dev/vda rw\n":      false,
		host + own + "3 1 8:1 /v /t/001/sub rw - ext4 /dev/vda rw\n":      true,
		host + "3 1 8:1 /v /t/001 rw shared:1 - ext4 /dev/vda rw\n":       true,
		host + "3 1 8:1 /t/001/f /elsewhere rw - ext4 /dev/vda rw\n":      false,
		host + "3 1 8:1 /v /t/0012 rw shared:1 - ext4 /dev/vda rw\nodd\n": false,
	} {
		if got := mountedOnHost(table, "/t/001"); got != want {
			t.Errorf("%v of\n%s", got, table)
		}
	}
}

// swappedCopyUp exchanges what comes into a volume that is in use for links, while it
// is filled for another container.
func swappedCopyUp(t *testing.T, d *harness.Daemon, outside string) {
	d.Berth("run", "--name", "full", image, "sh", "-c", "for i in $(seq 40); do mkdir -p /full/$i/sub; for j in 1 2 3 4; do echo evil >/full/$i/f$j; echo evil >/full/$i/sub/f$j; done; done").OK(t)
	d.Berth("commit", "full", "full").OK(t)
	d.Berth("run", "-d", "--name", "swapping", "-v", "shared:/v", image, "sh", "-c",
		`while :; do for x in /v/*/ /v/*/sub; do [ ! -L "${x%/}" ] && [ -d "$x" ] && mv "${x%/}" "/gone$((n=n+1))" && ln -s "$0" "${x%/}"; done; done 2>/dev/null`, outside).OK(t)
	swapped := 0
	for range attempts {
		d.Berth("create", "--name", "filled", "-v", "shared:/full", "full") // fails or not
		if got := d.Berth("volume", "export", "shared"); strings.Contains(got.Stdout, "host-only-7f3a") {
			t.Error("the export has the host's file")
		}
		swapped += strings.Count(d.Berth("exec", "swapping", "sh", "-c", "ls -l /v /v/*").Stdout, " -> "+outside)
		d.Berth("rm", "-f", "filled").OK(t)
		d.Berth("exec", "swapping", "sh", "-c", "rm -rf /v/* /gone*; [ -z \"$(ls /v)\" ]")
	}
	if swapped == 0 {
		t.Error("nothing was swapped: the attack does nothing")
	}
	d.Berth("rm", "-f", "swapping", "full").OK(t)
	d.Berth("volume", "rm", "shared").OK(t)
	d.Berth("rmi", "full").OK(t)
}

// plantedLibraries puts libraries that tell when they are loaded where a program that
// looks up a user's name or unpacks something would look for its own.
func plantedLibraries(t *testing.T, d *harness.Daemon, outside string) {
	dir := t.TempDir()
	source, library := filepath.Join(dir, "ran.c"), filepath.Join(dir, "ran.so")
	text := fmt.Sprintf("#include <fcntl.h>\n__attribute__((constructor)) void ran(void) { open(\"/ran\", O_CREAT|O_WRONLY, 0644); open(\"%s/ran\", O_CREAT|O_WRONLY, 0644); }\n", outside)
	if err := os.WriteFile(source, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe(t, nil, "cc", "-shared", "-fPIC", "-o", library, source)
	d.Berth("create", "--name", "planted", "-u", "planted:planted", image, "true").OK(t)
	plant := filepath.Join(dir, "root")
	for _, name := range []string{
		"lib/libnss_files.so.2", "lib/x86_64-linux-gnu/libnss_files.so.2", "lib/x86_64-linux-gnu/libnss_dns.so.2", "lib64/libnss_files.so.2", "usr/lib/libnss_files.so.2",
		"lib/x86_64-linux-gnu/libc.so.6", "lib/x86_64-linux-gnu/libz.so.1", "lib/x86_64-linux-gnu/liblzma.so.5",
	} {
		at := filepath.Join(plant, name)
		b, err := os.ReadFile(library)
		if err == nil {
			err = os.MkdirAll(filepath.Dir(at), 0o755)
		}
		if err == nil {
			err = os.WriteFile(at, b, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(filepath.Join(plant, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n", "passwd": "planted:x:7:8::/:/bin/sh\n", "group": "planted:x:8:\n", "ld.so.preload": "/lib/libnss_files.so.2\n"} {
		if err := os.WriteFile(filepath.Join(plant, "etc", name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d.Berth("cp", plant+"/.", "planted:/").OK(t)
	d.Berth("cp", "-a", plant, "planted:/owned").OK(t)
	stream := d.Berth("cp", "-a", "planted:/owned", "-").Stdout
	d.Client(harness.BerthCLI(), bytes.NewReader(pipe(t, []byte(stream), "xz")), "cp", "-a", "-", "planted:/etc").OK(t)
	d.Berth("export", "planted").OK(t)
	d.Berth("commit", "planted", "planted").OK(t)
	d.Berth("cp", "planted:/ran", "-").Fails(t, 1, "Could not find the file")
	if _, err := os.Lstat(filepath.Join(outside, "ran")); err == nil {
		t.Error("a library of the container was loaded")
	}
	d.Berth("rm", "planted").OK(t)
	d.Berth("rmi", "planted").OK(t)
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
		d.Berth("run", "--rm", "--mount", "type=volume,source=linked,target=/x,volume-subpath="+sub, image, "ls", "/x").Fails(t, 125, "path concatenation escapes the base directory")
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
