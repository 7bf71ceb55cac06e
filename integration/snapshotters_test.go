package integration

import (
	"net"
	"path/filepath"
	"testing"

	"github.com/berth-engine/berth/integration/harness"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/v2/contrib/snapshotservice"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"google.golang.org/grpc"
)

// TestSnapshotters: images are loaded, run and committed on each kind of snapshotter
// that a flag can name; one of another process is this process.
func TestSnapshotters(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	far, err := native.NewSnapshotter(filepath.Join(dir, "far"))
	if err != nil {
		t.Fatal(err)
	}
	server, socket := grpc.NewServer(), filepath.Join(dir, "far.sock")
	snapshotsapi.RegisterSnapshotsServer(server, snapshotservice.FromSnapshotter(far))
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
		if err := far.Close(); err != nil {
			t.Error(err)
		}
	})
	for name, flags := range map[string][]string{
		"overlayfs": nil,
		"native":    {"--storage-driver", "native"},
		"far":       {"--storage-driver", "far", "--proxy-snapshotter", "far=" + socket},
	} {
		t.Run(name, func(t *testing.T) {
			d := start(t, harness.Options{Flags: flags})
			s := script{t, d, harness.BerthCLI()}
			s.is(name, "info", "-f", "{{.Driver}}")
			s.ok("run", "--name", "box", image, "sh", "-c", "echo kept >/kept")
			s.ok("commit", "box", "made")
			s.is("kept", "run", "--rm", "made", "cat", "/kept")
			s.ok("rm", "box")
			s.ok("rmi", "made", image)
			s.is("", "images", "-q")
		})
	}
}
