package logs

import (
	"fmt"

	"github.com/containerd/errdefs"
	units "github.com/docker/go-units"

	"github.com/berth-engine/berth/pkg/logs/jsonfile"
)

// everywhere are the options that Docker takes for every driver. The cache-*
// ones make a log readable that is not, so they change nothing here.
// https://docs.docker.com/engine/logging/dual-logging/
var everywhere = map[string]bool{
	"mode": true, "max-buffer-size": true,
	"cache-disabled": true, "cache-max-size": true, "cache-max-file": true, "cache-compress": true,
}

// Validate says whether a container may be created with driver and its log-opts.
// All errors are InvalidArgument, in Docker's words.
func Validate(driver string, opts map[string]string) error {
	switch driver {
	case None, "":
		return nil // Docker takes any option here
	case JSONFile:
	default:
		return unknown(driver)
	}
	if err := validateMode(opts); err != nil {
		return err
	}
	own := make(map[string]string, len(opts))
	for k, v := range opts {
		if !everywhere[k] {
			own[k] = v
		}
	}
	return jsonfile.Validate(own)
}

// validateMode checks how lines travel to the driver. Both modes are the same
// here: the shim's write never waits for anything but the page cache.
func validateMode(opts map[string]string) error {
	mode := opts["mode"]
	if mode != "" && mode != "blocking" && mode != "non-blocking" {
		return errdefs.ErrInvalidArgument.WithMessage("logger: logging mode not supported: " + mode)
	}
	size, ok := opts["max-buffer-size"]
	if !ok {
		return nil
	}
	if mode != "non-blocking" {
		return errdefs.ErrInvalidArgument.WithMessage("logger: max-buffer-size option is only supported with 'mode=non-blocking'")
	}
	if _, err := units.RAMInBytes(size); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("error parsing option max-buffer-size: %v", err))
	}
	return nil
}
