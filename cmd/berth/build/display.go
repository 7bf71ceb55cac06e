package build

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/docker/cli/cli/command"
	bkclient "github.com/moby/buildkit/client"
	solvererrdefs "github.com/moby/buildkit/solver/errdefs"
	"github.com/moby/buildkit/util/progress/progressui"
)

// display shows a build's progress.
type display struct {
	progressui.Display
	out    io.Writer
	silent bool
	found  []bkclient.VertexWarning
}

func newDisplay(dockerCLI command.Cli, o *options) (*display, error) {
	mode := progressui.DisplayMode(o.progress)
	if o.quiet {
		mode = progressui.QuietMode
	}
	d := &display{out: dockerCLI.Err()}
	switch mode {
	case "none", progressui.QuietMode:
		mode, d.silent = progressui.QuietMode, true
	case progressui.RawJSONMode:
		d.silent = true
	case progressui.AutoMode, progressui.PlainMode, progressui.TtyMode:
	default:
		return nil, fmt.Errorf("invalid progress mode %q: auto, none, plain, quiet, rawjson or tty", o.progress)
	}
	// BuildKit's display finds out by the file whether it is a terminal.
	if f, ok := dockerCLI.Err().File(); ok {
		d.out = f
	}
	var err error
	d.Display, err = progressui.NewDisplay(d.out, mode)
	return d, err
}

func (d *display) show(status chan *bkclient.SolveStatus) (err error) {
	d.found, err = d.UpdateFrom(context.Background(), status)
	return err
}

// warnings lists what the frontend found fault with.
func (d *display) warnings() {
	if d.silent || len(d.found) == 0 {
		return
	}
	plural := "s"
	if len(d.found) == 1 {
		plural = ""
	}
	_, _ = fmt.Fprintf(d.out, "\n %d warning%s found:\n", len(d.found), plural)
	for _, w := range d.found {
		_, _ = fmt.Fprintf(d.out, " - %s\n", w.Short)
	}
}

// explain shows the place of the error in the Dockerfile before the error.
func explain(ctx context.Context, out io.Writer, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return cause // interrupted: what the builder says then is of no interest
	}
	for _, s := range solvererrdefs.Sources(err) {
		_ = s.Print(out)
	}
	if errors.Is(err, context.Canceled) {
		return errors.New("the build was cancelled")
	}
	return fmt.Errorf("failed to build: %w", err)
}
