package etc

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// Refresh brings hosts and resolv.conf of a running container from what they
// said before to what they are to say now. What the container itself wrote there
// stays: of hosts only lines of ours are changed, and resolv.conf only as a
// whole, if it is as we wrote it.
func Refresh(before, after Input) error {
	oldHosts, err := hostsFile(before)
	if err != nil {
		return err
	}
	newHosts, err := hostsFile(after)
	if err != nil {
		return err
	}
	oldResolv, err := resolvFile(before)
	if err != nil {
		return err
	}
	newResolv, err := resolvFile(after)
	if err != nil {
		return err
	}
	if err := rewrite(filepath.Join(after.Dir, "hosts"), func(now []byte) []byte {
		return relines(now, oldHosts, newHosts)
	}); err != nil {
		return err
	}
	return rewrite(filepath.Join(after.Dir, "resolv.conf"), func(now []byte) []byte {
		if bytes.Equal(now, oldResolv) {
			return newResolv
		}
		return now
	})
}

// relines takes the lines of before that are not in after out of now, and adds
// those of after that are not in before.
func relines(now, before, after []byte) []byte {
	split := func(b []byte) []string { return strings.SplitAfter(string(b), "\n") }
	was, is := split(before), split(after)
	var b strings.Builder
	for _, line := range split(now) {
		if !slices.Contains(was, line) || slices.Contains(is, line) {
			b.WriteString(line)
		}
	}
	if s := b.String(); s != "" && !strings.HasSuffix(s, "\n") {
		b.WriteByte('\n')
	}
	for _, line := range is {
		if !slices.Contains(was, line) {
			b.WriteString(line)
		}
	}
	return []byte(b.String())
}

// rewrite changes a file that is mounted in a container, and that the container
// may have written: in place, longest content first, so that whoever reads
// meanwhile has whole lines.
func rewrite(name string, change func([]byte) []byte) error {
	f, err := os.OpenFile(name, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	now, err := io.ReadAll(io.LimitReader(f, maxHostFile+1))
	if err != nil {
		return err
	}
	if len(now) > maxHostFile {
		return fmt.Errorf("%s is larger than %d bytes", name, maxHostFile)
	}
	text := change(now)
	if bytes.Equal(text, now) {
		return nil
	}
	if _, err := f.WriteAt(text, 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}
