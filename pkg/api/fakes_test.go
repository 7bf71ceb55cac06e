package api_test

import (
	"context"
	"io"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/berth-engine/berth/pkg/api"
	apibuild "github.com/berth-engine/berth/pkg/api/build"
	apicontainers "github.com/berth-engine/berth/pkg/api/containers"
	apiexec "github.com/berth-engine/berth/pkg/api/exec"
	apiimages "github.com/berth-engine/berth/pkg/api/images"
	apinetworks "github.com/berth-engine/berth/pkg/api/networks"
	apiplugins "github.com/berth-engine/berth/pkg/api/plugins"
	apiregistry "github.com/berth-engine/berth/pkg/api/registry"
	apiswarm "github.com/berth-engine/berth/pkg/api/swarm"
	apisystem "github.com/berth-engine/berth/pkg/api/system"
	apivolumes "github.com/berth-engine/berth/pkg/api/volumes"
	"github.com/berth-engine/berth/pkg/engine"
	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/berth-engine/berth/pkg/filters"
	"github.com/berth-engine/berth/pkg/images"
	"github.com/berth-engine/berth/pkg/images/catalog"
	"github.com/berth-engine/berth/pkg/version"
	"github.com/containerd/errdefs"
	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/build"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/events"
	"github.com/moby/moby/api/types/image"
	"github.com/moby/moby/api/types/jsonstream"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/api/types/storage"
	"github.com/moby/moby/api/types/system"
	"github.com/moby/moby/api/types/volume"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const someID = "4bc2f3a9d6e1c07b58a1f0d2e3c4b5a697887766554433221100ffeeddccbbaa"

// fakeEngine has one container, "web". Tests replace what they look at.
type fakeEngine struct {
	*journal
	created engine.CreateRequest
	stopped engine.StopOptions
	listed  engine.ListOptions
	logged  engine.LogsOptions

	terminal  bool // of its execs
	archived  string
	unpacked  contents.WriteOptions
	committed contents.CommitOptions

	measured engine.StatsOptions
	updated  *container.UpdateConfig

	attach func(ctx context.Context, o engine.AttachOptions, open engine.OpenConn) error
	logs   func(open engine.OpenWriter) error
	wait   func(ctx context.Context, registered func()) (container.WaitResponse, error)
	start  func() error
}

func known(ref string) error {
	if ref == "web" || ref == someID {
		return nil
	}
	return errdefs.ErrNotFound.WithMessage("No such container: " + ref)
}

func (f *fakeEngine) Create(_ context.Context, r engine.CreateRequest) (container.CreateResponse, error) {
	f.note("Create", r)
	f.created = r
	return container.CreateResponse{ID: someID}, nil
}

func (f *fakeEngine) Start(_ context.Context, ref string) error {
	f.note("Start", ref)
	if f.start != nil {
		return f.start()
	}
	return known(ref)
}

func (f *fakeEngine) Stop(_ context.Context, ref string, o engine.StopOptions) error {
	f.note("Stop", ref, o)
	f.stopped = o
	return known(ref)
}

func (f *fakeEngine) Restart(_ context.Context, ref string, o engine.StopOptions) error {
	f.note("Restart", ref, o)
	f.stopped = o
	return known(ref)
}

func (f *fakeEngine) Kill(_ context.Context, ref, signal string) error {
	f.note("Kill", ref, signal)
	return known(ref)
}

func (f *fakeEngine) Pause(_ context.Context, ref string) error   { return known(ref) }
func (f *fakeEngine) Unpause(_ context.Context, ref string) error { return known(ref) }

func (f *fakeEngine) Rename(_ context.Context, ref, name string) error {
	f.note("Rename", ref, name)
	return known(ref)
}

func (f *fakeEngine) Remove(_ context.Context, ref string, o engine.RemoveOptions) error {
	f.note("Remove", ref, o)
	return known(ref)
}

func (f *fakeEngine) Update(_ context.Context, ref string, c *container.UpdateConfig) (container.UpdateResponse, error) {
	f.note("Update", ref, c)
	f.updated = c
	return container.UpdateResponse{}, known(ref)
}

func (f *fakeEngine) Prune(_ context.Context, args filters.Args) (container.PruneReport, error) {
	f.note("Prune", args)
	return container.PruneReport{ContainersDeleted: []string{someID}, SpaceReclaimed: 1}, nil
}

func (f *fakeEngine) Top(_ context.Context, ref, options string) (container.TopResponse, error) {
	f.note("Top", ref, options)
	return container.TopResponse{Titles: []string{"PID", "CMD"}, Processes: [][]string{{"7", "httpd -f"}}}, known(ref)
}

func (f *fakeEngine) Stats(_ context.Context, ref string, o engine.StatsOptions, send func(container.StatsResponse) error) error {
	f.note("Stats", ref, o)
	f.measured = o
	if err := known(ref); err != nil {
		return err
	}
	return send(container.StatsResponse{ID: someID, Name: "/web", OSType: "linux"})
}

func (f *fakeEngine) Resize(_ context.Context, ref string, height, width uint32) error {
	f.note("Resize", ref, height, width)
	return known(ref)
}

func (f *fakeEngine) Wait(ctx context.Context, ref string, condition container.WaitCondition, registered func()) (container.WaitResponse, error) {
	f.note("Wait", ref, condition)
	if err := known(ref); err != nil {
		return container.WaitResponse{}, err
	}
	if f.wait != nil {
		return f.wait(ctx, registered)
	}
	registered()
	return container.WaitResponse{StatusCode: 3}, nil
}

func (f *fakeEngine) List(_ context.Context, o engine.ListOptions) ([]container.Summary, error) {
	f.note("List", o)
	f.listed = o
	s := container.Summary{
		ID: someID, Names: []string{"/web"}, Image: "busybox", ImageID: "sha256:" + someID, Command: "httpd",
		Created: 1, State: container.StateRunning, Status: "Up 1 second",
		Ports: []container.PortSummary{{PrivatePort: 80, Type: "tcp"},
			{IP: netip.MustParseAddr("0.0.0.0"), PrivatePort: 81, PublicPort: 8081, Type: "tcp"}},
		Health:                  &container.HealthSummary{Status: container.Healthy},
		ImageManifestDescriptor: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest},
		NetworkSettings:         &container.NetworkSettingsSummary{Networks: map[string]*network.EndpointSettings{"bridge": {}}},
	}
	s.HostConfig.Annotations = map[string]string{"a": "b"}
	return []container.Summary{s}, nil
}

