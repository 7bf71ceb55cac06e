package stats

import (
	"testing"

	"github.com/berth-engine/berth/pkg/engine/container"
)

func TestOOMKilled(t *testing.T) {
	const (
		file1 = "memory/berth/abc/memory.oom_control"
		file2 = "berth/abc/memory.events"
	)
	for _, c := range []struct {
		name          string
		unified       bool
		file, content string
		want          bool
	}{
		{"v1", false, file1, "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n", true},
		{"v1, waiting", false, file1, "oom_kill_disable 1\nunder_oom 1\noom_kill 0\n", false},
		{"v1, of an old kernel", false, file1, "oom_kill_disable 0\nunder_oom 0\n", false},
		{"v2", true, file2, "low 0\nhigh 0\nmax 7\noom 1\noom_kill 1\noom_group_kill 0\n", true},
		{"v2, another's limit", true, file2, "low 0\nhigh 0\nmax 7\noom 1\noom_kill 0\n", false},
		{"no cgroup", true, "other", "", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, u, _ := measured(t, container.Running)
			s.kills = (&reader{cgroup: machine(t, map[string]string{c.file: c.content}), unified: c.unified}).oomKills
			if got := s.OOMKilled(u.View()); got != c.want {
				t.Errorf("%v", got)
			}
		})
	}
}
