package cdi

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

const vendor = `{"cdiVersion": "0.6.0", "kind": "vendor.com/thing", "devices": [
	{"name": "one", "containerEdits": {"env": ["THING=one"], "mounts": [{"hostPath": "/etc/hostname", "containerPath": "/thing", "options": ["ro", "bind"]}]}}
]}`

const graphics = `{"cdiVersion": "0.6.0", "kind": "nvidia.com/gpu", "devices": [
	{"name": "0", "containerEdits": {"env": ["GPU0=1"]}}, {"name": "1", "containerEdits": {"env": ["GPU1=1"]}},
	{"name": "10", "containerEdits": {"env": ["GPU10=1"]}}, {"name": "GPU-abc", "containerEdits": {"env": ["GPU0=1"]}},
	{"name": "all", "containerEdits": {"env": ["GPUS=all"]}}
]}`

func dirs(t *testing.T, files map[string]string) Dirs {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return Dirs{dir}
}

func TestInject(t *testing.T) {
	d := dirs(t, map[string]string{"vendor.json": vendor, "gpu.json": graphics})
	gpu := [][]string{{"gpu"}}
	for _, c := range []struct {
		name    string
		request container.DeviceRequest
		env     []string
		fails   string
	}{
		{"by name", container.DeviceRequest{Driver: "cdi", DeviceIDs: []string{"vendor.com/thing=one"}}, []string{"A=1", "THING=one"}, ""},
		{"all", container.DeviceRequest{Count: -1, Capabilities: gpu}, []string{"A=1", "GPUS=all"}, ""},
		{"two", container.DeviceRequest{Count: 2, Capabilities: gpu}, []string{"A=1", "GPU0=1", "GPU1=1"}, ""},
		{"chosen", container.DeviceRequest{Driver: "nvidia", DeviceIDs: []string{"10"}, Capabilities: gpu}, []string{"A=1", "GPU10=1"}, ""},
		{"too many", container.DeviceRequest{Count: 4, Capabilities: gpu}, nil, "4 devices of nvidia.com/gpu are requested, there are 3"},
		{"no such device", container.DeviceRequest{Driver: "cdi", DeviceIDs: []string{"vendor.com/thing=two"}}, nil, "CDI device injection failed: unresolvable CDI devices vendor.com/thing=two"},
		{"no such gpu", container.DeviceRequest{DeviceIDs: []string{"7"}, Capabilities: gpu}, nil, "unresolvable CDI devices nvidia.com/gpu=7"},
		{"no name", container.DeviceRequest{Driver: "cdi", DeviceIDs: []string{"thing"}}, nil, `invalid CDI device name "thing"`},
		{"a count of names", container.DeviceRequest{Driver: "cdi", Count: 1}, nil, "unexpected count in CDI device request"},
		{"options", container.DeviceRequest{Driver: "cdi", Options: map[string]string{"a": "b"}}, nil, "unexpected options in CDI device request"},
		{"both", container.DeviceRequest{Count: 1, DeviceIDs: []string{"0"}, Capabilities: gpu}, nil, "cannot set both Count and DeviceIDs on device request"},
		{"another vendor", container.DeviceRequest{Driver: "amd", Count: -1, Capabilities: gpu}, nil, `could not select device driver "amd" with capabilities: [[gpu]]`},
		{"another capability", container.DeviceRequest{Capabilities: [][]string{{"tpu"}}}, nil, `could not select device driver "" with capabilities: [[tpu]]`},
	} {
		t.Run(c.name, func(t *testing.T) {
			given := &specs.Spec{Process: &specs.Process{Env: append(make([]string, 0, 8), "A=1")}, Linux: &specs.Linux{}}
			requests := []container.DeviceRequest{c.request}
			got, err := d.Inject(given, requests)
			if c.fails != "" {
				if !errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("%v", err)
				}
				if checked := d.Check(requests); checked == nil || checked.Error() != err.Error() {
					t.Errorf("checked: %v", checked)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got.Process.Env, c.env) {
				t.Fatalf("%+v, %v", got, err)
			}
			if len(given.Process.Env) != 1 || given.Process.Env[:2][1] != "" {
				t.Error("the given specification was changed")
			}
			if err := d.Check(requests); err != nil {
				t.Errorf("checked: %v", err)
			}
		})
	}
	if s := (&specs.Spec{}); d.Check(nil) != nil {
		t.Error("nothing asked for")
	} else if got, err := d.Inject(s, nil); got != s || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// The device may be in the file that cannot be read.
func TestBrokenFile(t *testing.T) {
	d := dirs(t, map[string]string{"vendor.json": "{"})
	err := d.Check([]container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"vendor.com/thing=one"}}})
	if err == nil || !strings.Contains(err.Error(), "vendor.json") {
		t.Error(err)
	}
}
