package runtime

import (
	"context"
	"io"
	"log/slog"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
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
