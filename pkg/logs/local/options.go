package local

import (
	"fmt"
	"strconv"

	"github.com/containerd/errdefs"
	units "github.com/docker/go-units"

	"github.com/berth-engine/berth/pkg/logs/files"
)

// Docker's defaults of the driver.
const (
	DefaultMaxSize = 20 << 20 // bytes a file
	DefaultMaxFile = 5        // files, the one being written included
)

// Option reports whether name is one of local's own log-opts.
func Option(name string) bool {
	switch name {
	case "max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag":
		return true
	}
	return false
}

// Validate checks local's own log-opts. All errors are InvalidArgument.
func Validate(opts map[string]string) error {
	for k := range opts {
		if !Option(k) {
			return invalid("unknown log opt '%s' for log driver local", k)
		}
	}
	_, err := parse(opts)
	return err
}

// Limits are those of valid log-opts.
func Limits(opts map[string]string) files.Limits {
	l, _ := parse(opts)
	return l
}

func parse(opts map[string]string) (l files.Limits, err error) {
	l = files.Limits{MaxSize: DefaultMaxSize, MaxFile: DefaultMaxFile, Compress: true}
	if s, ok := opts["max-size"]; ok {
		if l.MaxSize, err = units.FromHumanSize(s); err != nil {
			return l, invalid("invalid value for max-size: %s: %v", s, err)
		}
		if l.MaxSize < 0 {
			return l, invalid("max-size must not be negative")
		}
	}
	if s, ok := opts["max-file"]; ok {
		if l.MaxFile, err = strconv.Atoi(s); err != nil {
			return l, invalid("invalid value for max-file: %s: %v", s, err)
		}
		if l.MaxFile < 0 {
			return l, invalid("max-file must not be negative")
		}
	}
	if s, ok := opts["compress"]; ok {
		if l.Compress, err = strconv.ParseBool(s); err != nil {
			return l, invalid("invalid boolean value for compress: %v", err)
		}
	}
	if l.Compress && l.MaxFile <= 1 {
		return l, invalid("compression cannot be enabled when max file count is 1")
	}
	// Docker takes 0 for both, and keeps next to nothing then.
	l.MaxSize, l.MaxFile = max(1, l.MaxSize), max(1, l.MaxFile)
	return l, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
