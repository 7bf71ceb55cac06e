// Package cp copies files between containers and the host. The command and its flags
// are those of docker/cli; what it does with tar streams is done by pkg/files, which
// needs a fraction of the time.
package cp

import (
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/berth-engine/berth/pkg/files"
	"github.com/docker/cli/cli/command"
	"github.com/moby/go-archive"
	"github.com/spf13/cobra"
)

// Replace has docker/cli's command copy by this package, on a kernel that can do it.
func Replace(cmd *cobra.Command, c command.Cli) {
	if !files.Supported() {
		return
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		j := job{cli: c}
		var err error
		read := func(name string) (set bool) {
			value, flagErr := cmd.Flags().GetBool(name)
			err = errors.Join(err, flagErr)
			return value
		}
		j.follow, j.archive, j.quiet = read("follow-link"), read("archive"), read("quiet")
		if err != nil {
			return err
		}
		if !cmd.Flags().Changed("quiet") {
			j.quiet = !c.Out().IsTerminal()
		}
		return j.run(cmd.Context(), args[0], args[1])
	}
}

// job is one copy.
type job struct {
	cli                    command.Cli
	follow, archive, quiet bool
	container              string
}

func (j job) run(ctx context.Context, source, destination string) error {
	switch {
	case source == "":
		return errors.New("source can not be empty")
	case destination == "":
		return errors.New("destination can not be empty")
	}
	from, source := split(source)
	to, destination := split(destination)
	switch {
	case from != "" && to != "":
		return errors.New("copying between containers is not supported")
	case from != "":
		j.container = from
		return j.out(ctx, source, destination)
	case to != "":
		j.container = to
		return j.in(ctx, source, destination)
	}
	return errors.New("must specify at least one container source")
}

// split takes CONTAINER:PATH apart. What begins with a slash or a dot is a path of the
// host, whatever follows.
func split(arg string) (container, path string) {
	container, path, ok := strings.Cut(arg, ":")
	if !ok || filepath.IsAbs(arg) || strings.HasPrefix(arg, ".") {
		return "", arg
	}
	return container, path
}

// absolute keeps a slash or "/." at the end, which mean something.
func absolute(path string) (string, error) {
	abs, err := filepath.Abs(path)
	return archive.PreserveTrailingDotOrSeparator(abs, path), err
}

// place decides where what is copied goes: into which folder, under which name. A
// destination that is a folder takes it in by the name that it has.
func place(source, destination archive.CopyInfo) (dir, name string, err error) {
	dir, name = archive.SplitPathDirEntry(destination.Path)
	asFolder := strings.HasSuffix(destination.Path, "/") || filepath.Base(destination.Path) == "."
	switch {
	case destination.Exists && destination.IsDir:
		if name = source.RebaseName; name == "" {
			_, name = archive.SplitPathDirEntry(source.Path)
		}
		return destination.Path, name, nil
	case destination.Exists && source.IsDir:
		err = archive.ErrCannotCopyDir
	case !destination.Exists && !source.IsDir && asFolder:
		err = archive.ErrDirNotExists
	}
	return dir, name, err
}

// target makes the target of a link absolute.
func target(link, to string) string {
	if filepath.IsAbs(to) {
		return to
	}
	dir, _ := archive.SplitPathDirEntry(link)
	return filepath.Join(dir, to)
}
