// Package filters holds the filters that list endpoints take: a key with one
// or more values, any of which may match.
package filters

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
)

// Args maps a filter's key to its values. The nil map filters nothing.
type Args map[string][]string

// Parse reads the JSON of a filters query parameter: {"key":["v"]}, or
// {"key":{"v":true}} as Docker clients since 1.10 send it. The empty string is
// no filter. A syntax error is InvalidArgument.
func Parse(s string) (Args, error) {
	if s == "" {
		return nil, nil
	}
	var sets map[string]map[string]bool
	if err := json.Unmarshal([]byte(s), &sets); err == nil {
		out := make(Args, len(sets))
		for k, set := range sets {
			for v, on := range set {
				if on {
					out[k] = append(out[k], v)
				}
			}
			slices.Sort(out[k])
		}
		return out, nil
	}
	var lists map[string][]string
	if err := json.Unmarshal([]byte(s), &lists); err != nil {
		return nil, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter: %v", err))
	}
	return lists, nil
}

// Validate refuses keys that are not in accepted, in Docker's words.
func (a Args) Validate(accepted ...string) error {
	for k := range a {
		if !slices.Contains(accepted, k) {
			return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s'", k))
		}
	}
	return nil
}

// Has says whether the key was given.
func (a Args) Has(key string) bool { return len(a[key]) > 0 }

// Match says whether value is one of the key's values, or the key was not given.
func (a Args) Match(key, value string) bool {
	return !a.Has(key) || slices.Contains(a[key], value)
}

// MatchFunc says whether f holds for one of the key's values, or the key was
// not given.
func (a Args) MatchFunc(key string, f func(string) bool) bool {
	return !a.Has(key) || slices.ContainsFunc(a[key], f)
}

// MatchPattern is Match with regular expressions, as Docker takes names: one of the
// key's values is value, or is found in it. What is no expression finds nothing.
func (a Args) MatchPattern(key, value string) bool {
	return a.MatchFunc(key, func(want string) bool {
		if want == value {
			return true
		}
		re, err := regexp.Compile(want)
		return err == nil && re.MatchString(value)
	})
}

// MatchLabels says whether all of the key's values, "name" or "name=value",
// hold for labels. (Labels are the one filter of which all must match.)
func (a Args) MatchLabels(key string, labels map[string]string) bool {
	for _, want := range a[key] {
		name, value, hasValue := strings.Cut(want, "=")
		got, ok := labels[name]
		if !ok || hasValue && got != value {
			return false
		}
	}
	return true
}

// Bool reads a key that takes one truth value. InvalidArgument for another.
func (a Args) Bool(key string, fallback bool) (bool, error) {
	if !a.Has(key) {
		return fallback, nil
	}
	switch {
	case len(a[key]) > 1:
	case slices.Contains([]string{"1", "true", "True", "TRUE", "t", "T"}, a[key][0]):
		return true, nil
	case slices.Contains([]string{"0", "false", "False", "FALSE", "f", "F"}, a[key][0]):
		return false, nil
	}
	return false, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid filter '%s=%v'", key, a[key]))
}

// With gives the filters with one more value for a key; a itself stays as it is.
func (a Args) With(key, value string) Args {
	out := make(Args, len(a)+1)
	for k, v := range a {
		out[k] = v
	}
	out[key] = append(slices.Clone(a[key]), value)
	return out
}
