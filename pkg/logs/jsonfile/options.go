package jsonfile

import (
	"fmt"
	"strconv"

	"github.com/containerd/errdefs"
	units "github.com/docker/go-units"

	"github.com/berth-engine/berth/pkg/logs/files"
)

// What a log may grow to when the user says nothing: 5 files of 20 MB. With only
// max-size given, max-file is 1, as in Docker.
const (
	DefaultMaxSize = 20_000_000 // bytes a file
	DefaultMaxFile = 5          // files, the one being written included
)

// Validate checks json-file's own log-opts. All errors are InvalidArgument.
func Validate(opts map[string]string) error {
	for k := range opts {
		switch k {
		case "max-file", "max-size", "compress", "labels", "labels-regex", "env", "env-regex", "tag":
		default:
			return invalid("unknown log opt '%s' for json-file log driver", k)
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
	l = files.Limits{MaxSize: DefaultMaxSize, MaxFile: DefaultMaxFile}
	size, sized := opts["max-size"]
	switch {
	case !sized:
	case size == "-1": // Docker's documented default: without a bound
		l.MaxSize, l.MaxFile = 0, 1
	default:
		if l.MaxSize, err = units.FromHumanSize(size); err != nil {
			return l, invalid("invalid max-size: %v", err)
		}
		if l.MaxSize <= 0 {
			return l, invalid("max-size must be a positive number")
		}
		l.MaxFile = 1
	}
	if s, ok := opts["max-file"]; ok {
		if l.MaxFile, err = strconv.Atoi(s); err != nil {
			return l, invalid("invalid max-file: %v", err)
		}
		if l.MaxFile < 1 {
			return l, invalid("max-file cannot be less than 1")
		}
	}
	if s, ok := opts["compress"]; ok {
		if l.Compress, err = strconv.ParseBool(s); err != nil {
			return l, invalid("invalid compress: %v", err)
		}
		if l.Compress && (l.MaxFile < 2 || l.MaxSize == 0) {
			return l, invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
		}
	}
	return l, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
