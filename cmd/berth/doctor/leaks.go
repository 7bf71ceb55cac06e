package doctor

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/berth-engine/berth/pkg/version"
)

// atStart is what mends most: the daemon compares what is there with its records.
const atStart = "restart the daemon (systemctl restart berth): it drops what no container owns when it starts; containers run on"

// checkEngine tells of what answers.
func checkEngine(e engine) []Result { return []Result{checkDaemon(e), checkContainerd(e)} }

// suspects are faults that what is under way looks like for a moment: a container
// that starts has no shim yet, one that ends still has its namespace.
func suspects(e engine) []Result { return slices.Concat(deadShims(e), lostNetworks(e), leaks(e)) }

// innocent are the checks that none of the faults is of.
func innocent(e engine, faults []Result) (all []Result) {
	none := func(prefix string) bool {
		return !slices.ContainsFunc(faults, func(r Result) bool { return strings.HasPrefix(r.Check, prefix) })
	}
	if none("shims") {
		all = append(all, Result{Check: "shims", Status: OK, Detail: fmt.Sprintf("%d, of all that runs", len(e.shims))})
	}
	switch {
	case networksMayBeGone(e):
		all = append(all, Result{Check: "networks", Status: Skipped, Detail: "nothing runs"})
	case none("networks"):
		all = append(all, Result{Check: "networks", Status: OK, Detail: fmt.Sprintf("%d bridges with their firewall rules", len(e.networks))})
	}
	if none("leaked") {
		all = append(all, nothingLeft(e))
	}
	return all
}

func checkDaemon(e engine) Result {
	r := Result{Check: "daemon", Status: OK, Detail: "answers, version " + e.version}
	switch {
	case e.daemon != nil && len(e.shims) > 0:
		r.Status, r.Detail = Problem, fmt.Sprintf("%s; %d containers run without it", message(e.daemon), len(e.shims))
		r.Advice = "start it (systemctl start berth) and read its log (journalctl -u berth): it takes over what runs"
	case e.daemon != nil:
		r.Status, r.Detail, r.Advice = Problem, message(e.daemon), "start it (systemctl start berth) and read its log (journalctl -u berth)"
	case e.version != version.Version:
		r.Status, r.Detail, r.Advice = Warning, r.Detail+", and this is "+version.Version, "restart the daemon to have the version that is installed; containers run on"
	}
	return r
}

func checkContainerd(e engine) Result {
	if e.containerd == nil {
		return Result{Check: "containerd", Status: OK, Detail: fmt.Sprintf("answers, %d containers", len(e.records))}
	}
	if e.daemon != nil {
		return Result{Check: "containerd", Status: Skipped, Detail: "part of the daemon, which does not answer; snapshots are not looked at"}
	}
	return Result{Check: "containerd", Status: Problem, Detail: message(e.containerd), Advice: "see the daemon's log (journalctl -u berth), or that of the containerd that it was given"}
}

// deadShims: what runs has a shim, which has its log, its streams and its names.
func deadShims(e engine) (all []Result) {
	with := slices.Collect(maps.Values(e.shims))
	for _, id := range running(e) {
		if !slices.Contains(with, id) {
			all = append(all, Result{
				Check: "shims", Status: Problem, Detail: short(id) + " has no shim any more",
				Advice: "start the daemon if it does not run: it ends what has lost its shim and goes by the restart policy; else berth restart CONTAINER",
			})
		}
	}
	return all
}

