package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/docker/go-units"
)

// listValue collects a repeatable flag.
type listValue []string

func (l *listValue) Set(v string) error { *l = append(*l, v); return nil }
func (*listValue) Type() string         { return "list" }
func (l *listValue) String() string {
	if len(*l) == 0 {
		return ""
	}
	return fmt.Sprint([]string(*l))
}

// mapValue collects KEY=VALUE flags.
type mapValue map[string]string

func (m *mapValue) Set(v string) error {
	key, value, ok := strings.Cut(v, "=")
	if !ok || key == "" {
		return fmt.Errorf("%q is not KEY=VALUE", v)
	}
	(*m)[key] = value
	return nil
}

func (*mapValue) Type() string { return "map" }
func (m *mapValue) String() string {
	if len(*m) == 0 {
		return ""
	}
	return fmt.Sprint(map[string]string(*m))
}

// runtimesValue collects NAME=PATH flags.
type runtimesValue map[string]Runtime

func (r *runtimesValue) Set(v string) error {
	name, path, ok := strings.Cut(v, "=")
	if !ok || name == "" || path == "" {
		return fmt.Errorf("invalid runtime %q: it must be NAME=PATH", v)
	}
	if _, ok := (*r)[name]; ok {
		return fmt.Errorf("runtime %q was already defined", name)
	}
	(*r)[name] = Runtime{Path: path}
	return nil
}

func (*runtimesValue) Type() string { return "runtime" }
func (r *runtimesValue) String() string {
	return strings.Join(slices.Sorted(maps.Keys(*r)), ",")
}

// poolsValue collects base=PREFIX,size=BITS flags.
type poolsValue []Pool

func (p *poolsValue) Set(v string) error {
	var pool Pool
	for field := range strings.SplitSeq(v, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(field), "=")
		if !ok {
			return fmt.Errorf("%q must be key=value, with the keys base and size", field)
		}
		var err error
		switch key {
		case "base":
			pool.Base, err = netip.ParsePrefix(value)
		case "size":
			pool.Size, err = strconv.Atoi(value)
		default:
			return fmt.Errorf("unexpected key %q: the keys are base and size", key)
		}
		if err != nil {
			return fmt.Errorf("invalid %s %q: %w", key, value, err)
		}
	}
	if !pool.Base.IsValid() || pool.Size == 0 {
		return errors.New("both base and size are needed")
	}
	*p = append(*p, pool)
	return nil
}

func (*poolsValue) Type() string { return "pool" }
func (p *poolsValue) String() string {
	if len(*p) == 0 {
		return ""
	}
	return fmt.Sprint([]Pool(*p))
}

// size is a number of bytes that may be written with a unit: 64M.
type size int64

func (s *size) Set(v string) error {
	n, err := units.RAMInBytes(v)
	if err != nil {
		return err
	}
	if n < 0 {
		return fmt.Errorf("%s is less than nothing", v)
	}
	*s = size(n)
	return nil
}

func (*size) Type() string { return "bytes" }
func (s *size) String() string {
	if *s == 0 {
		return ""
	}
	return units.BytesSize(float64(*s))
}

// UnmarshalJSON takes what dockerd does: a number of bytes, or text with a unit.
func (s *size) UnmarshalJSON(b []byte) error {
	var n int64
	if json.Unmarshal(b, &n) == nil {
		return s.Set(strconv.FormatInt(n, 10))
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return err
	}
	return s.Set(text)
}

// ulimits are limits by name. JSON has them as dockerd does, the name twice.
type ulimits map[string]*units.Ulimit

func (u *ulimits) Set(v string) error {
	one, err := units.ParseUlimit(v)
	if err != nil {
		return err
	}
	(*u)[one.Name] = one
	return nil
}

func (*ulimits) Type() string { return "ulimit" }
func (u *ulimits) String() string {
	if len(*u) == 0 {
		return ""
	}
	return fmt.Sprint(slices.Sorted(maps.Keys(*u)))
}
