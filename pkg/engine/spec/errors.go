package spec

import "github.com/containerd/errdefs"

var (
	errNoCommand     = errdefs.ErrInvalidArgument.WithMessage("no command specified")
	errNoExecCommand = errdefs.ErrInvalidArgument.WithMessage("No exec command specified")
)
