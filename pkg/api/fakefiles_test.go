package api_test

import (
	"context"
	"io"
	"io/fs"
	"time"

	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/moby/moby/api/types/container"
)

// The files of fakeEngine's container: /etc is a link to /usr/etc.

func someStat() container.PathStat {
	return container.PathStat{Name: "etc", Size: 8, Mode: fs.ModeSymlink | 0o777, Mtime: time.Unix(1, 0).UTC(), LinkTarget: "/usr/etc"}
}

func (f *fakeEngine) Stat(_ context.Context, ref, path string) (container.PathStat, error) {
	f.note("Stat", ref, path)
	return someStat(), known(ref)
}

func (f *fakeEngine) ReadArchive(_ context.Context, ref, path string, open func(container.PathStat) (io.Writer, error)) error {
	f.note("ReadArchive", ref, path)
	f.archived = path
	if err := known(ref); err != nil {
		return err
	}
	w, err := open(someStat())
	if err == nil {
		_, err = io.WriteString(w, "tar")
	}
	return err
}

func (f *fakeEngine) WriteArchive(_ context.Context, ref, path string, o contents.WriteOptions, r io.Reader) error {
	f.note("WriteArchive", ref, path, o)
	f.archived, f.unpacked = path, o
	if err := known(ref); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

func (f *fakeEngine) Changes(_ context.Context, ref string) ([]container.FilesystemChange, error) {
	f.note("Changes", ref)
	return []container.FilesystemChange{{Path: "/etc", Kind: container.ChangeModify}}, known(ref)
}

func (f *fakeEngine) Export(_ context.Context, ref string, open func() (io.Writer, error)) error {
	f.note("Export", ref)
	if err := known(ref); err != nil {
		return err
	}
	w, err := open()
	if err == nil {
		_, err = io.WriteString(w, "tar")
	}
	return err
}

func (f *fakeEngine) Commit(_ context.Context, ref string, o contents.CommitOptions) (string, error) {
	f.note("Commit", ref, o)
	f.committed = o
	return "sha256:" + someID, known(ref)
}
