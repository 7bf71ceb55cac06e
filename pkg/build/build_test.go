package build

import (
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	bkclient "github.com/moby/buildkit/client"
)

func TestPermittedFrontends(t *testing.T) {
	docker := []string{"docker.io/docker/dockerfile"}
	for _, c := range []struct {
		allowed []string
		source  string
		own     bool
		want    bool
	}{
		{docker, "docker/dockerfile:1", false, true},
		{docker, "docker.io/docker/dockerfile@sha256:" + strings.Repeat("a", 64), false, true},
		{docker, "docker/dockerfile-upstream:master", false, false},
		{docker, "evil.example/docker/dockerfile:1", false, false},
		{docker, "docker/dockerfile:1", true, false},
		{docker, "", false, false},
		{nil, "docker/dockerfile:1", false, false},
		{[]string{"*"}, "any.example/thing", false, true},
		{[]string{"*"}, "", true, true},
	} {
		if got := permitted(c.allowed, c.source, c.own); got != c.want {
			t.Errorf("%q with %q allowed (made by the client: %v): %v", c.source, c.allowed, c.own, got)
		}
	}
}

func TestPruneOptions(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	for _, c := range []struct {
		o    PruneOptions
		want bkclient.PruneInfo
		err  string
	}{
		{o: PruneOptions{All: true, ReservedSpace: 1, MaxUsedSpace: 2, MinFreeSpace: 3}, want: bkclient.PruneInfo{All: true, ReservedSpace: 1, MaxUsedSpace: 2, MinFreeSpace: 3}},
		{o: PruneOptions{Filters: filters.Args{"until": {"2h"}}}, want: bkclient.PruneInfo{KeepDuration: 2 * time.Hour}},
		{o: PruneOptions{Filters: filters.Args{"unused-for": {"999000"}}}, want: bkclient.PruneInfo{KeepDuration: 1000 * time.Second}},
		{o: PruneOptions{Filters: filters.Args{"id": {"abc"}}}, want: bkclient.PruneInfo{Filter: []string{"id~=abc"}}},
		{o: PruneOptions{Filters: filters.Args{"type": {"regular"}}}, want: bkclient.PruneInfo{Filter: []string{"type==regular"}}},
		{o: PruneOptions{Filters: filters.Args{"shared": {"true"}}}, want: bkclient.PruneInfo{Filter: []string{"shared"}}},
		{o: PruneOptions{Filters: filters.Args{"foo": {"x"}}}, err: "invalid filter 'foo'"},
		{o: PruneOptions{Filters: filters.Args{"id": {"a", "b"}}}, err: "filters expect only one value"},
		{o: PruneOptions{Filters: filters.Args{"id": {"a,inuse"}}}, err: "invalid filter"},
		{o: PruneOptions{Filters: filters.Args{"until": {"soon"}}}, err: "failed to parse value as time or duration"},
		{o: PruneOptions{Filters: filters.Args{"until": {"-2h"}}}, err: "in the future"},
	} {
		got, err := c.o.info(now)
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%+v: %v, want %s", c.o, err, c.err)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(bkclient.PruneInfo(got), c.want) {
			t.Errorf("%+v: %+v, %v, want %+v", c.o, got, err, c.want)
		}
	}
}

func TestCollectionPolicy(t *testing.T) {
	dir := t.TempDir()
	if got := (GC{Disabled: true}).policy(dir); got != nil {
		t.Errorf("without collection: %v", got)
	}
	built := GC{ReservedSpace: 5, MaxUsedSpace: 6}.policy(dir)
	if last := built[len(built)-1]; len(built) != 4 || !last.All || last.ReservedSpace != 5 || last.MaxUsedSpace != 6 {
		t.Errorf("with bounds: %+v", built)
	}
	for _, r := range (GC{}).policy(dir)[1:] {
		if r.MaxUsedSpace == 0 && r.ReservedSpace == 0 {
			t.Errorf("a rule without bounds: %+v", r)
		}
	}
	own := GC{Rules: []GCRule{{All: true, Filters: []string{"a"}, KeepDuration: 1, MinFreeSpace: 2}}}.policy(dir)
	if want := []bkclient.PruneInfo{{All: true, Filter: []string{"a"}, KeepDuration: 1, MinFreeSpace: 2}}; !reflect.DeepEqual(own, want) {
		t.Errorf("own rules: %+v, want %+v", own, want)
	}
}

func TestNormalizedNames(t *testing.T) {
	got, err := normalized("web, reg.example:5000/a/b:c,")
	if want := []string{"docker.io/library/web:latest", "reg.example:5000/a/b:c"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q, %v, want %q", got, err, want)
	}
	for _, bad := range []string{"A", "a:b:c", "a@sha256:" + strings.Repeat("a", 64)} {
		if got, err := normalized(bad); err == nil {
			t.Errorf("%s is taken for %q", bad, got)
		}
	}
}

// Nothing is made before somebody builds, and a root that never built is not
// started to be looked at.
func TestOpenStartsNothing(t *testing.T) {
	root := filepath.Join(t.TempDir(), "build")
	b, err := Open(context.Background(), Config{Root: root, Runc: "/bin/false"})
	if err != nil {
		t.Fatal(err)
	}
	if records, err := b.Cache(context.Background()); err != nil || len(records) != 0 {
		t.Errorf("the cache: %v, %v", records, err)
	}
	if r, err := b.Prune(context.Background(), PruneOptions{All: true}); err != nil || len(r.CachesDeleted) != 0 {
		t.Errorf("prune: %v, %v", r, err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("%v is there: %v", left, err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if _, err := b.Client(context.Background()); err == nil {
		t.Error("a closed builder builds")
	}
}

// Steps that a killed daemon left are ended before anything else; one that cannot
// be does not keep the daemon from starting.
func TestOpenEndsStepsThatWereLeft(t *testing.T) {
	for runc, left := range map[string]int{"/bin/true": 0, "/bin/false": 1} {
		root := t.TempDir()
		if err := os.MkdirAll(filepath.Join(root, "executor", "step", "rootfs"), 0o700); err != nil {
			t.Fatal(err)
		}
		b, err := Open(context.Background(), Config{Root: root, Runc: runc})
		if err != nil {
			t.Fatal(err)
		}
		if entries, err := os.ReadDir(filepath.Join(root, "executor")); err != nil || len(entries) != left {
			t.Errorf("%s: %v is left: %v", runc, entries, err)
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}
