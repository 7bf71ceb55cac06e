package policy

import (
	"strings"
	"testing"
	"time"
)

func TestExcess(t *testing.T) {
	p := Policy{High: 80, Low: 60}
	for _, c := range []struct{ used, size, want uint64 }{
		{79, 100, 0}, {80, 100, 0}, {81, 100, 21}, {100, 100, 40}, {1, 0, 0}, {9 << 40, 10 << 40, 3 << 40},
	} {
		if got := p.Excess(c.used, c.size); got != c.want {
			t.Errorf("%d of %d: %d, want %d", c.used, c.size, got, c.want)
		}
	}
	if got := (Policy{}).Excess(100, 100); got != 0 {
		t.Errorf("no policy frees %d", got)
	}
}

func TestChoose(t *testing.T) {
	at := func(h int) time.Time { return time.Unix(int64(h)*3600, 0) }
	all := []Image{
		{ID: "new", Names: []string{"docker.io/library/new:1"}, Used: at(9), Size: 10},
		{ID: "old", Names: []string{"docker.io/library/old:1"}, Used: at(1), Size: 10},
		{ID: "used", Names: []string{"docker.io/library/used:1"}, Used: at(0), Size: 10, InUse: true},
		{ID: "base", Names: []string{"docker.io/library/base:1", "registry.test/x:2"}, Used: at(0), Size: 10},
		{ID: "none", Used: at(8), Size: 10},
	}
	for _, c := range []struct {
		keep  string
		bytes uint64
		want  string
	}{
		{"base", 1, "none"}, {"base", 11, "none old"}, {"base", 1000, "none old new"}, {"registry.test/*", 1000, "none old new"},
		{"*:1", 1000, "none"}, {"", 0, ""}, {"nothing", 1000, "none base old new"},
	} {
		var ids []string
		for _, i := range (Policy{Keep: strings.Fields(c.keep)}).Choose(all, c.bytes) {
			ids = append(ids, i.ID)
		}
		if got := strings.Join(ids, " "); got != c.want {
			t.Errorf("keep %q, %d bytes: %q, want %q", c.keep, c.bytes, got, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, p := range []Policy{{}, {High: 90, Low: 80}, {High: 1}, {High: 90, Low: 80, Keep: []string{"a/*"}}} {
		if err := p.Validate(); err != nil {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for _, p := range []Policy{{High: 101}, {High: -1}, {Low: 5}, {High: 5, Low: 5}, {High: 90, Keep: []string{"["}}} {
		if p.Validate() == nil {
			t.Errorf("%+v is taken", p)
		}
	}
}
