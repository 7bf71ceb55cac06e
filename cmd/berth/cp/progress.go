package cp

import (
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/docker/cli/cli/streams"
	"github.com/docker/go-units"
	"github.com/morikuni/aec"
)

// Beginnings of the line that says how far a copy is.
const (
	inward  = "Copying to container - "
	outward = "Copying from container - "
)

// counter has what is written counted.
type counter func(io.Writer) io.Writer

// unknown is the size of what is known by its transfer only.
func unknown() int64 { return -1 }

// report runs copy and says on stderr how far it is, if that is a terminal, and what was
// copied where. size is of the files, without what tar adds.
func (j job) report(header, destination string, size func() int64, copy func(counter) error) error {
	if j.quiet {
		return copy(func(w io.Writer) io.Writer { return w })
	}
	var transferred atomic.Int64
	stop := show(j.cli.Err(), header, &transferred)
	err := copy(func(w io.Writer) io.Writer { return counted{w, &transferred} })
	stop()
	if err != nil {
		return err
	}
	total := transferred.Load()
	what := human(total)
	if content := size(); content >= 0 && content != total {
		what = fmt.Sprintf("%s (transferred %s)", human(content), what)
	}
	_, err = fmt.Fprintf(j.cli.Err(), "Successfully copied %s to %s\n", what, destination)
	return err
}

func human(n int64) string { return units.HumanSizeWithPrecision(float64(n), 3) }

type counted struct {
	io.Writer
	total *atomic.Int64
}

func (c counted) Write(p []byte) (int, error) {
	n, err := c.Writer.Write(p)
	c.total.Add(int64(n))
	return n, err
}

// refresh is how often the line is written.
const refresh = 75 * time.Millisecond

// show keeps a line of a terminal up to date until stop, which takes it away.
func show(out *streams.Out, header string, total *atomic.Int64) (stop func()) {
	if !out.IsTerminal() {
		return func() {}
	}
	line := func(text string) {
		_, _ = fmt.Fprint(out, aec.Column(1), aec.EraseLine(aec.EraseModes.All), text)
	}
	line(header + human(0))
	var wait sync.WaitGroup
	done := make(chan struct{})
	wait.Go(func() {
		tick := time.NewTicker(refresh)
		defer tick.Stop()
		for {
			select {
			case <-done:
				line("")
				return
			case <-tick.C:
				line(header + human(total.Load()))
			}
		}
	})
	return func() { close(done); wait.Wait() }
}

// contentSize adds up the regular files at a path; what cannot be looked at counts
// nothing.
func contentSize(path string) (total int64) {
	_ = filepath.WalkDir(path, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil //nolint:nilerr // see above
		}
		if info, err := d.Info(); err == nil {
			total += info.Size()
		}
		return nil
	})
	return total
}