func (f *fakeEngine) Inspect(_ context.Context, ref string, size bool) (container.InspectResponse, error) {
	f.note("Inspect", ref, size)
	ep := &network.EndpointSettings{IPAddress: netip.MustParseAddr("172.18.0.2"), IPPrefixLen: 16, Aliases: []string{"alias"}}
	return container.InspectResponse{
		ID: someID, Created: "2026-01-02T03:04:05Z", Path: "httpd", Args: []string{}, Name: "/web",
		State:      &container.State{Status: container.StateRunning, Running: true, StartedAt: "2026-01-02T03:04:05Z", FinishedAt: "0001-01-01T00:00:00Z"},
		Image:      "sha256:" + someID,
		HostConfig: &container.HostConfig{NetworkMode: "bridge", CgroupnsMode: "private", RestartPolicy: container.RestartPolicy{Name: "no"}, LogConfig: container.LogConfig{Type: "json-file"}},
		Config:     &container.Config{Hostname: "host", Image: "busybox"},
		Mounts:     []container.MountPoint{},
		Storage:    &storage.Storage{RootFS: &storage.RootFSStorage{Snapshot: &storage.RootFSStorageSnapshot{Name: "overlayfs"}}},
		NetworkSettings: &container.NetworkSettings{
			Ports:    network.PortMap{network.MustParsePort("80/tcp"): nil},
			Networks: map[string]*network.EndpointSettings{"bridge": ep, "mine": ep.Copy()},
		},
		ImageManifestDescriptor: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest},
	}, known(ref)
}

