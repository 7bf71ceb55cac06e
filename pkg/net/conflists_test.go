package net

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/network"
)

// An operator's networks come, change and go with their files; what is wrong
// with one is said once and does not hinder the others.
func TestConflists(t *testing.T) {
	dir := t.TempDir()
	var log bytes.Buffer
	m := open(t, func(c *Config) { c.CNIConf, c.Log = dir, slog.New(slog.NewTextHandler(&log, nil)) })
	write := func(file, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, file), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	list := func(name, subnet string) string {
		return fmt.Sprintf(`{"cniVersion":"1.1.0","name":%q,"plugins":[{"type":"berth-bridge","bridge":"op0","ipam":{"dataDir":%q,"subnets":[{"subnet":%q,"gateway":%q}]}}]}`,
			name, filepath.Join(dir, "leases"), subnet, strings.Replace(subnet, "0/24", "1", 1))
	}
	names := func() (out []string) {
		t.Helper()
		all, err := m.List(filters.Args{"type": []string{"custom"}})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range all {
			out = append(out, n.Name)
		}
		return out
	}
	expect := func(when string, want ...string) {
		t.Helper()
		if got := names(); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	expect("before")
	write("10-good.conflist", list("good", "10.77.0.0/24"))
	write("20-broken.conflist", `{"cniVersion":`)
	write("30-empty.conflist", `{"cniVersion":"1.1.0","name":"empty","plugins":[]}`)
	write("40-path.conflist", strings.Replace(list("good", "10.77.0.0/24"), `"good"`, `"../up"`, 1))
	write("50-bridge.conflist", list("bridge", "10.77.1.0/24"))
	write("60-twice.conflist", list("good", "10.77.2.0/24"))
	write("70-other.conflist", list("other", "10.77.3.0/24"))
	expect("with files", "good", "other")
	expect("again", "good", "other")
	for _, file := range []string{"20-broken", "30-empty", "40-path"} {
		if n := strings.Count(log.String(), file); n != 1 {
			t.Errorf("%s is named %d times:\n%s", file, n, log.String())
		}
	}
	if n, _ := m.Lookup("bridge"); n.Driver != "bridge" {
		t.Errorf("our bridge: %+v", n)
	}
	if _, err := m.Create(t.Context(), network.CreateRequest{Name: "other"}); !errdefs.IsConflict(err) {
		t.Errorf("the name of an operator's: %v", err)
	}
	if err := m.Remove(t.Context(), "other"); !errdefs.IsPermissionDenied(err) {
		t.Errorf("removed an operator's: %v", err)
	}
	// In use, changed, and taken away: each container goes by what it came by.
	_, before := setup(t, m, "before", on("good"))
	write("10-good.conflist", list("good", "10.78.0.0/24"))
	_, after := setup(t, m, "after", on("good"))
	if a, b := before["good"].IPAddress.String(), after["good"].IPAddress.String(); a != "10.77.0.2" || b != "10.78.0.2" {
		t.Errorf("addresses %s and %s", a, b)
	}
	for _, f := range []string{"10-good", "60-twice"} {
		if err := os.Remove(filepath.Join(dir, f+".conflist")); err != nil {
			t.Fatal(err)
		}
	}
	expect("removed", "other")
	teardown(t, m, "before")
	teardown(t, m, "after")
	if left, _ := os.ReadDir(filepath.Join(dir, "leases")); len(left) > 0 {
		t.Errorf("leases left: %v", left)
	}
	write("20-broken.conflist", list("mended", "10.77.4.0/24"))
	expect("mended", "mended", "other")
}
