package harness

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
)

// Leftovers lists what a daemon without containers should not have any more:
// on disk, in the kernel, in containerd.
func (d *Daemon) Leftovers() (left []string) {
	for _, dir := range []string{
		filepath.Join(d.Data(), "containers"), filepath.Join(d.Exec(), "io"), filepath.Join(d.Exec(), "netns"),
	} {
		for _, name := range names(dir) {
			left = append(left, filepath.Join(dir, name))
		}
	}
	left = append(left, d.TempFiles()...)
	for _, port := range names(filepath.Join("/sys/class/net", d.Bridge, "brif")) {
		left = append(left, "bridge port "+port)
	}
	out, _ := exec.Command("nft", "list", "ruleset").Output()
	for l := range strings.Lines(section(string(out), d.Bridge)) {
		// Published ports; the subnet itself stays as long as its network.
		if strings.Contains(l, " : "+d.Subnet+".") {
			left = append(left, "firewall "+strings.TrimSpace(l))
		}
	}
	left = append(left, mountsBelow(d.Root)...)
	for _, p := range processesOf(d.Root) {
		if !strings.HasPrefix(p, fmt.Sprintf("process %d:", d.Pid())) {
			left = append(left, p)
		}
	}
	return append(left, d.containerdLeftovers()...)
}

// TempFiles are what the daemon, and what is part of it, keeps for a moment.
func (d *Daemon) TempFiles() (all []string) {
	for _, name := range names(filepath.Join(d.Data(), "tmp")) {
		all = append(all, filepath.Join(d.Data(), "tmp", name))
	}
	return all
}

// section is the part of a ruleset that is a daemon's table.
func section(ruleset, bridge string) (out string) {
	inside := false
	for l := range strings.Lines(ruleset) {
		if strings.HasPrefix(l, "table ") {
			inside = strings.Contains(l, bridge)
		}
		if inside {
			out += l
		}
	}
	return out
}

func (d *Daemon) containerdLeftovers() (left []string) {
	c, err := client.New(d.Containerd())
	if err != nil {
		return []string{err.Error()}
	}
	defer c.Close()
	ctx := namespaces.WithNamespace(context.Background(), d.Namespace())
	containers, err := c.Containers(ctx)
	if err != nil {
		return []string{err.Error()}
	}
	for _, x := range containers {
		left = append(left, "containerd container "+x.ID())
	}
	err = c.SnapshotService("overlayfs").Walk(ctx, func(_ context.Context, i snapshots.Info) error {
		if i.Kind != snapshots.KindCommitted {
			left = append(left, "snapshot "+i.Name)
		}
		return nil
	})
	if err != nil && !os.IsNotExist(err) {
		left = append(left, err.Error())
	}
	return left
}