func (f *fakeEngine) Logs(_ context.Context, ref string, o engine.LogsOptions, open engine.OpenWriter) error {
	f.note("Logs", ref, o)
	f.logged = o
	if err := known(ref); err != nil {
		return err
	}
	if f.logs != nil {
		return f.logs(open)
	}
	w, err := open(false)
	if err == nil {
		_, err = io.WriteString(w, "\x01\x00\x00\x00\x00\x00\x00\x03hi\n")
	}
	return err
}

func (f *fakeEngine) Attach(ctx context.Context, ref string, o engine.AttachOptions, open engine.OpenConn) error {
	f.note("Attach", ref, o)
	if err := known(ref); err != nil {
		return err
	}
	if f.attach != nil {
		return f.attach(ctx, o, open)
	}
	conn, err := open(true)
	if err == nil {
		_, err = io.WriteString(conn, "hello\n")
	}
	return err
}

func (f *fakeEngine) ExecCreate(_ context.Context, ref string, c container.ExecCreateRequest) (string, error) {
	f.note("ExecCreate", ref, c)
	return someID, known(ref)
}

func (f *fakeEngine) ExecStart(_ context.Context, id string, o engine.ExecStartOptions, open engine.OpenConn) error {
	f.note("ExecStart", id, o)
	if id != someID {
		return errdefs.ErrNotFound.WithMessage("No such exec instance: " + id)
	}
	if o.Detach {
		return nil
	}
	conn, err := open(o.Tty || f.terminal)
	if err == nil {
		_, err = io.Copy(conn, conn)
	}
	return err
}

func (f *fakeEngine) ExecInspect(_ context.Context, id string) (container.ExecInspectResponse, error) {
	f.note("ExecInspect", id)
	return container.ExecInspectResponse{ID: id, ContainerID: someID, ProcessConfig: &container.ExecProcessConfig{Entrypoint: "sh"}}, nil
}

func (f *fakeEngine) ExecResize(_ context.Context, id string, height, width uint32) error {
	f.note("ExecResize", id, height, width)
	return nil
}

// fakeImages has one image.
type fakeImages struct {
	*journal
	pulled    string
	options   images.PullOptions
	imported  images.ImportOptions
	tagged    string
	platforms []ocispec.Platform
	saved     []string
	pushed    string
	quiet     bool
	listed    catalog.ListOptions
	load      func(r io.Reader, progress func(jsonstream.Message) error) error
}

func (f *fakeImages) List(_ context.Context, o catalog.ListOptions) ([]image.Summary, error) {
	f.note("List", o)
	f.listed = o
	return []image.Summary{{ID: "sha256:" + someID, Size: 7, Created: 1, SharedSize: -1, Containers: 2, Labels: map[string]string{},
		Descriptor: &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest}}}, nil
}

func (f *fakeImages) Inspect(_ context.Context, ref string, o catalog.InspectOptions) (image.InspectResponse, error) {
	f.note("Inspect", ref, o)
	return image.InspectResponse{
		ID: "sha256:" + someID, Architecture: "amd64", Os: "linux", Size: 7,
		Config:      &dockerspec.DockerOCIImageConfig{ImageConfig: ocispec.ImageConfig{Cmd: []string{"sh"}}},
		Descriptor:  &ocispec.Descriptor{MediaType: ocispec.MediaTypeImageManifest},
		GraphDriver: &storage.DriverData{Name: "overlayfs"},
		RootFS:      image.RootFS{Type: "layers"},
		Identity:    &image.Identity{},
	}, nil
}

func (f *fakeImages) Attestations(_ context.Context, ref string, o catalog.AttestationOptions) ([]image.AttestationStatement, error) {
	f.note("Attestations", ref, o)
	return []image.AttestationStatement{{Descriptor: ocispec.Descriptor{MediaType: "application/vnd.in-toto+json", Digest: "sha256:" + someID, Size: 7}, PredicateType: "https://slsa.dev/provenance/v1"}}, nil
}

