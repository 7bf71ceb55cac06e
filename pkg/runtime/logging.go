package runtime

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"log/slog"
	"os"

	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
	bolterrors "go.etcd.io/bbolt/errors"
)

// logToSlog sends containerd's log, which is logrus', to slog. Its debug level
// is never asked for: it would put shims into their own debug mode, which
// costs a second socket and a log pipe each.
func logToSlog(debug bool) {
	logger := log.L.Logger
	logger.SetOutput(io.Discard)
	logger.ReplaceHooks(logrus.LevelHooks{})
	logger.AddHook(slogHook{})
	logger.SetLevel(logrus.WarnLevel)
	if debug {
		logger.SetLevel(logrus.InfoLevel)
	}
}

type slogHook struct{}

func (slogHook) Levels() []logrus.Level { return logrus.AllLevels }

func (slogHook) Fire(e *logrus.Entry) error {
	level := slog.LevelDebug // containerd's "info" is a line per plugin and shim
	switch {
	case expected(e):
	case e.Level <= logrus.ErrorLevel:
		level = slog.LevelError
	case e.Level == logrus.WarnLevel:
		level = slog.LevelWarn
	}
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	attrs := make([]slog.Attr, 0, len(e.Data)+1)
	attrs = append(attrs, slog.String("from", "containerd"))
	for k, v := range e.Data {
		attrs = append(attrs, slog.Any(k, v))
	}
	slog.LogAttrs(ctx, level, e.Message, attrs...)
	return nil
}

// expected says whether an error is containerd's word for what is all right or
// reaches the caller anyway:
//   - a file system without fs-verity, which it only tries;
//   - the end of a shim's log, which it closes itself before its reader notices;
//   - what cannot be cleaned up after a create that failed early;
//   - a collection of garbage that Close cut short;
//   - a build of which BuildKit keeps no trace, since nobody asked for traces;
//   - a build's step whose cgroup, of version 1, does not say who was killed.
func expected(e *logrus.Entry) bool {
	err, _ := e.Data[logrus.ErrorKey].(error)
	switch e.Message {
	case "failed check for fsverity support":
		return true
	case "copy shim log", "copy shim log after reload":
		return errors.Is(err, os.ErrClosed)
	case "failed to delete task":
		return errdefs.IsNotFound(errgrpc.ToNative(err))
	case "warnings while cleaning up dead shim", "no trace recorder found, skipping":
		return true
	case "failed to read oom_kill event":
		return errors.Is(err, fs.ErrNotExist)
	case "garbage collection failed":
		return errors.Is(err, bolterrors.ErrDatabaseNotOpen)
	}
	return false
}
