// Package cdi gives containers the devices that vendors describe in files of the
// Container Device Interface (https://github.com/cncf-tags/container-device-interface):
// nodes, mounts, variables and hooks, by names like vendor.com/class=device. The
// files are the operator's, who is root: what they say is done. They are read when a
// container asks for devices or a client for what there is, and at no other time.
package cdi

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	specs "github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"
	"tags.cncf.io/container-device-interface/pkg/parser"
)

// gpus are the kinds that --gpus means, the first that exists.
var gpus = []string{"nvidia.com/gpu", "amd.com/gpu"}

// Dirs hold the files; what the last one says of a device wins.
type Dirs []string

// Check says whether requests can be met. InvalidArgument: they cannot.
func (d Dirs) Check(requests []container.DeviceRequest) error {
	if len(requests) == 0 {
		return nil
	}
	_, err := d.inject(&specs.Spec{}, requests)
	return err
}

// Inject gives the specification with what the requested devices need. s itself
// stays as it is.
func (d Dirs) Inject(s *specs.Spec, requests []container.DeviceRequest) (*specs.Spec, error) {
	if len(requests) == 0 {
		return s, nil
	}
	return d.inject(s, requests)
}

// Devices lists what the folders describe, by full name, sorted.
func (d Dirs) Devices() ([]string, error) {
	if len(d) == 0 {
		return nil, nil
	}
	cache, err := cdi.NewCache(cdi.WithSpecDirs(d...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil, fmt.Errorf("CDI registry: %w", err)
	}
	return cache.ListDevices(), nil
}

func (d Dirs) inject(s *specs.Spec, requests []container.DeviceRequest) (*specs.Spec, error) {
	cache, err := cdi.NewCache(cdi.WithSpecDirs(d...), cdi.WithAutoRefresh(false))
	if err != nil {
		return nil, fmt.Errorf("CDI registry: %w", err)
	}
	var names []string
	for _, r := range requests {
		more, err := resolve(r, cache.ListDevices())
		if err != nil {
			return nil, err
		}
		names = append(names, more...)
	}
	b, err := json.Marshal(s) // a copy: parts of s may be shared
	if err != nil {
		return nil, err
	}
	out := &specs.Spec{}
	if err := json.Unmarshal(b, out); err != nil {
		return nil, err
	}
	if _, err := cache.InjectDevices(out, names...); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("CDI device injection failed: %v%s", err, broken(cache)))
	}
	return out, nil
}

// resolve gives the names that a request asks for, of those that are known.
func resolve(r container.DeviceRequest, known []string) ([]string, error) {
	if r.Driver == "cdi" {
		switch {
		case r.Count != 0:
			return nil, errdefs.ErrInvalidArgument.WithMessage("unexpected count in CDI device request")
		case len(r.Options) > 0:
			return nil, errdefs.ErrInvalidArgument.WithMessage("unexpected options in CDI device request")
		}
		for _, name := range r.DeviceIDs {
			if !parser.IsQualifiedName(name) {
				return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid CDI device name %q: VENDOR/CLASS=DEVICE is one", name))
			}
		}
		return r.DeviceIDs, nil
	}
	if r.Count != 0 && len(r.DeviceIDs) > 0 {
		return nil, errdefs.ErrInvalidArgument.WithMessage("cannot set both Count and DeviceIDs on device request")
	}
	wanted := func(set []string) bool { return slices.Contains(set, "gpu") }
	if slices.ContainsFunc(r.Capabilities, wanted) {
		for _, kind := range gpus {
			vendor, _, _ := strings.Cut(kind, ".")
			devices := of(kind, known)
			if len(devices) > 0 && (r.Driver == "" || r.Driver == vendor) {
				return choose(r, kind, devices)
			}
		}
	}
	return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("could not select device driver %q with capabilities: %v", r.Driver, r.Capabilities))
}

// of lists the devices of a kind, without it, in order.
func of(kind string, known []string) (out []string) {
	for _, name := range known {
		if device, ok := strings.CutPrefix(name, kind+"="); ok {
			out = append(out, device)
		}
	}
	return out
}

// choose gives the named devices, or as many as asked for; a negative count is all.
func choose(r container.DeviceRequest, kind string, devices []string) (out []string, err error) {
	chosen := r.DeviceIDs
	switch {
	case len(chosen) > 0:
	case r.Count < 0 && slices.Contains(devices, "all"):
		chosen = []string{"all"}
	default:
		// "all" and a device's second name, its UUID, are none of the count.
		numbered := slices.DeleteFunc(slices.Clone(devices), func(d string) bool {
			_, err := strconv.Atoi(d)
			return err != nil
		})
		slices.SortFunc(numbered, func(a, b string) int {
			x, _ := strconv.Atoi(a)
			y, _ := strconv.Atoi(b)
			return x - y
		})
		if r.Count > len(numbered) {
			return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("%d devices of %s are requested, there are %d", r.Count, kind, len(numbered)))
		}
		chosen = numbered
		if r.Count >= 0 {
			chosen = numbered[:r.Count]
		}
	}
	for _, d := range chosen {
		out = append(out, kind+"="+d)
	}
	return out, nil
}

// broken says which files could not be read: the device may be in one of them.
func broken(cache *cdi.Cache) string {
	var files []string
	for file, errs := range cache.GetErrors() {
		for _, err := range errs {
			files = append(files, fmt.Sprintf("%s: %v", file, err))
		}
	}
	if len(files) == 0 {
		return ""
	}
	slices.Sort(files)
	return " (unreadable: " + strings.Join(files, "; ") + ")"
}