func (f *fakeImages) History(_ context.Context, ref string, platform *ocispec.Platform) ([]image.HistoryResponseItem, error) {
	f.note("History", ref, platform)
	return []image.HistoryResponseItem{{ID: "<missing>", Created: 1, CreatedBy: "sh"}}, nil
}

func (f *fakeImages) Tag(_ context.Context, ref, newRef string) error {
	f.note("Tag", ref, newRef)
	f.tagged = newRef
	return nil
}

func (f *fakeImages) Remove(_ context.Context, ref string, force, prune bool) ([]image.DeleteResponse, error) {
	f.note("Remove", ref, force, prune)
	return []image.DeleteResponse{{Untagged: "busybox:latest"}}, nil
}

func (f *fakeImages) RemovePlatforms(_ context.Context, ref string, ps []ocispec.Platform, force bool) ([]image.DeleteResponse, error) {
	f.note("RemovePlatforms", ref, ps, force)
	f.platforms = ps
	return []image.DeleteResponse{{Deleted: "sha256:" + someID}}, nil
}

func (f *fakeImages) Load(_ context.Context, r io.Reader, quiet bool, platforms []ocispec.Platform, progress func(jsonstream.Message) error) error {
	f.note("Load", quiet, platforms)
	f.quiet = quiet
	if f.load != nil {
		return f.load(r, progress)
	}
	return progress(jsonstream.Message{Stream: "Loaded image: busybox:latest\n"})
}

func (f *fakeImages) Import(_ context.Context, _ io.Reader, o images.ImportOptions, progress func(jsonstream.Message) error) error {
	f.note("Import", o)
	f.imported = o
	return progress(jsonstream.Message{Status: "sha256:" + someID})
}

func (f *fakeImages) Save(_ context.Context, refs []string, platforms []ocispec.Platform, w io.Writer) error {
	f.note("Save", refs, platforms)
	f.saved = refs
	_, err := io.WriteString(w, "archive")
	return err
}

func (f *fakeImages) Pull(_ context.Context, ref string, o images.PullOptions, progress func(jsonstream.Message) error) error {
	f.note("Pull", ref, o)
	f.pulled, f.options = ref, o
	return progress(jsonstream.Message{Status: "Pulling", ID: "latest"})
}

func (f *fakeImages) Push(_ context.Context, ref string, o images.PushOptions, progress func(jsonstream.Message) error) error {
	f.note("Push", ref, o)
	f.pushed = ref
	return progress(jsonstream.Message{Status: "Pushing", ID: "latest"})
}

func (f *fakeImages) Prune(_ context.Context, args filters.Args) (image.PruneReport, error) {
	f.note("Prune", args)
	return image.PruneReport{ImagesDeleted: []image.DeleteResponse{{Deleted: "sha256:" + someID}}, SpaceReclaimed: 7}, nil
}

// fakeDaemon tells of two events.
type fakeDaemon struct {
	*journal
	since, until time.Time
}

func (f *fakeDaemon) Info(_ context.Context) (system.Info, error) {
	f.note("Info")
	return system.Info{ID: "id", Name: "host", DriverStatus: [][2]string{}, CgroupDriver: "cgroupfs", CgroupVersion: "1", NRI: &system.NRIInfo{}, Containerd: &system.ContainerdInfo{},
		FirewallBackend:   &system.FirewallInfo{Driver: "nftables"},
		DiscoveredDevices: []system.DeviceInfo{{Source: "cdi", ID: "x"}},
		Runtimes:          map[string]system.RuntimeWithStatus{"runc": {Runtime: system.Runtime{Path: "runc"}, Status: map[string]string{"a": "b"}}}}, nil
}

