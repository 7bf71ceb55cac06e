package system

import (
	"debug/buildinfo"
	"runtime/debug"

	"github.com/berth-engine/berth/pkg/version"
)

// Components are the parts whose versions a user asks for: what was linked into
// this program, and the runc at a path as its own build tells.
func Components(runc string) []Component {
	out := []Component{{Name: "containerd", Version: linked("github.com/containerd/containerd/v2")}}
	if info, err := buildinfo.ReadFile(runc); err == nil {
		out = append(out, Component{Name: "runc", Version: info.Main.Version})
	}
	return append(out, Component{Name: "berth-init", Version: version.Version, Commit: version.Commit})
}

// linked is the version of a module in this program, "" when it is not in it.
func linked(module string) string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, m := range info.Deps {
		if m.Path == module {
			return m.Version
		}
	}
	return ""
}
