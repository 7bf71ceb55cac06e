package runtime

import (
	"cmp"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	runcoptions "github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"google.golang.org/protobuf/types/known/anypb"
)

// binaries are the OCI runtimes that containers may have.
type binaries struct {
	options  map[string]*anypb.Any // name → what its shim is told
	standard string                // name of the one for containers that name none
}

func newBinaries(c Config, all map[string]Binary, standard string) (*binaries, error) {
	known := &binaries{options: make(map[string]*anypb.Any, len(all)), standard: standard}
	for name, b := range all {
		o := &runcoptions.Options{BinaryName: b.Path}
		if c.State != "" {
			// The OCI runtime's own state beside containerd's, so that two
			// engines on one host never meet.
			o.Root = ociRoot(c)
		}
		var err error
		if known.options[name], err = typeurl.MarshalAnyToProto(o); err != nil {
			return nil, fmt.Errorf("runtime %s: %w", name, err)
		}
	}
	return known, nil
}

func checkBinaries(all map[string]Binary, standard string) error {
	if _, ok := all[standard]; !ok {
		return errdefs.ErrInvalidArgument.WithMessage("specified default runtime '" + standard + "' does not exist")
	}
	for name, b := range all {
		if !filepath.IsAbs(b.Path) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("runtime: the path %q of runtime %s is not absolute", b.Path, name))
		}
	}
	return nil
}

// find returns the options of the OCI runtime of that name, "" the default.
func (b *binaries) find(name string) (*anypb.Any, error) {
	if o, ok := b.options[cmp.Or(name, b.standard)]; ok {
		return o, nil
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage("unknown or invalid runtime name: " + name)
}

// SetRuntimes replaces the OCI runtimes, for tasks that are made from now on: those
// that are there keep theirs. InvalidArgument, and nothing is changed, when the default is
// not among them.
func (r *containerTasks) SetRuntimes(all map[string]Binary, standard string) error {
	if err := checkBinaries(all, standard); err != nil {
		return err
	}
	known, err := newBinaries(r.config, all, standard)
	if err == nil {
		r.known.Store(known)
	}
	return err
}

// Runtimes are the names of the OCI runtimes, sorted, and which is the default.
func (r *containerTasks) Runtimes() (names []string, standard string) {
	known := r.known.Load()
	return slices.Sorted(maps.Keys(known.options)), known.standard
}
