package config

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Builder is how images are built: the key builder, dockerd's but for Frontends and
// MaxContext.
type Builder struct {
	GC           BuilderGC    `json:"gc"`
	Entitlements Entitlements `json:"entitlements"`
	// Frontends are the repositories that a frontend ("# syntax=") may be
	// fetched from and executed; "*" is any, and an empty list none. nil is Docker's own.
	Frontends []string `json:"frontends"`
	// MaxContext bounds what a client may send for its builds: of a context, and of all
	// of them in a session. 0 is defaultMaxContext.
	MaxContext size `json:"maxContext"`
}

// BuilderGC says when the build cache is collected.
type BuilderGC struct {
	Enabled *bool `json:"enabled"` // nil is true
	// Sizes are bytes, or written with a unit; 0 is chosen by the size of the disk.
	KeepStorage   size     `json:"defaultKeepStorage"` // the old name of the next
	ReservedSpace size     `json:"defaultReservedSpace"`
	MaxUsedSpace  size     `json:"defaultMaxUsedSpace"`
	MinFreeSpace  size     `json:"defaultMinFreeSpace"`
	Policy        []GCRule `json:"policy"`
}

// GCRule is one rule; rules are applied in their order.
type GCRule struct {
	All           bool     `json:"all"`
	KeepStorage   size     `json:"keepStorage"` // the old name of the next
	ReservedSpace size     `json:"reservedSpace"`
	MaxUsedSpace  size     `json:"maxUsedSpace"`
	MinFreeSpace  size     `json:"minFreeSpace"`
	KeepDuration  string   `json:"keepDuration"` // "48h"
	Filter        []string `json:"filter"`       // "type=regular", "unused-for=48h"

	Age time.Duration `json:"-"` // what KeepDuration or unused-for says, once Parse returned
}

// Entitlements are what steps may be given that asks for more than a container
// has. nil is dockerd's default.
type Entitlements struct {
	NetworkHost      *bool `json:"network-host"`      // nil is true
	SecurityInsecure *bool `json:"security-insecure"` // nil is false
}

// dockerFrontends are Docker's own, which many a Dockerfile names.
var dockerFrontends = []string{"docker.io/docker/dockerfile", "docker.io/docker/dockerfile-upstream"}

// defaultMaxContext is more than anybody builds from: it keeps a client from filling the
// disk by one request.
const defaultMaxContext = 64 << 30

func (s *settings) resolveBuilder(c *Config) error {
	c.Builder = s.builder
	b := &c.Builder
	if b.Frontends == nil {
		b.Frontends = slices.Clone(dockerFrontends)
	}
	if b.MaxContext == 0 {
		b.MaxContext = defaultMaxContext
	}
	b.GC.ReservedSpace = max(b.GC.ReservedSpace, b.GC.KeepStorage)
	for i := range b.GC.Policy {
		if err := b.GC.Policy[i].check(); err != nil {
			return fmt.Errorf("builder.gc.policy: rule %d: %w", i+1, err)
		}
	}
	return nil
}

func (r *GCRule) check() (err error) {
	r.ReservedSpace = max(r.ReservedSpace, r.KeepStorage)
	age := r.KeepDuration
	var filters []string
	for _, f := range r.Filter {
		key, value, ok := strings.Cut(f, "=")
		switch {
		case !ok || value == "":
			return fmt.Errorf("filter %q must be key=value", f)
		case key == "unused-for" || key == "until":
			age = value
		case slices.Contains([]string{"id", "parent", "type", "description", "inuse", "shared", "private"}, key):
			filters = append(filters, key+"=="+strings.TrimPrefix(value, "="))
		default:
			return fmt.Errorf("there is no filter %q", key)
		}
	}
	r.Filter = filters
	if age == "" {
		return nil
	}
	if r.Age, err = time.ParseDuration(age); err != nil || r.Age < 0 {
		return fmt.Errorf("%q is not a duration, such as 48h", age)
	}
	return nil
}
