// Package figures puts what was measured into the documents that show it.
package figures

import (
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Put replaces what is between two lines of a document, "<!-- MARK: begin -->" and
// "<!-- MARK: end -->", by text, which ends in a line feed.
func Put(document, mark, text string) error {
	b, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, _, after, err := Cut(string(b), mark)
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	return os.WriteFile(document, []byte(before+text+after), 0o644)
}

// Cut gives what is between the marks in text, and what is around it with the marks.
func Cut(text, mark string) (before, between, after string, err error) {
	begin, end := "<!-- "+mark+": begin -->\n", "<!-- "+mark+": end -->"
	before, rest, ok := strings.Cut(text, begin)
	if !ok {
		return "", "", "", fmt.Errorf("no %q in it", begin)
	}
	between, after, ok = strings.Cut(rest, end)
	if !ok {
		return "", "", "", fmt.Errorf("no %q after %q in it", end, begin)
	}
	return before + begin, between, end + after, nil
}

// Machine says when and where figures were taken.
func Machine() string {
	var u unix.Utsname
	kernel := "unknown"
	if unix.Uname(&u) == nil {
		kernel = unix.ByteSliceToString(u.Release[:])
	}
	memory := "unknown memory"
	var info unix.Sysinfo_t
	if unix.Sysinfo(&info) == nil {
		memory = fmt.Sprintf("%.0f GiB", float64(info.Totalram)*float64(info.Unit)/(1<<30))
	}
	cpuinfo, _ := os.ReadFile("/proc/cpuinfo")
	return fmt.Sprintf("%s; %s, %d cores, %s; Linux %s", time.Now().UTC().Format("2006-01-02"), cpu(cpuinfo), runtime.NumCPU(), memory, kernel)
}

// cpu finds the processor's name in /proc/cpuinfo.
func cpu(cpuinfo []byte) string {
	for line := range bytes.Lines(cpuinfo) {
		if key, value, ok := strings.Cut(string(line), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}
