package links

import (
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"

	"github.com/berth-engine/berth/pkg/engine/spec"
	"golang.org/x/sys/unix"
)

// maxHosts bounds a hosts file, which its container may have written.
const maxHosts = 1 << 20

// Update puts new addresses into the hosts file of a running container: into the
// lines of the same alias and family. The file is mounted there, so it is written in
// place, longest content first: whoever reads meanwhile, or finds it after a kill,
// has whole lines.
func Update(file string, hosts []spec.HostLine) error {
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
	text := relink(string(old), hosts)
	if text == string(old) {
		return nil
	}
	if _, err := f.WriteAt([]byte(text), 0); err != nil {
		return err
	}
	return f.Truncate(int64(len(text)))
}

func relink(text string, hosts []spec.HostLine) string {
	lines := strings.SplitAfter(text, "\n")
	for i, line := range lines {
		addr, names, ok := strings.Cut(line, "\t")
		old, err := netip.ParseAddr(addr)
		if !ok || err != nil {
			continue
		}
		for _, h := range hosts {
			if strings.TrimSuffix(names, "\n") == h.Names && old.Is4() == h.Addr.Is4() {
				lines[i] = h.Addr.String() + "\t" + names
			}
		}
	}
	return strings.Join(lines, "")
}
