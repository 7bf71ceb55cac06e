package cp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"

	"github.com/berth-engine/berth/cmd/berth/direct"
	"github.com/berth-engine/berth/pkg/files"
	"github.com/docker/cli/cli/command"
	"github.com/moby/go-archive"
	"github.com/moby/moby/client"
	"golang.org/x/sys/unix"
)

// in copies into the container.
func (j job) in(ctx context.Context, source, destination string) (err error) {
	if source != "-" {
		if source, err = absolute(source); err != nil {
			return err
		}
	}
	to, err := j.destination(ctx, destination)
	if err != nil {
		return err
	}
	if source == "-" {
		if !to.IsDir {
			return fmt.Errorf("destination \"%s:%s\" must be a directory", j.container, destination)
		}
		return j.report(inward, j.container+":"+to.Path, unknown, func(count counter) error {
			return j.put(ctx, to.Path, func(w io.Writer) error {
				_, err := io.Copy(count(w), j.cli.In())
				return err
			})
		})
	}
	from, err := archive.CopyInfoSourcePath(source, j.follow)
	if err != nil {
		return err
	}
	dir, name, err := place(from, to)
	if err != nil {
		return err
	}
	tree, base, err := openSource(from.Path)
	if err != nil {
		return err
	}
	defer tree.Close()
	return j.report(inward, j.container+":"+to.Path, func() int64 { return contentSize(from.Path) }, func(count counter) error {
		return j.put(ctx, dir, func(w io.Writer) error {
			return tree.Pack(ctx, count(w), base, name, files.PackOptions{Unreadable: j.unreadable})
		})
	})
}

// unreadable says, as docker/cli does, that a file is left out.
func (j job) unreadable(err error) {
	_, _ = fmt.Fprintln(j.cli.Err(), "Left out:", err)
}

// destination describes where in the container something is to be copied, behind
// links. What is not there may come to be.
func (j job) destination(ctx context.Context, path string) (archive.CopyInfo, error) {
	info := archive.CopyInfo{Path: path}
	stat, err := j.cli.Client().ContainerStatPath(ctx, j.container, client.ContainerStatPathOptions{Path: path})
	if err == nil && stat.Stat.Mode&fs.ModeSymlink != 0 {
		info.Path = target(path, stat.Stat.LinkTarget)
		stat, err = j.cli.Client().ContainerStatPath(ctx, j.container, client.ContainerStatPathOptions{Path: info.Path})
	}
	if client.IsErrConnectionFailed(err) {
		return info, err
	}
	if err != nil {
		return info, nil //nolint:nilerr // the copy tells what is wrong, if anything is
	}
	if err := command.ValidateOutputPathFileMode(stat.Stat.Mode); err != nil {
		return info, fmt.Errorf("destination \"%s:%s\" must be a directory or a regular file: %w", j.container, path, err)
	}
	info.Exists, info.IsDir = true, stat.Stat.Mode.IsDir()
	return info, nil
}

// openSource opens the folder that a path of the host is in, or is the content of.
func openSource(path string) (*files.Tree, string, error) {
	if _, err := os.Lstat(path); err != nil { // a "/" behind what is no folder
		return nil, "", err
	}
	parent, base := archive.SplitPathDirEntry(path)
	dir, err := os.OpenFile(parent, unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, "", err
	}
	return files.NewTree(dir), base, nil
}

// put sends a tar stream that is unpacked in a folder of the container.
func (j job) put(ctx context.Context, dir string, write func(io.Writer) error) error {
	query := url.Values{"path": {filepath.ToSlash(dir)}, "noOverwriteDirNonDir": {"true"}}
	if j.archive {
		query.Set("copyUIDGID", "true")
	}
	answer, err := direct.Do(ctx, j.cli, http.MethodPut, "/v"+j.cli.Client().ClientVersion()+"/containers/"+j.container+"/archive", query, write)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, answer)
	return errors.Join(err, answer.Close())
}
