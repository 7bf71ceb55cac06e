package exec

import (
	"io"
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/moby/moby/api/types/container"
)

func (h handlers) start(w http.ResponseWriter, r *api.Request) error {
	var body container.ExecStartRequest
	r.LimitBody(w) // before the stream comes a JSON object
	if err := r.ReadJSON(&body); err != nil {
		return err
	}
	o := engine.ExecStartOptions{
		Detach:      body.Detach,
		Tty:         body.Tty,
		ConsoleSize: consoleSize(body.ConsoleSize, body.Tty, r.Version),
	}
	if o.Detach {
		if err := h.backend.ExecStart(r.Context(), r.Name, o, nil); err != nil {
			return err
		}
		w.WriteHeader(http.StatusOK)
		return nil
	}
	ctx, open, release := r.Hijack(w)
	defer release()
	return h.backend.ExecStart(ctx, r.Name, o, func(tty bool) (engine.Conn, error) {
		conn, err := open(tty && body.Tty)
		if err != nil || !tty || body.Tty {
			return conn, err
		}
		return framed{conn, streams.NewFrameWriter(conn, streams.Stdout)}, nil
	})
}

// framed sends a terminal's output in frames, to a client that created the exec with a
// terminal and does not ask for one when it starts it: which of the two it reads is
// what the latter says.
type framed struct {
	engine.Conn
	out io.Writer
}

func (f framed) Write(p []byte) (int, error) { return f.out.Write(p) }
