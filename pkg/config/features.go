package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Features of dockerd that can be turned on and off there.
var features = map[string]struct {
	fixed bool // it is as dockerd has it by default, which is on
}{
	"containerd-snapshotter": {fixed: true},
	"buildkit":               {fixed: true},
	"cdi":                    {},
}

// resolveFeatures comes after the folders of devices are known.
func (s *settings) resolveFeatures(c *Config) error {
	for _, name := range slices.Sorted(maps.Keys(s.features)) {
		f, ok := features[name]
		switch on := s.features[name]; {
		case !ok:
			return fmt.Errorf("features: there is no feature %q; there are buildkit, cdi and containerd-snapshotter", name)
		case f.fixed && !on:
			return fmt.Errorf("features: %s cannot be turned off", name)
		case name == "cdi" && !on:
			c.CDISpecDirs = nil
		}
	}
	return nil
}

// boolsValue collects flags of NAME=BOOL; NAME alone is true.
type boolsValue map[string]bool

func (b *boolsValue) Set(v string) error {
	name, value, ok := strings.Cut(v, "=")
	if name == "" {
		return fmt.Errorf("%q is not NAME=BOOL", v)
	}
	on := true
	if ok {
		var err error
		if on, err = strconv.ParseBool(value); err != nil {
			return fmt.Errorf("%s: %q is neither true nor false", name, value)
		}
	}
	(*b)[name] = on
	return nil
}

func (*boolsValue) Type() string { return "map" }
func (b *boolsValue) String() string {
	if len(*b) == 0 {
		return ""
	}
	return fmt.Sprint(map[string]bool(*b))
}
