package firewall

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// legacy is iptables as it was before nftables. The kernel tells nobody of its
// rules and takes them only as a whole table in a private format, so that here,
// where such a table is in use, its own program is called to change them.
type legacy struct {
	command string
	six     bool
	names   string // file with the tables that are in use
}

// legacyTimeout bounds a call; the program waits for a lock.
const legacyTimeout = 10 * time.Second

// legacies are those with a filter table in use.
func legacies() []legacy {
	return slices.DeleteFunc([]legacy{
		{"iptables-legacy", false, "/proc/thread-self/net/ip_tables_names"},
		{"ip6tables-legacy", true, "/proc/thread-self/net/ip6_tables_names"},
	}, func(l legacy) bool {
		b, err := os.ReadFile(l.names)
		return err != nil || !slices.Contains(strings.Fields(string(b)), "filter")
	})
}

func (l legacy) run(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), legacyTimeout)
	defer cancel()
	command := l.command
	if _, err := exec.LookPath(command); err != nil {
		command = strings.TrimSuffix(command, "-legacy") // a host that has no other
	}
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, command, append([]string{"-w"}, args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		err = fmt.Errorf("%s %s: %w: %s", command, strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return string(out), err
}

// admitLegacy edits the chain, if it is not as it should be.
func (a admission) admitLegacy(l legacy, want []pass) error {
	drops, have, err := l.look(a)
	if err == nil && !a.wrong(drops, have, want) {
		return nil
	}
	if err != nil { // a kernel that has it in another form
		a.log.Debug("a table of iptables-legacy cannot be read", "command", l.command, "error", err)
	}
	return a.editLegacy(l, want)
}

// wrong says whether rules are missing, or there that should not be.
func (a admission) wrong(drops bool, have, want []pass) bool {
	if !drops {
		want = nil
	}
	missing := slices.ContainsFunc(want, func(p pass) bool { return !slices.Contains(have, p) })
	more := slices.ContainsFunc(have, func(p pass) bool { return !slices.Contains(want, p) })
	return missing || more && !a.shared
}

func (a admission) editLegacy(l legacy, want []pass) error {
	list, err := l.run("-S", "FORWARD")
	if err != nil {
		return err
	}
	drops, have := a.parseLegacy(list)
	if !drops {
		want = nil
	}
	for _, p := range have {
		if !slices.Contains(want, p) && !a.shared {
			_, rerr := l.run(append([]string{"-D", "FORWARD"}, a.legacyRule(p)...)...)
			err = errors.Join(err, rerr)
		}
	}
	for _, p := range want {
		if !slices.Contains(have, p) {
			_, rerr := l.run(append([]string{"-A", "FORWARD"}, a.legacyRule(p)...)...)
			err = errors.Join(err, rerr)
		}
	}
	return err
}

func (a admission) legacyRule(p pass) []string {
	return []string{p.flag(), p.bridge, "-m", "comment", "--comment", a.comment(p), "-j", "ACCEPT"}
}

// parseLegacy reads the chain as the program lists it.
func (a admission) parseLegacy(list string) (drops bool, have []pass) {
	for line := range strings.Lines(list) {
		line = strings.TrimSpace(line)
		drops = drops || line == "-P FORWARD DROP"
		_, rest, _ := strings.Cut(line, "--comment \"")
		comment, _, _ := strings.Cut(rest, "\"")
		if p, ok := a.parse(comment); ok {
			have = append(have, p)
		}
	}
	return drops, have
}
