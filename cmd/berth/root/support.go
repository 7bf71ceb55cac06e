package root

import (
	"errors"
	"fmt"

	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/client/pkg/versions"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// daemon says what the engine that is talked to can do. Both methods may ask it, so
// they are called only where something depends on the answer.
type daemon interface {
	CurrentVersion() string
	ServerInfo() command.ServerInfo
}

// checkSupport refuses a command or flag that the daemon does not have, which would
// else be ignored in silence.
func checkSupport(cmd *cobra.Command, d daemon) error {
	for c := cmd; c != nil; c = c.Parent() {
		for need, value := range c.Annotations {
			if err := lacks(d, cmd.CommandPath(), need, value); err != nil {
				return err
			}
		}
	}
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Changed {
			return
		}
		for need, values := range f.Annotations {
			value := ""
			if len(values) == 1 {
				value = values[0]
			}
			if err := lacks(d, fmt.Sprintf("%q", "--"+f.Name), need, value); err != nil {
				errs = append(errs, err)
				return
			}
		}
	})
	return errors.Join(errs...)
}

// lacks compares one annotation of docker/cli with the daemon. subject is who needs it.
func lacks(d daemon, subject, need, value string) error {
	switch need {
	case "version":
		if value != "" && versions.LessThan(d.CurrentVersion(), value) {
			return fmt.Errorf("%s requires API version %s, but the daemon's API version is %s", subject, value, d.CurrentVersion())
		}
	case "ostype":
		if has := d.ServerInfo().OSType; has != "" && value != has {
			return fmt.Errorf("%s is only supported on a Docker daemon running on %s, but the Docker daemon is running on %s", subject, value, has)
		}
	case "experimental":
		if !d.ServerInfo().HasExperimental {
			return fmt.Errorf("%s is only supported on a Docker daemon with experimental features enabled", subject)
		}
	}
	return nil
}

// hideForeign leaves out of the help what needs another system than Linux.
func hideForeign(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if os := f.Annotations["ostype"]; len(os) == 1 && os[0] != "linux" {
			f.Hidden = true
		}
	})
}