func (f *fakeDaemon) Usage(_ context.Context, kinds []system.DiskUsageObject) (system.DiskUsage, error) {
	f.note("Usage", kinds)
	return system.DiskUsage{
		ImageUsage:      &image.DiskUsage{Items: []image.Summary{{ID: "sha256:" + someID}}, TotalCount: 1, TotalSize: 7},
		ContainerUsage:  &container.DiskUsage{Items: []container.Summary{{ID: someID, Names: []string{"/web"}, State: "running", NetworkSettings: &container.NetworkSettingsSummary{Networks: map[string]*network.EndpointSettings{}}}}, TotalCount: 1},
		VolumeUsage:     &volume.DiskUsage{Items: []volume.Volume{{Name: "data", Driver: "local", Scope: "local", Mountpoint: "/m", Labels: map[string]string{}, Options: map[string]string{}, UsageData: &volume.UsageData{Size: 1}}}, TotalCount: 1},
		BuildCacheUsage: &build.DiskUsage{Items: []build.CacheRecord{{ID: "x", Type: "regular"}}, TotalCount: 1},
	}, nil
}

func (f *fakeDaemon) Version(_ context.Context) (system.VersionResponse, error) {
	f.note("Version")
	return system.VersionResponse{Version: "0.1", APIVersion: version.MaxAPI, MinAPIVersion: version.MinAPI, Os: "linux", Arch: "amd64"}, nil
}

func (f *fakeDaemon) Events(_ context.Context, since, until time.Time, args filters.Args, registered func(), each func(events.Message) error) error {
	f.note("Events", since, until, args)
	if err := args.Validate("type", "event", "container", "label"); err != nil {
		return err
	}
	f.since, f.until = since, until
	registered()
	for _, m := range []events.Message{
		{Type: events.ContainerEventType, Action: events.ActionStart, Actor: events.Actor{ID: someID, Attributes: map[string]string{"image": "busybox"}}, Scope: "local", Time: 1, TimeNano: 1},
		{Type: events.ImageEventType, Action: events.ActionCreate, Actor: events.Actor{ID: "busybox"}, Scope: "local", Time: 2, TimeNano: 2},
	} {
		if err := each(m); err != nil {
			return err
		}
	}
	return nil
}

type fakes struct {
	journal *journal
	engine  *fakeEngine
	images  *fakeImages
	daemon  *fakeDaemon
	volumes *fakeVolumes
	classic *fakeClassic

	checkpoints *fakeCheckpoints
}

func newFakes() fakes {
	j := &journal{}
	return fakes{j, &fakeEngine{journal: j}, &fakeImages{journal: j}, &fakeDaemon{journal: j}, &fakeVolumes{journal: j}, &fakeClassic{journal: j}, &fakeCheckpoints{}}
}

// routes are those that berthd serves.
func (f fakes) routes() []api.Route {
	return slices.Concat(
		apicontainers.Routes(apicontainers.Backend{
			Registry: f.engine, Lifecycle: f.engine, Freezer: f.engine, Reader: f.engine, Watcher: f.engine, Streamer: f.engine,
			Archiver: f.engine, Differ: f.engine, Checkpoints: f.checkpoints,
		}),
		apiexec.Routes(f.engine),
		apiimages.Routes(apiimages.Backend{Reader: f.images, Writer: f.images, Mover: f.images}),
		apiregistry.Routes(fakeRegistries{f.journal}),
		apinetworks.Routes(fakeNetworks{f.journal}, fakeNetworks{f.journal}),
		apivolumes.Routes(f.volumes),
		apiplugins.Routes(), apiswarm.Routes(),
		apisystem.Routes(f.daemon, apisystem.Ping{Builder: "2"}),
		apibuild.Routes(apibuild.Backend{Builder: fakeBuilder{f.journal}, Classic: f.classic}),
	)
}

func newServer(tb testing.TB, routes []api.Route) *api.Server {
	tb.Helper()
	s, err := api.New(api.Config{Version: "0.1", MinAPI: version.MinAPI, MaxAPI: version.MaxAPI, Routes: routes})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}
