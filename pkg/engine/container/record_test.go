package container

import (
	"reflect"
	"testing"

	"github.com/moby/moby/api/types/mount"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// TestLoosen: only what the container of an old client mounts itself.
func TestLoosen(t *testing.T) {
	mounts := []specs.Mount{
		{Destination: "/own", Options: []string{"rbind", "ro", "rro"}},
		{Destination: "/theirs", Options: []string{"rbind", "ro", "rro"}},
	}
	shared := []mount.Mount{
		{Type: mount.TypeBind, Target: "/own", ReadOnly: true, BindOptions: &mount.BindOptions{CreateMountpoint: true}},
		{Type: mount.TypeBind, Target: "/writable"},
		{Type: mount.TypeVolume, Target: "/volume", ReadOnly: true},
		{Type: mount.TypeBind, Target: "/theirs", ReadOnly: true},
	}
	r := &Record{Shared: []mount.Mount{{Target: "/theirs"}}}
	if !reflect.DeepEqual(r.Loosen(mounts), mounts) || !reflect.DeepEqual(r.LoosenShared(shared), shared) {
		t.Error("mounts of a newer client are changed")
	}
	r.ReadOnlyNonRecursive = true
	if got := r.Loosen(mounts); !reflect.DeepEqual(got[0].Options, []string{"rbind", "ro"}) || !reflect.DeepEqual(got[1], mounts[1]) {
		t.Errorf("got %v", got)
	}
	if len(mounts[0].Options) != 3 {
		t.Error("what was given is written to")
	}
	got := r.LoosenShared(shared)
	if o := got[0].BindOptions; !o.ReadOnlyNonRecursive || !o.CreateMountpoint {
		t.Errorf("options %+v", o)
	}
	if !reflect.DeepEqual(got[1:], shared[1:]) || shared[0].BindOptions.ReadOnlyNonRecursive {
		t.Errorf("got %v, given %v", got, shared)
	}
}
