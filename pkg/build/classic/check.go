package classic

import (
	"strings"

	"github.com/moby/buildkit/frontend/dockerfile/dfgitutil"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/util/cpuset"
	"golang.org/x/sys/unix"
)

// check refuses what BuildKit would fail at without telling whose fault it is.
func (r *Request) check() error {
	for _, s := range []struct{ what, value string }{{"cpuset cpus", r.Limits.CPUs}, {"cpuset mems", r.Limits.Mems}} {
		if _, err := cpuset.Parse(s.value); err != nil {
			return invalid("Invalid value %s for %s: %v", s.value, s.what, err)
		}
	}
	for name := range strings.SplitSeq(r.Dockerfile, "/") {
		if len(name) > unix.NAME_MAX || len(r.Dockerfile) >= unix.PathMax {
			return invalid("the name of the Dockerfile is too long")
		}
	}
	if r.Remote == "" || r.Remote == "client-session" {
		return nil
	}
	if _, _, isHTTP := dockerui.DetectHTTPContext(r.Remote); isHTTP {
		return nil
	}
	if _, isGit, err := dfgitutil.ParseGitRef(r.Remote); err != nil || !isGit {
		return invalid("remoteURL (%s) could not be recognized as URL", r.Remote)
	}
	return nil
}
