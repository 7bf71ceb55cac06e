package root

import (
	"errors"
	"fmt"

	"github.com/moby/moby/client/pkg/versions"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// checkAPIVersion refuses a command or flag that the daemon's API version does
// not have, which would else be ignored in silence. current asks the daemon, so
// it is called only where something depends on it.
func checkAPIVersion(cmd *cobra.Command, current func() string) error {
	for c := cmd; c != nil; c = c.Parent() {
		if needs, ok := c.Annotations["version"]; ok && versions.LessThan(current(), needs) {
			return fmt.Errorf("%s requires API version %s, but the daemon's API version is %s", cmd.CommandPath(), needs, current())
		}
	}
	var errs []error
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if needs := f.Annotations["version"]; f.Changed && len(needs) == 1 && versions.LessThan(current(), needs[0]) {
			errs = append(errs, fmt.Errorf(`"--%s" requires API version %s, but the daemon's API version is %s`, f.Name, needs[0], current()))
		}
	})
	return errors.Join(errs...)
}
