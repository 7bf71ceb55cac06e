package api

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// Version is a version of the Docker Engine API. Versions compare with the
// ordinary operators: r.Version < V1(44).
type Version uint32

// V1 is API version 1.minor.
func V1(minor uint16) Version { return 1<<16 | Version(minor) }

// ParseVersion reads "1.44". Anything else is InvalidArgument.
func ParseVersion(s string) (Version, error) {
	major, minor, ok := strings.Cut(s, ".")
	if !ok || !digits(major) || !digits(minor) {
		return 0, malformedVersion(s)
	}
	a, errA := strconv.ParseUint(major, 10, 16)
	b, errB := strconv.ParseUint(minor, 10, 16)
	if errA != nil || errB != nil {
		return 0, malformedVersion(s)
	}
	return Version(a)<<16 | Version(b), nil
}

func (v Version) String() string {
	return fmt.Sprintf("%d.%d", v>>16, v&0xffff)
}

func malformedVersion(s string) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("malformed API version %q: must be of the form 1.24", s))
}

func digits(s string) bool {
	for _, c := range s {
		if c < '0' || c > '9' {
			return false
		}
	}
	return s != ""
}

// splitVersion takes a "/v1.44" prefix off path. Only a first segment that
// begins with v and a digit is taken for one: /volumes is a path of its own.
func splitVersion(path string) (version, rest string, found bool) {
	after, ok := strings.CutPrefix(path, "/v")
	if !ok || after == "" || after[0] < '0' || after[0] > '9' {
		return "", path, false
	}
	version, rest, _ = strings.Cut(after, "/")
	return version, "/" + rest, true
}

// negotiate finds the version that a request is to be answered in: the one of
// its path, or else the newest.
func (s *Server) negotiate(version string, given bool) (Version, error) {
	if !given {
		return s.max, nil
	}
	v, err := ParseVersion(version)
	switch {
	case err != nil:
		return 0, err
	case v < s.min:
		return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("client version %s is too old. Minimum supported API version is %s, please upgrade your client to a newer version", version, s.min))
	case v > s.max:
		return 0, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("client version %s is too new. Maximum supported API version is %s", version, s.max))
	}
	return v, nil
}

// understood is the version of an answer that a client reads. Compose 1 asks for the
// newest that there is, and then misses what has been dropped since it was released with
// Docker 20.10: images' ContainerConfig (1.45), without which it replaces no container,
// and the id of events (1.52).
func understood(userAgent string, v Version) Version {
	if strings.HasPrefix(userAgent, "docker-compose/1.") {
		return min(v, V1(41))
	}
	return v
}
