package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/docker/cli/cli/command"
	"github.com/google/nftables"
	ctypes "github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/berth-engine/berth/pkg/config"
)

// engine is what was read of the daemon and of what it made.
type engine struct {
	daemon     error // nil: it answers
	version    string
	containers map[string]bool // ID → it has, or is about to have, a process
	folders    []string        // DATA/containers
	steps      []string        // DATA/build/executor: of builds

	sandboxes []string // EXEC/net/sandboxes, by container or step
	pins      []string // EXEC/netns, likewise
	mounts    []string // below both roots
	shims     map[int]string
	tasks     []string // that containerd has a bundle of
	networks  []bridge
	veths     []veth
	elements  []element

	containerd error    // nil: it answers
	records    []string // Berth's containers in it
	snapshots  []string // and their writable ones
}

// bridge is what a network has on the host.
type bridge struct {
	network, name, table string
	link, firewall       bool // they are there
}

// veth is the host's end of a container's link.
type veth struct {
	name, bridge string
	owned        bool // its other end is in a pinned namespace
}

// element of the firewall that was made for a container.
type element struct{ table, set, owner string }

func lookAtEngine(ctx context.Context, c command.Cli, cfg *config.Config) engine {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	data, run := cfg.DataRoot, cfg.ExecRoot
	e := engine{
		folders: names(filepath.Join(data, "containers")), steps: names(filepath.Join(data, "build", "executor")),
		sandboxes: names(filepath.Join(run, "net", "sandboxes")), pins: names(filepath.Join(run, "netns")),
		mounts: mountsBelow(data, run),
	}
	for i, name := range e.sandboxes {
		e.sandboxes[i] = strings.TrimSuffix(name, ".json")
	}
	socket, state := cfg.Containerd, filepath.Join(run, "containerd")
	if socket == "" {
		socket = filepath.Join(state, "containerd.sock")
		e.tasks = names(filepath.Join(state, "io.containerd.runtime.v2.task", cfg.ContainerdNamespace))
	}
	e.shims = shims(socket, cfg.ContainerdNamespace)
	e.networks = bridges(filepath.Join(data, "networks"))
	e.veths = veths(e.networks, filepath.Join(run, "netns"), e.pins)
	e.elements = elements(e.networks)
	e.askContainerd(ctx, socket, cfg)
	e.askDaemon(ctx, c.Client())
	return e
}

func (e *engine) askDaemon(ctx context.Context, c client.APIClient) {
	v, err := c.ServerVersion(ctx, client.ServerVersionOptions{})
	if err != nil {
		e.daemon = err
		return
	}
	e.version = v.Version
	all, err := c.ContainerList(ctx, client.ContainerListOptions{All: true})
	if err != nil {
		e.daemon = err
		return
	}
	e.containers = make(map[string]bool, len(all.Items))
	for _, x := range all.Items {
		e.containers[x.ID] = x.State != ctypes.StateExited && x.State != ctypes.StateCreated && x.State != ctypes.StateDead
	}
}

// labelOwner is what Berth's containers and snapshots have in containerd.
const labelOwner = "berth-engine/container"

// askContainerd by its services: its client would be a third of this program.
func (e *engine) askContainerd(ctx context.Context, socket string, cfg *config.Config) {
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		e.containerd = err
		return
	}
	defer conn.Close()
	ctx = metadata.AppendToOutgoingContext(ctx, "containerd-namespace", cfg.ContainerdNamespace)
	filter := []string{`labels."` + labelOwner + `"==true`}
	all, err := containersapi.NewContainersClient(conn).List(ctx, &containersapi.ListContainersRequest{Filters: filter})
	if err != nil {
		e.containerd = err
		return
	}
	for _, c := range all.Containers {
		e.records = append(e.records, c.ID)
	}
	stream, err := snapshotsapi.NewSnapshotsClient(conn).List(ctx, &snapshotsapi.ListSnapshotsRequest{Snapshotter: cfg.StorageDriver, Filters: filter})
	for err == nil {
		var some *snapshotsapi.ListSnapshotsResponse
		if some, err = stream.Recv(); err == nil {
			for _, s := range some.Info {
				e.snapshots = append(e.snapshots, s.Name)
			}
		}
	}
	if !errors.Is(err, io.EOF) {
		e.containerd = err
	}
}

// names are those of a folder that need not be there.
func names(dir string) (all []string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return all
}

// mountsBelow are the mount points below folders.
func mountsBelow(dirs ...string) (all []string) {
	for l := range strings.Lines(read("/proc/self/mountinfo")) {
		f := strings.Fields(l)
		if len(f) < 5 {
			continue
		}
		for _, dir := range dirs {
			if strings.HasPrefix(f[4], dir+"/") {
				all = append(all, f[4])
			}
		}
	}
	return all
}

