package links

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/etc"
	"golang.org/x/sys/unix"
)

// maxHosts bounds a hosts file, which its container may have written.
const maxHosts = 1 << 20

// Update puts the addresses of the container that l stands for, which has no others,
// into the hosts file of the running one that links to it: into the lines of the link,
// by family. Without hosts the lines go: the link was removed. The file is mounted
// there, so it is written in place; whoever reads meanwhile, or finds it after a kill,
// has whole lines.
func Update(file string, l container.Link, child *container.Record, hosts []etc.HostLine) error {
	f, err := os.OpenFile(file, os.O_RDWR|unix.O_NOFOLLOW, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	old, err := io.ReadAll(io.LimitReader(f, maxHosts+1))
	switch {
	case err != nil:
		return err
	case len(old) > maxHosts:
		return fmt.Errorf("%s has more than %d bytes", file, maxHosts)
	}
	text := relink(string(old), func(names string) bool { return isOf(names, l.Alias, child.Config.Hostname) }, hosts)
	if text == string(old) {
		return nil
	}
	// Empty lines stand where the old text was longer, until it is cut off.
	padding := strings.Repeat("\n", max(0, len(old)-len(text)))
	if _, err := f.WriteAt([]byte(text+padding), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

// isOf says whether names are those that a link wrote: its alias and the container's
// own hostname. The name that follows may be an old one: containers are renamed.
func isOf(names, alias, hostname string) bool {
	f := strings.Fields(names)
	switch {
	case len(f) == 0 || f[0] != alias:
		return false
	case hostname == "" || hostname == alias:
		return len(f) <= 2
	}
	return len(f) >= 2 && f[1] == hostname
}

func relink(text string, ours func(names string) bool, hosts []etc.HostLine) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		addr, names, ok := strings.Cut(line, "\t")
		old, err := netip.ParseAddr(addr)
		if !ok || err != nil || !ours(names) {
			continue
		}
		lines[i] = ""
		for _, h := range hosts {
			if old.Is4() == h.Addr.Is4() {
				lines[i] = h.Addr.String() + "\t" + h.Names + "\n"
			}
		}
	}
	return strings.Join(lines, "")
}
