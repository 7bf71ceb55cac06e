package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// process is one line of the process table.
type process struct {
	pid, parent int
	cmdline     string // arguments separated by NUL
}

func processes() ([]process, error) {
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	var all []process
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil {
			continue
		}
		stat, err := os.ReadFile(dir + "/stat")
		if err != nil {
			continue // it ended
		}
		parent, err := parseParent(stat)
		if err != nil {
			return nil, fmt.Errorf("process %d: %w", pid, err)
		}
		cmdline, _ := os.ReadFile(dir + "/cmdline")
		all = append(all, process{pid, parent, string(cmdline)})
	}
	return all, nil
}

// parseParent reads the parent from /proc/PID/stat: the name before it stands in
// parentheses and may hold anything (proc(5)).
func parseParent(stat []byte) (int, error) {
	end := bytes.LastIndexByte(stat, ')')
	fields := strings.Fields(string(stat[end+1:]))
	if end < 0 || len(fields) < 2 {
		return 0, fmt.Errorf("unexpected stat %q", stat)
	}
	return strconv.Atoi(fields[1])
}

// members returns the daemon with everything below it, and the processes
// elsewhere that have one of the container IDs on their command line (shims).
// The containers' own processes are not among them.
func members(all []process, daemon int, ids []string) []int {
	in := map[int]bool{daemon: true}
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if in[p.parent] && !in[p.pid] {
				in[p.pid], grown = true, true
			}
		}
	}
	var pids []int
	for _, p := range all {
		if in[p.pid] || namesOne(p.cmdline, ids) {
			pids = append(pids, p.pid)
		}
	}
	return pids
}

func namesOne(cmdline string, ids []string) bool {
	for _, id := range ids {
		if strings.Contains(cmdline, id) {
			return true
		}
	}
	return false
}

// pss adds up the processes' proportional set sizes, in MiB: memory that several
// share counts once in all.
func pss(pids []int) (float64, error) {
	var kib int
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, err
		}
		n, err := parsePSS(b)
		if err != nil {
			return 0, fmt.Errorf("process %d: %w", pid, err)
		}
		kib += n
	}
	return float64(kib) / 1024, nil
}

func parsePSS(rollup []byte) (int, error) {
	s := bufio.NewScanner(bytes.NewReader(rollup))
	for s.Scan() {
		if f := strings.Fields(s.Text()); len(f) == 3 && f[0] == "Pss:" {
			return strconv.Atoi(f[1])
		}
	}
	return 0, fmt.Errorf("no Pss in %q", rollup)
}

// memory is what the engine's processes take, with those of the given containers.
func (e *engine) memory(ids []string) (float64, error) {
	all, err := processes()
	if err != nil {
		return 0, err
	}
	return pss(members(all, e.pid, ids))
}
