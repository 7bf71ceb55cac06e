// Command clidocs writes what packages have beside the programs: manual pages and
// completions, from the commands and flags that the programs themselves use.
//
// Dates in the pages are SOURCE_DATE_EPOCH's, so that the same sources give the
// same files.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/docker/cli/cli/command"
	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"github.com/berth-engine/berth/cmd/berth/root"
	"github.com/berth-engine/berth/cmd/berth/whole"
	"github.com/berth-engine/berth/pkg/config"
	"github.com/berth-engine/berth/pkg/version"
)

func main() {
	out := flag.String("o", "", "folder to write to: man/manN/, and completions/NAME/{bash,zsh,fish}")
	flag.Parse()
	if *out == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := run(*out); err != nil {
		fmt.Fprintln(os.Stderr, "clidocs:", err)
		os.Exit(1)
	}
}

func run(out string) error {
	// Values of the one who builds are no defaults of the one who reads.
	for _, name := range []string{"DOCKER_DEFAULT_PLATFORM", "BUILDKIT_PROGRESS", "DOCKER_CONFIG", "DOCKER_TLS", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH", "DOCKER_HOST"} {
		if err := os.Unsetenv(name); err != nil {
			return err
		}
	}
	if err := os.Setenv("HOME", "/root"); err != nil { // which some defaults begin with
		return err
	}
	for _, name := range []string{root.Berth, root.Docker} {
		tree, err := newTree(name)
		if err != nil {
			return err
		}
		if err := completions(tree, filepath.Join(out, "completions", name)); err != nil {
			return err
		}
		if name == root.Berth {
			root.Reword(tree)
			if err := manual(tree, filepath.Join(out, "man", "man1"), "1", "Berth's commands"); err != nil {
				return err
			}
		}
	}
	return manual(daemon(), filepath.Join(out, "man", "man8"), "8", "Berth's daemon")
}

func newTree(name string) (*cobra.Command, error) {
	dockerCLI, err := command.NewDockerCli()
	if err != nil {
		return nil, err
	}
	tree, _ := whole.New(dockerCLI, name)
	tree.DisableAutoGenTag = true // it has the generator's name and today's date
	return tree, nil
}

func manual(cmd *cobra.Command, dir, section, title string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	return doc.GenManTree(cmd, &doc.GenManHeader{Section: section, Source: "Berth " + version.Version, Manual: title}, dir)
}

func completions(tree *cobra.Command, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, shell := range []struct {
		name     string
		generate func(file string) error
	}{
		{"bash", func(file string) error { return tree.GenBashCompletionFileV2(file, true) }},
		{"zsh", tree.GenZshCompletionFile},
		{"fish", func(file string) error { return tree.GenFishCompletionFile(file, true) }},
	} {
		if err := shell.generate(filepath.Join(dir, shell.name)); err != nil {
			return fmt.Errorf("%s: %w", shell.name, err)
		}
	}
	return nil
}

// daemon is berthd as a command, for its manual page.
func daemon() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "berthd [OPTIONS]",
		Short: "The daemon of the Berth container engine",
		Long: "berthd serves the Docker Engine API and runs containers by containerd, which is part of it.\n\n" +
			"It may end at any moment, by a signal, an upgrade or a crash: what it runs goes on, and the next berthd takes it over.\n\n" +
			"Every option but --config-file, --validate and --version may be given in " + config.DefaultFile +
			" instead, under the name that docker's daemon has for it. " +
			"SIGHUP has that file read again, SIGTERM ends the daemon.",
		Run:                   func(*cobra.Command, []string) {}, // a command without one has no synopsis
		DisableAutoGenTag:     true,
		DisableFlagsInUseLine: true,
	}
	cmd.Flags().AddFlagSet(config.Flags())
	return cmd
}
