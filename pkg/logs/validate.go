package logs

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
	units "github.com/docker/go-units"

	"github.com/berth-engine/berth/pkg/logs/fluentd"
	"github.com/berth-engine/berth/pkg/logs/journald"
	"github.com/berth-engine/berth/pkg/logs/jsonfile"
	"github.com/berth-engine/berth/pkg/logs/local"
	"github.com/berth-engine/berth/pkg/logs/syslog"
)

// cachePrefix marks options of the local copy of a log that is sent elsewhere; what
// follows it is an option of the driver local. Docker takes them for every driver.
// https://docs.docker.com/engine/logging/dual-logging/
const cachePrefix = "cache-"

// Validate says whether a container may be created with driver and its log-opts.
// All errors are InvalidArgument, in Docker's words.
func Validate(driver string, opts map[string]string) error {
	validate, ok := map[string]func(map[string]string) error{
		JSONFile: jsonfile.Validate, Local: local.Validate,
		Syslog: syslog.Validate, Journald: journald.Validate, Fluentd: fluentd.Validate,
	}[driver]
	switch {
	case driver == None || driver == "":
		return nil // Docker takes any option here
	case !ok:
		return unknown(driver)
	}
	if err := validateMode(opts); err != nil {
		return err
	}
	if s := opts[cachePrefix+"disabled"]; s != "" {
		if _, err := strconv.ParseBool(s); err != nil {
			return errdefs.ErrInvalidArgument.WithMessage("invalid value for option cache-disabled: " + s)
		}
	}
	own := make(map[string]string, len(opts))
	for k, v := range opts {
		name, cached := strings.CutPrefix(k, cachePrefix)
		switch {
		case k == "mode" || k == "max-buffer-size" || cached && (name == "disabled" || local.Option(name)):
		default:
			own[k] = v
		}
	}
	if err := validate(own); err != nil {
		return err
	}
	if err := local.Validate(cacheOptions(opts)); err != nil {
		return errdefs.ErrInvalidArgument.WithMessage("options cache-*: " + err.Error())
	}
	return nil
}

// cacheOptions are those of opts that are for the local copy.
func cacheOptions(opts map[string]string) map[string]string {
	own := map[string]string{}
	for k, v := range opts {
		if name, ok := strings.CutPrefix(k, cachePrefix); ok && local.Option(name) {
			own[name] = v
		}
	}
	return own
}

func cacheDisabled(opts map[string]string) bool {
	disabled, err := strconv.ParseBool(opts[cachePrefix+"disabled"])
	return err == nil && disabled
}

// validateMode checks how lines travel to the driver.
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