// shims are those of one containerd's namespace: the processes that upstream's
// manager starts as SHIM -namespace NS -id ID -address SOCKET.
func shims(socket, namespace string) map[int]string {
	all := map[int]string{}
	for _, dir := range names("/proc") {
		pid, err := strconv.Atoi(dir)
		if err != nil {
			continue
		}
		if id, ok := shimOf(strings.Split(read(filepath.Join("/proc", dir, "cmdline")), "\x00"), socket, namespace); ok {
			all[pid] = id
		}
	}
	return all
}

func shimOf(args []string, socket, namespace string) (id string, ok bool) {
	if name := filepath.Base(args[0]); name != "containerd-shim-berth-v2" && name != "containerd-shim-berth-task" {
		return "", false
	}
	value := func(flag string) string {
		if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
			return args[i+1]
		}
		return ""
	}
	id = value("-id")
	return id, id != "" && value("-namespace") == namespace && value("-address") == socket
}

// bridges are those that networks say they have.
func bridges(dir string) (all []bridge) {
	tables := map[string]bool{}
	if conn, err := nftables.New(); err == nil {
		list, _ := conn.ListTables() // checkNftables tells of errors
		for _, t := range list {
			tables[t.Name] = true
		}
	}
	for _, file := range names(dir) {
		if b, ok := parseNetwork([]byte(read(filepath.Join(dir, file)))); ok {
			_, err := os.Stat(filepath.Join("/sys/class/net", b.name, "bridge"))
			b.link, b.firewall = err == nil, tables[b.table]
			all = append(all, b)
		}
	}
	return all
}

// linkName is what the kernel takes for one.
var linkName = regexp.MustCompile(`^[!-.0-9;-~]{1,15}$`)

// parseNetwork reads the bridge and the table off a CNI configuration list of Berth's.
func parseNetwork(b []byte) (found bridge, ok bool) {
	var list struct {
		Name    string
		Plugins []struct{ Type, Bridge, Table string }
	}
	if json.Unmarshal(b, &list) != nil {
		return bridge{}, false
	}
	found.network = list.Name
	for _, p := range list.Plugins {
		switch p.Type {
		case "berth-bridge":
			found.name = p.Bridge
		case "berth-firewall":
			found.table = p.Table
		}
	}
	return found, linkName.MatchString(found.name) && found.name != "." && found.name != ".."
}

// veths are the host's ends of links at the bridges.
func veths(bridges []bridge, dir string, pins []string) (all []veth) {
	links, err := netlink.LinkList()
	for range 10 { // the list changed under the kernel's hand; what it has of it is not all
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
		links, err = netlink.LinkList()
	}
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil
	}
	masters := map[int]string{}
	for _, l := range links {
		if slices.ContainsFunc(bridges, func(b bridge) bool { return b.name == l.Attrs().Name }) {
			masters[l.Attrs().Index] = l.Attrs().Name
		}
	}
	pinned := map[int]bool{}
	for _, pin := range pins {
		if id, ok := namespaceID(filepath.Join(dir, pin)); ok {
			pinned[id] = true
		}
	}
	for _, l := range links {
		if master := masters[l.Attrs().MasterIndex]; master != "" && l.Type() == "veth" {
			all = append(all, veth{name: l.Attrs().Name, bridge: master, owned: pinned[l.Attrs().NetNsID]})
		}
	}
	return all
}

// namespaceID is the number by which links of this namespace name another.
func namespaceID(path string) (int, bool) {
	f, err := os.Open(path)
	if err != nil {
		return 0, false
	}
	defer f.Close()
	var st unix.Statfs_t
	if unix.Fstatfs(int(f.Fd()), &st) != nil || st.Type != unix.NSFS_MAGIC {
		return 0, false
	}
	id, err := netlink.GetNetNsIdByFd(int(f.Fd()))
	return id, err == nil && id >= 0
}

// elements are what the firewall has for containers: their comment is ID/LINK.
func elements(bridges []bridge) (all []element) {
	conn, err := nftables.New()
	if err != nil {
		return nil
	}
	done := map[string]bool{}
	for _, b := range bridges {
		if done[b.table] || !b.firewall {
			continue
		}
		done[b.table] = true
		t := &nftables.Table{Name: b.table, Family: nftables.TableFamilyINet}
		sets, err := conn.GetSets(t)
		if err != nil {
			continue // it went
		}
		for _, s := range sets {
			es, _ := conn.GetSetElements(s) // likewise
			for _, e := range es {
				if id, _, ok := strings.Cut(e.Comment, "/"); ok {
					all = append(all, element{table: b.table, set: s.Name, owner: id})
				}
			}
		}
	}
	return all
}