// running are the containers that should have a shim: containerd's tasks, or what
// the daemon says runs.
func running(e engine) (ids []string) {
	ids = slices.Clone(e.tasks)
	for id, runs := range e.containers {
		if runs && slices.Contains(e.pins, id) && !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// networksMayBeGone: a daemon that ends takes them away when nothing runs.
func networksMayBeGone(e engine) bool { return e.daemon != nil && len(e.shims) == 0 }

// lostNetworks are those without their bridge or firewall rules.
func lostNetworks(e engine) (all []Result) {
	if networksMayBeGone(e) {
		return nil
	}
	add := func(what string) {
		all = append(all, Result{
			Check: "networks", Status: Problem, Detail: what + " is not there",
			Advice: "restart the daemon (systemctl restart berth), which makes it again; then restart the containers of the network",
		})
	}
	for _, b := range e.networks {
		if !b.link {
			add(fmt.Sprintf("bridge %s of network %s", b.name, b.network))
		}
		if b.table != "" && !b.firewall {
			add(fmt.Sprintf("firewall table %s of network %s", b.table, b.network))
		}
	}
	return all
}

// leaks are what no container owns.
func leaks(e engine) (all []Result) {
	alive := owners(e)
	add := func(check, what, id, advice string) {
		all = append(all, Result{Check: check, Status: Problem, Detail: fmt.Sprintf("%s of %s, which does not run", what, short(id)), Advice: advice})
	}
	for _, id := range e.pins {
		if !alive[id] {
			add("leaked namespaces", "network namespace", id, atStart)
		}
	}
	for _, id := range e.sandboxes {
		if !alive[id] && !slices.Contains(e.pins, id) {
			add("leaked networks", "record of the network", id, atStart)
		}
	}
	for _, m := range e.mounts {
		if id, ok := ownerOf(m); ok && !alive[id] && filepath.Base(filepath.Dir(m)) != "netns" {
			add("leaked mounts", "mount "+m, id, atStart+"; what stays: umount")
		}
	}
	for _, v := range e.veths {
		if !v.owned {
			all = append(all, Result{Check: "leaked links", Status: Problem, Detail: fmt.Sprintf("link %s at %s, with no container at its end", v.name, v.bridge), Advice: "ip link del " + v.name})
		}
	}
	for _, x := range e.elements {
		if !alive[x.owner] {
			add("leaked firewall rules", "element of "+x.table+" "+x.set, x.owner, atStart)
		}
	}
	for _, pid := range slices.Sorted(maps.Keys(e.shims)) {
		if id := e.shims[pid]; e.daemon == nil && !alive[id] {
			add("leaked shims", fmt.Sprintf("shim with PID %d", pid), id, atStart)
		}
	}
	return append(all, leakedRecords(e)...)
}

// leakedRecords are what containerd has for containers that there are not at all.
func leakedRecords(e engine) (all []Result) {
	known := map[string]bool{}
	for _, id := range e.folders {
		known[id] = true
	}
	for id := range e.containers {
		known[id] = true
	}
	for _, id := range e.records {
		if !known[id] {
			all = append(all, Result{Check: "leaked records", Status: Problem, Detail: "containerd's record of " + short(id) + ", which is no container", Advice: atStart})
		}
	}
	for _, id := range e.snapshots {
		if !known[id] {
			all = append(all, Result{Check: "leaked snapshots", Status: Problem, Detail: "snapshot of " + short(id) + ", which is no container", Advice: atStart})
		}
	}
	return all
}

// owners are the containers and build steps that may have something in the kernel:
// by what the daemon says, or what runs when it does not answer.
func owners(e engine) map[string]bool {
	alive := map[string]bool{}
	for id, runs := range e.containers {
		alive[id] = runs
	}
	if e.daemon != nil {
		for _, id := range e.shims {
			alive[id] = true
		}
		for _, id := range e.tasks {
			alive[id] = true
		}
	}
	for _, id := range e.steps {
		alive[id] = true
	}
	// Of a step, until its bundle is there.
	for _, id := range e.sandboxes {
		if strings.HasPrefix(id, "build-") && e.daemon == nil {
			alive[id] = true
		}
	}
	return alive
}

// ownerOf finds the container's ID in the path of a mount. Other mounts below the
// roots are builds', the administrator's, or volumes', whose names look like IDs.
func ownerOf(path string) (id string, ok bool) {
	if strings.Contains(path, "/volumes/") && !strings.Contains(path, "/volumes/.") {
		return "", false
	}
	for part := range strings.SplitSeq(path, "/") {
		if len(part) == 64 && strings.Trim(part, "0123456789abcdef") == "" {
			return part, true
		}
	}
	return "", false
}

func nothingLeft(e engine) Result {
	r := Result{Check: "leaks", Status: OK, Detail: "no mounts, namespaces, links, firewall rules, shims or snapshots without a container"}
	if e.containerd != nil {
		r.Detail = "no mounts, namespaces, links, firewall rules or shims without a container"
	}
	return r
}

// short is a container's ID as lists show it.
func short(id string) string {
	if _, ok := ownerOf(id); ok {
		return id[:12]
	}
	return id
}
