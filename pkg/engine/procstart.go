package engine

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// processStart is when a process was started, to a hundredth of a second
// (proc_pid_stat(5), field 22, in clock ticks after boot); now, if that cannot
// be read.
func processStart(pid int) time.Time {
	const ticks = 100 // per second: USER_HZ is fixed in the kernel's ABI
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return time.Now()
	}
	// The command's name, in parentheses, may hold anything.
	_, rest, _ := strings.Cut(string(stat[strings.LastIndexByte(string(stat), ')')+1:]), " ")
	fields := strings.Fields(rest)
	if len(fields) < 20 {
		return time.Now()
	}
	after, err := strconv.ParseInt(fields[19], 10, 64)
	uptime, upErr := os.ReadFile("/proc/uptime")
	if err != nil || upErr != nil {
		return time.Now()
	}
	up, err := strconv.ParseFloat(strings.Fields(string(uptime) + " 0")[0], 64)
	if err != nil {
		return time.Now()
	}
	boot := time.Now().Add(-time.Duration(up * float64(time.Second)))
	return boot.Add(time.Duration(after) * time.Second / ticks)
}
