package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Request is an HTTP request that has passed routing.
type Request struct {
	*http.Request
	Version Version    // that the answer must have
	Name    string     // value of the path's variable; "" when it has none
	Part    string     // value of a second one
	Query   url.Values // parameters, parsed
	// Experimental says that the daemon's experimental features are on.
	Experimental bool

	conns    *conns          // where a hijacked connection is registered
	streams  context.Context // ends when the server begins to shut down
	patience time.Duration   // for a body that does not stream
}

// Bool reads a parameter as Docker does: absent, empty, 0, no, false and none
// are false, all else is true.
func (r *Request) Bool(key string) bool {
	switch strings.ToLower(strings.TrimSpace(r.Query.Get(key))) {
	case "", "0", "no", "false", "none":
		return false
	}
	return true
}

// BoolOr is Bool with another value for a parameter that is absent.
func (r *Request) BoolOr(key string, absent bool) bool {
	if !r.Query.Has(key) {
		return absent
	}
	return r.Bool(key)
}

// Int reads a decimal parameter; nil when it is absent or empty.
func (r *Request) Int(key string) (*int, error) {
	s := r.Query.Get(key)
	if s == "" {
		return nil, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return nil, Invalid("invalid value for %q: %q is not a number", key, s)
	}
	return &n, nil
}

// Size reads the terminal size of a resize request: h and w, both required.
func (r *Request) Size() (height, width uint32, err error) {
	if height, err = r.uint32("h"); err != nil {
		return 0, 0, Invalid("invalid resize height %q: %v", r.Query.Get("h"), err)
	}
	if width, err = r.uint32("w"); err != nil {
		return 0, 0, Invalid("invalid resize width %q: %v", r.Query.Get("w"), err)
	}
	return height, width, nil
}

func (r *Request) uint32(key string) (uint32, error) {
	s := r.Query.Get(key)
	if abs, negative := strings.CutPrefix(s, "-"); negative && digits(abs) {
		return 0, strconv.ErrRange
	}
	if !digits(s) {
		return 0, strconv.ErrSyntax
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, errors.Unwrap(err)
	}
	return uint32(n), nil
}

// Filters reads the filters parameter.
func (r *Request) Filters() (filters.Args, error) {
	return filters.Parse(r.Query.Get("filters"))
}

// Platforms reads a parameter that holds JSON of OCI platforms, any number of
// times; none is nil.
func (r *Request) Platforms(key string) ([]ocispec.Platform, error) {
	var out []ocispec.Platform
	for _, s := range r.Query[key] {
		p, err := decodePlatform(s)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// Platform reads the first value of such a parameter; nil when absent or empty.
func (r *Request) Platform(key string) (*ocispec.Platform, error) {
	s := r.Query.Get(key)
	if s == "" {
		return nil, nil
	}
	p, err := decodePlatform(s)
	if err != nil {
		return nil, err
	}
	return &p, nil
}

func decodePlatform(s string) (ocispec.Platform, error) {
	var p ocispec.Platform
	if err := json.Unmarshal([]byte(s), &p); err != nil {
		return p, Invalid("failed to parse platform: %v", err)
	}
	if p.OS != "" && p.Architecture != "" {
		return p, nil
	}
	if p.OS == "" && p.Architecture == "" && (p.Variant != "" || p.OSVersion != "" || len(p.OSFeatures) > 0) {
		return p, Invalid("optional platform fields provided, but OS and Architecture are missing")
	}
	return p, Invalid("both OS and Architecture must be provided")
}

// Invalid makes an error of class InvalidArgument with exactly this message.
func Invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
