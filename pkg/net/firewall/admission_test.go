package firewall

import (
	"bytes"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func iptables(t *testing.T, command string, args ...string) string {
	t.Helper()
	cmd := exec.Command(command, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr // also warns of tables of the other kind
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", command, args, err, stderr.String())
	}
	return string(out)
}

// Chains that drop let our bridges' traffic through, and nothing is left in
// them when they no longer drop, or we are gone.
func TestAdmission(t *testing.T) {
	for _, tt := range []struct{ command, want string }{
		{"iptables", `-P FORWARD DROP
-A FORWARD -i other -j ACCEPT
-A FORWARD -i berth0 -m comment --comment "berth-test -i berth0" -j ACCEPT
-A FORWARD -o berth0 -m comment --comment "berth-test -o berth0" -j ACCEPT
-A FORWARD -i br-dual -m comment --comment "berth-test -i br-dual" -j ACCEPT
-A FORWARD -o br-dual -m comment --comment "berth-test -o br-dual" -j ACCEPT
`}, {"ip6tables", `-P FORWARD DROP
-A FORWARD -i other -j ACCEPT
-A FORWARD -i br-dual -m comment --comment "berth-test -i br-dual" -j ACCEPT
-A FORWARD -o br-dual -m comment --comment "berth-test -o br-dual" -j ACCEPT
`},
	} {
		for _, variant := range []string{"-nft", "-legacy"} {
			t.Run(tt.command+variant, func(t *testing.T) {
				fw := openTable(t)
				command := tt.command + variant
				iptables(t, command, "-P", "FORWARD", "DROP")
				iptables(t, command, "-A", "FORWARD", "-i", "other", "-j", "ACCEPT")
				defer iptables(t, command, "-F", "FORWARD")
				defer iptables(t, command, "-P", "FORWARD", "ACCEPT")
				if err := fw.Reset(t.Context(), []Network{dual}, nil); err != nil {
					t.Fatal(err)
				}
				if err := fw.AddNetwork(t.Context(), lan); err != nil {
					t.Fatal(err)
				}
				want := slices.Sorted(strings.Lines(tt.want))
				if got := slices.Sorted(strings.Lines(iptables(t, command, "-S", "FORWARD"))); !slices.Equal(got, want) {
					t.Errorf("got\n%s", strings.Join(got, ""))
				}
				if err := fw.RemoveNetwork(t.Context(), lan.Bridge); err != nil {
					t.Fatal(err)
				}
				if got := iptables(t, command, "-S", "FORWARD"); strings.Contains(got, lan.Bridge) || !strings.Contains(got, dual.Bridge) {
					t.Errorf("with one network less:\n%s", got)
				}
				if err := fw.Drop(t.Context()); err != nil {
					t.Fatal(err)
				}
				if got := iptables(t, command, "-S", "FORWARD"); got != "-P FORWARD DROP\n-A FORWARD -i other -j ACCEPT\n" {
					t.Errorf("after the end:\n%s", got)
				}
			})
		}
	}
}

// dockerd and others may begin to drop at any time.
func TestAdmissionLater(t *testing.T) {
	fw := openTable(t)
	if err := fw.Reset(t.Context(), []Network{lan}, nil); err != nil {
		t.Fatal(err)
	}
	iptables(t, "iptables-nft", "-A", "FORWARD", "-i", "other", "-j", "ACCEPT")
	defer iptables(t, "iptables-nft", "-F", "FORWARD")
	defer iptables(t, "iptables-nft", "-P", "FORWARD", "ACCEPT")
	rules := func() int { return strings.Count(iptables(t, "iptables-nft", "-S", "FORWARD"), "berth0 -m comment") }
	for _, step := range []struct {
		args []string
		want int
	}{
		{[]string{"-P", "FORWARD", "DROP"}, 2},
		{[]string{"-F", "FORWARD"}, 2},
		{[]string{"-P", "FORWARD", "ACCEPT"}, 0},
	} {
		wait := generation(t)
		iptables(t, "iptables-nft", step.args...)
		wait() // theirs
		wait() // ours
		if got := rules(); got != step.want {
			t.Errorf("after %v: %d rules, want %d", step.args, got, step.want)
		}
	}
}

// The same by the old program, of which the kernel says nothing.
func TestAdmissionLaterLegacy(t *testing.T) {
	fw := openTable(t)
	if err := fw.Reset(t.Context(), []Network{lan, dual}, nil); err != nil {
		t.Fatal(err)
	}
	for command, networks := range map[string]int{"iptables-legacy": 2, "ip6tables-legacy": 1} {
		t.Run(command, func(t *testing.T) {
			iptables(t, command, "-A", "FORWARD", "-i", "other", "-m", "comment", "--comment", "theirs", "-j", "ACCEPT")
			defer iptables(t, command, "-F", "FORWARD")
			defer iptables(t, command, "-P", "FORWARD", "ACCEPT")
			for _, step := range []struct {
				args []string
				want int
			}{
				{[]string{"-P", "FORWARD", "DROP"}, 2 * networks},
				{[]string{"-D", "FORWARD", "-i", dual.Bridge, "-m", "comment", "--comment", "berth-test -i " + dual.Bridge, "-j", "ACCEPT"}, 2 * networks},
				{[]string{"-F", "FORWARD"}, 2 * networks},
				{[]string{"-P", "FORWARD", "ACCEPT"}, 0},
			} {
				iptables(t, command, step.args...)
				rules := func() int { return strings.Count(iptables(t, command, "-S", "FORWARD"), "berth-test -") }
				for deadline := time.Now().Add(time.Minute); rules() != step.want; { // the bound of a hang
					if time.Now().After(deadline) {
						t.Fatalf("after %v: %d rules, want %d", step.args, rules(), step.want)
					}
				}
			}
		})
	}
}

// What the file that iptables locks is replaced by is watched as well.
func TestLockWatch(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	told := make(chan struct{}, 1)
	w, err := watchLock(path, func() { ask(told, struct{}{}) })
	if err != nil {
		t.Fatal(err)
	}
	wait := func(what string) {
		t.Helper()
		select {
		case <-told:
		case <-time.After(10 * time.Second): // the bound of a hang
			t.Fatal(what)
		}
	}
	for range 3 {
		f, err := os.OpenFile(path, os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		wait("nothing was said of a lock")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		wait("nothing was said of the removal")
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if _, err := watchLock(filepath.Join(path, "x"), func() {}); err == nil {
		t.Error("what cannot be there is watched")
	}
}

// A table is read as the kernel gives it; what is not one hurts nobody.
func FuzzChain(f *testing.F) {
	a := admission{table: "berth"}
	f.Add(make([]byte, xtInfoSize+entry4.size), false)
	f.Add(make([]byte, xtInfoSize+2*entry6.size), true)
	f.Fuzz(func(t *testing.T, b []byte, six bool) {
		if len(b) < xtInfoSize {
			return
		}
		layout := entry4
		if six {
			layout = entry6
		}
		_, have := a.chain(b[:xtInfoSize], b[xtInfoSize:], layout)
		if len(have)*layout.size > len(b) {
			t.Errorf("%d rules in %d bytes", len(have), len(b))
		}
		if gone(b) {
			return
		}
		_ = xtComment(b)
	})
}

// A process that shares the table leaves the others' rules.
func TestAdmissionShared(t *testing.T) {
	iptables(t, "iptables-nft", "-P", "FORWARD", "DROP")
	defer nft(t, "flush", "ruleset")
	for _, n := range []Network{lan, dual} {
		fw, err := OpenShared(Config{Name: "berth-test", Forwarding: Forwarding{Off: true}, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := fw.AddNetwork(t.Context(), n); err != nil {
			t.Fatal(err)
		}
		if err := fw.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got := strings.Count(iptables(t, "iptables-nft", "-S", "FORWARD"), "--comment"); got != 4 {
		t.Errorf("%d rules", got)
	}
}

func FuzzCommentOf(f *testing.F) {
	f.Add([]byte{0, 3, 'a', 'b', 0})
	f.Add([]byte{1, 1, 9, 0, 2, 'x', 0})
	f.Add([]byte{0, 200, 'a'})
	f.Fuzz(func(t *testing.T, b []byte) {
		if s := commentOf(b); len(s) > len(b) {
			t.Errorf("%q of %q", s, b)
		}
	})
}

func FuzzParseLegacy(f *testing.F) {
	a := admission{table: "berth"}
	f.Add("-P FORWARD DROP\n-A FORWARD -i berth0 -m comment --comment \"berth -i berth0\" -j ACCEPT\n")
	f.Fuzz(func(t *testing.T, s string) {
		_, have := a.parseLegacy(s)
		for _, p := range have {
			if _, ok := a.parse(a.comment(p)); !ok {
				t.Errorf("%+v", p)
			}
		}
	})
}

// A host that we made a router routes for our networks alone.
func TestForwarding(t *testing.T) {
	read := func(name string) string {
		b, err := os.ReadFile("/proc/sys/net/" + name)
		if err != nil {
			t.Fatal(err)
		}
		return strings.TrimSpace(string(b))
	}
	set := func(name, value string) {
		if err := os.WriteFile("/proc/sys/net/"+name, []byte(value), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	const v4, v6, ra = "ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/default/accept_ra"
	v4only, inside := lan, closed
	for _, tt := range []struct {
		name       string
		before     string // of both switches
		noted      bool   // an earlier process turned them on
		f          Forwarding
		networks   []Network
		want4      string
		want6      string
		wantClosed []byte
	}{
		{name: "off, needed", before: "0", networks: []Network{dual}, want4: "1", want6: "1",
			wantClosed: []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6}},
		{name: "off, IPv4 needed", before: "0", networks: []Network{v4only}, want4: "1", want6: "0", wantClosed: []byte{unix.NFPROTO_IPV4}},
		{name: "off, nothing leaves", before: "0", networks: []Network{inside}, want4: "0", want6: "0"},
		{name: "on by others", before: "1", networks: []Network{dual}, want4: "1", want6: "1"},
		{name: "on by us", before: "1", noted: true, networks: []Network{dual}, want4: "1", want6: "1",
			wantClosed: []byte{unix.NFPROTO_IPV4, unix.NFPROTO_IPV6}},
		{name: "for everyone", before: "0", f: Forwarding{Open: true}, networks: []Network{dual}, want4: "1", want6: "1"},
		{name: "not our business", before: "0", f: Forwarding{Off: true}, networks: []Network{dual}, want4: "0", want6: "0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set(v4, tt.before)
			set(v6, tt.before)
			set(ra, "1")
			f := tt.f
			f.Notes = t.TempDir()
			if tt.noted {
				for _, r := range routers {
					if err := f.note(r); err != nil {
						t.Fatal(err)
					}
				}
			}
			fw, err := Open(Config{Name: "berth-test", Forwarding: f, Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			defer nft(t, "flush", "ruleset")
			defer fw.Close()
			if err := fw.Reset(t.Context(), nil, nil); err != nil {
				t.Fatal(err)
			}
			for _, n := range tt.networks {
				if err := fw.AddNetwork(t.Context(), n); err != nil {
					t.Fatal(err)
				}
			}
			if got4, got6 := read(v4), read(v6); got4 != tt.want4 || got6 != tt.want6 {
				t.Errorf("IPv4 %s, IPv6 %s", got4, got6)
			}
			if got := slices.Sorted(maps.Keys(fw.state.closed)); !slices.Equal(got, tt.wantClosed) {
				t.Errorf("closed: %v", got)
			}
			elements := strings.Contains(string(nft(t, "list", "set", "inet", "berth-test", "closed")), "elements")
			if elements != (len(tt.wantClosed) > 0) {
				t.Errorf("the kernel's set has elements: %v", elements)
			}
			if got := read(ra); tt.before == "0" && tt.want6 == "1" && got != "2" {
				t.Errorf("accept_ra is %s", got)
			}
		})
	}
}
