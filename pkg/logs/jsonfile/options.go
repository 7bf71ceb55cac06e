package jsonfile

import (
	"fmt"
	"strconv"

	"github.com/containerd/errdefs"
	units "github.com/docker/go-units"
)

// What a log may grow to when the user says nothing: 5 files of 20 MB. With only
// max-size given, max-file is 1, as in Docker.
const (
	DefaultMaxSize = 20_000_000 // bytes a file
	DefaultMaxFile = 5          // files, the one being written included
)

type options struct {
	maxSize  int64 // 0 = unbounded
	maxFile  int
	compress bool // rotated files
}

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

func parse(opts map[string]string) (o options, err error) {
	o = options{maxSize: DefaultMaxSize, maxFile: DefaultMaxFile}
	size, sized := opts["max-size"]
	switch {
	case !sized:
	case size == "-1": // Docker's documented default: without a bound
		o.maxSize, o.maxFile = 0, 1
	default:
		if o.maxSize, err = units.FromHumanSize(size); err != nil {
			return o, invalid("invalid max-size: %v", err)
		}
		if o.maxSize <= 0 {
			return o, invalid("max-size must be a positive number")
		}
		o.maxFile = 1
	}
	if s, ok := opts["max-file"]; ok {
		if o.maxFile, err = strconv.Atoi(s); err != nil {
			return o, invalid("invalid max-file: %v", err)
		}
		if o.maxFile < 1 {
			return o, invalid("max-file cannot be less than 1")
		}
	}
	if s, ok := opts["compress"]; ok {
		if o.compress, err = strconv.ParseBool(s); err != nil {
			return o, invalid("invalid compress: %v", err)
		}
		if o.compress && (o.maxFile < 2 || o.maxSize == 0) {
			return o, invalid("compress cannot be true when max-file is less than 2 or max-size is not set")
		}
	}
	return o, nil
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
