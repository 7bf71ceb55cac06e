package cp

import (
	"context"
	"io"
	"io/fs"
	"os"
	"strings"

	"github.com/berth-engine/berth/pkg/files"
	"github.com/docker/cli/cli/command"
	"github.com/moby/go-archive"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// out copies out of the container.
func (j job) out(ctx context.Context, source, destination string) (err error) {
	if destination != "-" {
		if destination, err = absolute(destination); err != nil {
			return err
		}
	}
	if err := command.ValidateOutputPath(destination); err != nil {
		return err
	}
	from := archive.CopyInfo{Path: source, Exists: true}
	if j.follow {
		from.Path, from.RebaseName = j.followed(ctx, source)
	}
	answer, err := j.cli.Client().CopyFromContainer(ctx, j.container, client.CopyFromContainerOptions{SourcePath: from.Path})
	if err != nil {
		return err
	}
	defer answer.Content.Close()
	if destination == "-" {
		_, err := io.CopyBuffer(j.cli.Out(), answer.Content, make([]byte, 256<<10))
		return err
	}
	from.IsDir = answer.Stat.Mode.IsDir()
	size := unknown
	if !from.IsDir {
		size = func() int64 { return answer.Stat.Size }
	}
	return j.report(outward, destination, size, func(count counter) error {
		return unpack(ctx, io.TeeReader(answer.Content, count(io.Discard)), from, destination)
	})
}

// followed gives where a link in the container leads to, and the name that what is
// there shall have.
func (j job) followed(ctx context.Context, source string) (path, name string) {
	stat, err := j.cli.Client().ContainerStatPath(ctx, j.container, client.ContainerStatPathOptions{Path: source})
	if err != nil || stat.Stat.Mode&fs.ModeSymlink == 0 {
		return source, "" // the copy tells what is wrong, if anything is
	}
	return archive.GetRebaseName(source, target(source, stat.Stat.LinkTarget))
}

// unpack puts what a stream holds where it belongs; files are the caller's.
func unpack(ctx context.Context, content io.Reader, from archive.CopyInfo, destination string) error {
	to, err := archive.CopyInfoDestinationPath(destination)
	if err != nil {
		return err
	}
	dir, name, err := place(from, to)
	if err != nil {
		return err
	}
	_, root := archive.SplitPathDirEntry(from.Path) // as the stream calls it
	into, err := os.OpenFile(dir, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	tree := files.NewTree(into)
	defer tree.Close()
	return tree.Unpack(ctx, content, "/", files.UnpackOptions{KeepKinds: true, Mine: true, Rename: renamer(root, name)})
}

// renamer renames a stream's root, and the names below it; nil changes none.
func renamer(from, to string) func(string) string {
	if from == to {
		return nil
	}
	from, to = strings.TrimRight(from, "/"), strings.TrimRight(to, "/")
	return func(name string) string {
		rest, ok := strings.CutPrefix(name, from)
		switch {
		case from == "":
			return to + "/" + strings.TrimLeft(name, "/")
		case !ok || rest != "" && rest[0] != '/':
			return name
		}
		return to + rest
	}
}
