// Command bench compares container engines side by side through their CLIs. The
// engines take turns, sample by sample, so that whatever else the machine does
// meets them alike; what is reported are medians, and their ratios.
//
//	bench                                   berth and Debian's docker.io, both started for it
//	bench a=berth@/run/berth/berth.sock b=docker@/var/run/docker.sock
//
// It runs as root and removes all that it made. Interrupted, it prints what it has.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"syscall"

	"github.com/berth-engine/berth/hack/figures"
)

type options struct {
	rounds     int
	containers int
	beside     int
	logMiB     int
	contextMiB int
	imageMiB   int
	fileMiB    int
	files      int
	only       *regexp.Regexp
	write      string
	engines    []string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		stop()
		os.Exit(1)
	}
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.Usage = func() {
		fmt.Fprintln(f.Output(), "Usage: bench [FLAGS] [NAME=CLI@SOCKET ...]\n\nWithout engines, berth and Debian's docker.io are started for the run.")
		f.PrintDefaults()
	}
	f.IntVar(&o.rounds, "rounds", 15, "samples of each figure and engine")
	f.IntVar(&o.containers, "containers", 200, "containers that ps lists")
	f.IntVar(&o.beside, "beside", 50, "containers on the network of the second endpoint figures")
	f.IntVar(&o.logMiB, "log-mib", 16, "MiB that the container of the log figures writes")
	f.IntVar(&o.contextMiB, "context-mib", 500, "MiB of the large context that is built from")
	f.IntVar(&o.imageMiB, "image-mib", 1024, "MiB of the image of 10 layers that is moved; that of 60 layers has a tenth")
	f.IntVar(&o.fileMiB, "file-mib", 1024, "MiB of the large file that is copied")
	f.IntVar(&o.files, "files", 50000, "small files that are copied")
	f.StringVar(&o.write, "write", "", "put the table into this `file`, between its bench marks")
	only := f.String("only", "", "measure only what matches this `regexp`")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	o.engines = f.Args()
	if min(o.rounds, o.containers, o.beside, o.logMiB, o.contextMiB, o.imageMiB, o.fileMiB, o.files) < 1 {
		return o, errors.New("rounds, containers, files and all in MiB must be at least 1")
	}
	var err error
	if o.only, err = regexp.Compile("(?i)" + *only); err != nil {
		return o, fmt.Errorf("-only: %w", err)
	}
	return o, nil
}

func run(ctx context.Context, args []string) (err error) {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if os.Geteuid() != 0 {
		return errors.New("must be run as root")
	}
	dir, err := os.MkdirTemp("", "berth-bench.")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeAll(dir)) }()

	engines, stop, err := openEngines(ctx, dir, o.engines)
	defer func() { err = errors.Join(err, stop()) }()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, removeContainers(engines)) }()
	if err := loadImage(ctx, filepath.Join(dir, "image.tar"), engines); err != nil {
		return err
	}
	r := &report{engines: engines}
	failed := measure(ctx, o, cases(o, dir), r)
	table := r.markdown(figures.Machine())
	if len(r.figures) > 0 { // what there is of them, if it was interrupted
		fmt.Print(table)
	}
	if failed == nil && o.write != "" {
		return figures.Put(o.write, "bench", table)
	}
	return failed
}

// measure measures what was asked for, until something fails.
func measure(ctx context.Context, o options, all []benchCase, r *report) error {
	for _, c := range all {
		if !o.only.MatchString(c.name) {
			continue
		}
		fmt.Fprintf(os.Stderr, "%s …\n", c.name)
		if err := c.measure(ctx, r); err != nil {
			return fmt.Errorf("%s: %w", c.name, cmp.Or(context.Cause(ctx), err))
		}
	}
	return nil
}
