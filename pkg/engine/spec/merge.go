package spec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	dockerspec "github.com/moby/docker-image-spec/specs-go/v1"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// Merge fills in what the user left open with what the image says; nil is an
// image that says nothing. InvalidArgument when no command results.
// cfg keeps its own maps and slices only where it adds nothing to them.
func Merge(cfg *container.Config, img *dockerspec.DockerOCIImageConfig) error {
	if img != nil {
		if err := mergePorts(cfg, img.ExposedPorts); err != nil {
			return err
		}
		mergeProcess(cfg, img)
		cfg.Labels = merged(img.Labels, cfg.Labels)
		cfg.Volumes = merged(img.Volumes, cfg.Volumes)
		mergeHealthcheck(cfg, img.Healthcheck)
	}
	if cfg.Labels == nil {
		cfg.Labels = map[string]string{} // never null in answers
	}
	// `--entrypoint ""` is how a client takes the image's entrypoint away.
	if len(cfg.Entrypoint) == 1 && cfg.Entrypoint[0] == "" {
		cfg.Entrypoint = nil
	}
	if len(cfg.Entrypoint) == 0 && len(cfg.Cmd) == 0 {
		return errNoCommand
	}
	return nil
}

func mergeProcess(cfg *container.Config, img *dockerspec.DockerOCIImageConfig) {
	if cfg.User == "" {
		cfg.User = img.User
	}
	if cfg.WorkingDir == "" {
		cfg.WorkingDir = img.WorkingDir
	}
	if cfg.StopSignal == "" {
		cfg.StopSignal = img.StopSignal
	}
	if len(cfg.Shell) == 0 {
		cfg.Shell = img.Shell
	}
	cfg.Env = mergeEnv(cfg.Env, img.Env)
	// An entrypoint of the user's own takes away the image's command as well;
	// a command of his own leaves the image's entrypoint.
	if len(cfg.Entrypoint) == 0 {
		if len(cfg.Cmd) == 0 {
			cfg.Cmd = img.Cmd
			cfg.ArgsEscaped = img.ArgsEscaped //nolint:staticcheck // old images still say it
		}
		if cfg.Entrypoint == nil {
			cfg.Entrypoint = img.Entrypoint
		}
	}
}

// mergeEnv appends the image's variables that the user does not mention.
func mergeEnv(own, image []string) []string {
	if len(own) == 0 {
		return slices.Clone(image)
	}
	known := make(map[string]bool, len(own))
	for _, e := range own {
		name, _, _ := strings.Cut(e, "=")
		known[name] = true
	}
	out := slices.Clone(own)
	for _, e := range image {
		if name, _, _ := strings.Cut(e, "="); !known[name] {
			out = append(out, e)
		}
	}
	return out
}

func mergePorts(cfg *container.Config, image map[string]struct{}) error {
	if len(image) == 0 {
		return nil
	}
	out := make(network.PortSet, len(image)+len(cfg.ExposedPorts))
	maps.Copy(out, cfg.ExposedPorts)
	for s := range image {
		ports, err := network.ParsePortRange(s)
		if err != nil {
			return invalid(fmt.Sprintf("image exposes an invalid port %q: %v", s, err))
		}
		for p := range ports.All() {
			out[p] = struct{}{}
		}
	}
	cfg.ExposedPorts = out
	return nil
}

// merged is base with over's entries laid over it; nil when both are empty.
func merged[V any](base, over map[string]V) map[string]V {
	if len(base) == 0 {
		return over
	}
	out := maps.Clone(base)
	maps.Copy(out, over)
	return out
}

// mergeHealthcheck inherits each part that is zero. ["NONE"] stays as it is.
func mergeHealthcheck(cfg *container.Config, img *dockerspec.HealthcheckConfig) {
	if img == nil {
		return
	}
	if cfg.Healthcheck == nil {
		h := *img
		cfg.Healthcheck = &h
		return
	}
	h := *cfg.Healthcheck
	if len(h.Test) == 0 {
		h.Test = img.Test
	}
	if h.Interval == 0 {
		h.Interval = img.Interval
	}
	if h.Timeout == 0 {
		h.Timeout = img.Timeout
	}
	if h.StartPeriod == 0 {
		h.StartPeriod = img.StartPeriod
	}
	if h.StartInterval == 0 {
		h.StartInterval = img.StartInterval
	}
	if h.Retries == 0 {
		h.Retries = img.Retries
	}
	cfg.Healthcheck = &h
}
