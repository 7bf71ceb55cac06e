package stats

import (
	"errors"
	"io/fs"
	"path/filepath"

	"github.com/berth-engine/berth/pkg/engine/spec"
	"github.com/berth-engine/berth/pkg/engine/unit"
)

// OOMKilled says whether the kernel has killed a process of the container's present
// run for want of memory. Its cgroup knows until the task is deleted, also when
// nobody was there to hear of it.
func (s *Stats) OOMKilled(v *unit.View) bool {
	n, err := s.kills(v)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		s.log.Warn("it is not known whether a container ran out of memory", "container", v.Record.ID, "error", err)
	}
	return n > 0
}

// oomKills counts the processes: memory.oom_control of cgroup v1 and memory.events of v2
// (Documentation/admin-guide).
func (r *reader) oomKills(v *unit.View) (uint64, error) {
	file := filepath.Join(r.cgroup, "memory", spec.CgroupsPath(v.Record.HostConfig, "", v.Record.ID), "memory.oom_control")
	if r.unified {
		file = filepath.Join(r.cgroup, spec.CgroupsPath(v.Record.HostConfig, "", v.Record.ID), "memory.events")
	}
	b, err := read(file)
	return pairs(b)["oom_kill"], err
}
