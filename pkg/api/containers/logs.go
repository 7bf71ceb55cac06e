package containers

import (
	"net/http"
	"strconv"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine"
)

func (h streamHandlers) logs(w http.ResponseWriter, r *api.Request) error {
	o, err := logsOptions(r)
	if err != nil {
		return err
	}
	out := api.NewOutput(w, r, o.Follow)
	return out.End(h.backend.Logs(r.Context(), r.Name, o, out.Open))
}

func logsOptions(r *api.Request) (o engine.LogsOptions, err error) {
	o = engine.LogsOptions{
		Stdout:     r.Bool("stdout"),
		Stderr:     r.Bool("stderr"),
		Follow:     r.Bool("follow"),
		Timestamps: r.Bool("timestamps"),
		Details:    r.Bool("details"),
		Tail:       -1,
	}
	if !o.Stdout && !o.Stderr {
		return o, api.Invalid("Bad parameters: you must choose at least one stream")
	}
	if o.Since, err = r.Time("since"); err != nil {
		return o, err
	}
	if r.Query.Get("until") != "0" { // as Docker: 0 is no end
		if o.Until, err = r.Time("until"); err != nil {
			return o, err
		}
	}
	// "all", and whatever else is no count of lines, is all of them.
	if n, err := strconv.Atoi(r.Query.Get("tail")); err == nil && n >= 0 {
		o.Tail = n
	}
	return o, nil
}
