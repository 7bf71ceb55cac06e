package etc

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The lines of a network come and go; what the container wrote stays.
func TestRefresh(t *testing.T) {
	dir := t.TempDir()
	resolv := filepath.Join(t.TempDir(), "resolv.conf")
	if err := os.WriteFile(resolv, []byte("nameserver 10.0.0.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(resolver string, ips ...string) Input {
		f := Input{Dir: dir, Hostname: "web", ResolvPath: resolv}
		for _, ip := range ips {
			f.IPs = append(f.IPs, netip.MustParseAddr(ip))
		}
		if resolver != "" {
			f.Resolver = netip.MustParseAddr(resolver)
		}
		return f
	}
	one, two, other := in("", "172.17.0.2"), in("127.0.0.11", "172.17.0.2", "10.1.0.2"), in("127.0.0.11", "10.1.0.2")
	if err := Write(one); err != nil {
		t.Fatal(err)
	}
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	hosts, err := os.OpenFile(filepath.Join(dir, "hosts"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer hosts.Close() // held open, as a mount does
	if _, err := hosts.WriteString("192.0.2.1\tmine"); err != nil {
		t.Fatal(err)
	}
	if err := Refresh(one, two); err != nil {
		t.Fatal(err)
	}
	if got := read("hosts"); !strings.HasSuffix(got, "172.17.0.2\tweb\n192.0.2.1\tmine\n10.1.0.2\tweb\n") {
		t.Errorf("connected: %q", got)
	}
	if got := read("resolv.conf"); !strings.Contains(got, "nameserver 127.0.0.11\n") {
		t.Errorf("connected: %q", got)
	}
	if err := Refresh(two, other); err != nil {
		t.Fatal(err)
	}
	if got := read("hosts"); strings.Contains(got, "172.17.0.2") || !strings.HasSuffix(got, "192.0.2.1\tmine\n10.1.0.2\tweb\n") {
		t.Errorf("disconnected: %q", got)
	}
	if err := os.WriteFile(filepath.Join(dir, "resolv.conf"), []byte("nameserver 192.0.2.1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Refresh(other, one); err != nil {
		t.Fatal(err)
	}
	if got := read("resolv.conf"); got != "nameserver 192.0.2.1\n" {
		t.Errorf("the container's own: %q", got)
	}
}

// What a container may put there does no harm.
func TestRefreshHostile(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(t.TempDir(), "target")
	if err := os.WriteFile(target, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, filepath.Join(dir, "hosts")); err != nil {
		t.Fatal(err)
	}
	in := Input{Dir: dir, Hostname: "web"}
	if err := Refresh(in, in); err == nil {
		t.Error("a symbolic link was followed")
	}
	if err := os.Remove(filepath.Join(dir, "hosts")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "hosts"), make([]byte, maxHostFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := Refresh(in, in); err == nil {
		t.Error("a huge file was read")
	}
}
