package files

import (
	"compress/gzip"
	"errors"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

const packed = ".gz"

// rotate begins a new file. When it cannot, writing goes on in the old one,
// and the next Flush tries again: a log too long is better than none.
func (w *Writer) rotate() {
	// Someone may have emptied the file under us: its size then is not ours.
	if w.file != nil {
		if fi, err := w.file.Stat(); err == nil {
			if w.size = fi.Size(); w.size < w.limits.MaxSize {
				return
			}
		}
	}
	if w.pack.busy() {
		if w.size < 2*w.limits.MaxSize {
			return // rather too long for a moment than the container waiting for gzip
		}
		w.pack.wait()
	}
	if err := w.shift(); err != nil {
		slog.Error("log is not rotated", "path", w.path, "error", err)
		w.stuck = true
		return
	}
	if w.limits.Compress {
		w.pack.start(w.path + ".1")
	}
}

// shift renames the files and opens the new one. It may be cut off after
// any step: readers bear a missing number, and open makes the newest.
func (w *Writer) shift() error {
	if w.limits.MaxFile == 1 {
		// A new file in its place, not a truncated one, so that a reader keeps
		// what it has not read yet.
		f, err := os.OpenFile(w.path+".new", os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
		if err != nil {
			return err
		}
		if err = errors.Join(f.Close(), os.Rename(w.path+".new", w.path)); err != nil {
			return err
		}
	} else {
		older, err := list(w.path)
		if err != nil {
			return err
		}
		for _, r := range slices.Backward(older) {
			if r.number >= w.limits.MaxFile-1 {
				err = errors.Join(remove(r.path(w.path)), remove(rotated{r.number, true}.path(w.path)))
			} else {
				err = move(w.path, r.number)
			}
			if err != nil {
				return err
			}
		}
		if err := os.Rename(w.path, w.path+".1"); err != nil {
			return err
		}
	}
	old := w.file
	w.file, w.torn = nil, false
	if old != nil {
		_ = old.Close()
	}
	return w.open()
}

// move gives the rotated file n the next number, which is free.
func move(path string, n int) error {
	for _, gz := range [...]bool{false, true} { // both after a kill while compressing
		err := os.Rename(rotated{n, gz}.path(path), rotated{n + 1, gz}.path(path))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// packer compresses one rotated file at a time, beside the writer. The zero value
// is idle. It is for one goroutine.
type packer struct{ done chan struct{} }

func (p *packer) start(path string) {
	done := make(chan struct{})
	p.done = done
	go func() {
		defer close(done)
		if err := compress(path); err != nil {
			slog.Error("rotated log is not compressed", "path", path, "error", err)
		}
	}()
}

func (p *packer) busy() bool {
	if p.done == nil {
		return false
	}
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

func (p *packer) wait() {
	if p.done != nil {
		<-p.done
	}
}

// compress replaces path by path.gz. Both exist for a moment; readers take path.
func compress(path string) (err error) {
	in, err := os.Open(path)
	if err != nil {
		return err
	}
	defer in.Close()
	fi, err := in.Stat()
	if err != nil {
		return err
	}
	tmp := path + packed + ".new"
	out, err := os.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, fileMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(tmp)
		}
	}()
	z := gzip.NewWriter(out)
	_, err = io.Copy(z, in)
	if err = errors.Join(err, z.Close(), out.Close()); err != nil {
		return err
	}
	// Readers tell by it whether there is anything recent in the file.
	if err = os.Chtimes(tmp, fi.ModTime(), fi.ModTime()); err != nil {
		return err
	}
	if err := os.Rename(tmp, path+packed); err != nil {
		return err
	}
	return os.Remove(path)
}

// rotated is a rotated file of a log.
type rotated struct {
	number int
	gz     bool
}

func (r rotated) path(log string) string {
	p := log + "." + strconv.Itoa(r.number)
	if r.gz {
		p += packed
	}
	return p
}

// list finds the rotated files of the log at path, newest first.
func list(path string) ([]rotated, error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	found := map[int]rotated{}
	for _, name := range names {
		rest, ok := strings.CutPrefix(name, filepath.Base(path)+".")
		if !ok {
			continue
		}
		digits, gz := strings.CutSuffix(rest, packed)
		n, err := strconv.Atoi(digits)
		if err != nil || n < 1 || strconv.Itoa(n) != digits {
			continue
		}
		if have, ok := found[n]; !ok || have.gz {
			found[n] = rotated{n, gz}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b rotated) int { return a.number - b.number }), nil
}
