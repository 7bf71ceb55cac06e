// Package volumes is what `berth volume` does and Docker does not: export, import,
// snapshot and restore of whole volumes.
package volumes

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"

	"github.com/berth-engine/berth/cmd/berth/direct"
	"github.com/docker/cli/cli"
	"github.com/docker/cli/cli/command"
	"github.com/docker/cli/cli/command/completion"
	"github.com/moby/sys/atomicwriter"
	"github.com/spf13/cobra"
)

// Commands are those below `berth volume`.
func Commands(c command.Cli) []*cobra.Command {
	all := []*cobra.Command{newExport(c), newImport(c), newSnapshot(c), newRestore(c)}
	for _, cmd := range all {
		cmd.ValidArgsFunction = completion.VolumeNames(c)
	}
	return all
}

func newExport(c command.Cli) *cobra.Command {
	var output string
	var pause bool
	cmd := &cobra.Command{
		Use: "export [OPTIONS] VOLUME", Short: "Export a volume as a tar archive (streamed to STDOUT by default)", Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if output == "" && c.Out().IsTerminal() {
				return errors.New("cowardly refusing to save to a terminal. Use the -o flag or redirect")
			}
			body, err := direct.Do(cmd.Context(), c, http.MethodGet, path(args[0], "export"), url.Values{"pause": flag(pause)}, nil)
			if err != nil {
				return err
			}
			defer body.Close()
			return save(body, c.Out(), output)
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVarP(&output, "output", "o", "", "Write to a file, instead of STDOUT")
	cmd.Flags().BoolVarP(&pause, "pause", "p", false, "Pause the containers that use the volume meanwhile")
	return cmd
}

// save writes to a file, which appears when all is in it, or to stdout.
func save(r io.Reader, stdout io.Writer, output string) error {
	if output == "" {
		_, err := io.Copy(stdout, r)
		return err
	}
	w, err := atomicwriter.New(output, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(w, r)
	return errors.Join(err, w.Close())
}

func newImport(c command.Cli) *cobra.Command {
	var input string
	var replace bool
	cmd := &cobra.Command{
		Use: "import [OPTIONS] VOLUME", Short: "Fill a volume from a tar archive or STDIN, all or nothing", Args: cli.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := io.Reader(c.In())
			if input != "" {
				f, err := os.Open(input)
				if err != nil {
					return err
				}
				defer f.Close()
				in = f
			} else if c.In().IsTerminal() {
				return errors.New("requested import from stdin, but stdin is a terminal")
			}
			return printed(cmd, c, args[0], args[0], "import", url.Values{"replace": flag(replace)}, func(w io.Writer) error {
				_, err := io.Copy(w, in)
				return err
			})
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().StringVarP(&input, "input", "i", "", "Read from tar archive file, instead of STDIN")
	cmd.Flags().BoolVar(&replace, "replace", false, "Replace what the volume holds")
	return cmd
}

func newSnapshot(c command.Cli) *cobra.Command {
	var pause bool
	cmd := &cobra.Command{
		Use: "snapshot [OPTIONS] VOLUME NEWVOLUME", Short: "Make a volume that shares the blocks of another as it is now (needs a file system with reflinks)", Args: cli.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printed(cmd, c, args[1], args[0], "snapshot", url.Values{"as": {args[1]}, "pause": flag(pause)}, nil)
		},
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().BoolVarP(&pause, "pause", "p", false, "Pause the containers that use the volume meanwhile")
	return cmd
}

func newRestore(c command.Cli) *cobra.Command {
	return &cobra.Command{
		Use: "restore VOLUME SNAPSHOT", Short: "Give a volume the content of a snapshot (needs a file system with reflinks)", Args: cli.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			return printed(cmd, c, args[0], args[0], "restore", url.Values{"from": {args[1]}}, nil)
		},
		DisableFlagsInUseLine: true,
	}
}

// printed makes a request and prints the name of the volume that it changed.
func printed(cmd *cobra.Command, c command.Cli, name, volume, verb string, query url.Values, write func(io.Writer) error) error {
	answer, err := direct.Do(cmd.Context(), c, http.MethodPost, path(volume, verb), query, write)
	if err != nil {
		return err
	}
	defer answer.Close()
	if _, err := io.Copy(io.Discard, answer); err != nil {
		return err
	}
	_, err = fmt.Fprintln(c.Out(), name)
	return err
}

func path(volume, verb string) string { return "/berth/volumes/" + volume + "/" + verb }

func flag(set bool) []string {
	if set {
		return []string{"1"}
	}
	return nil
}
