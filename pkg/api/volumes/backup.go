package volumes

import (
	"io"
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

// export: an error after the first byte breaks the connection off, for nobody to take
// half an archive for a whole one.
func (h backupHandlers) export(w http.ResponseWriter, r *api.Request) error {
	return h.backend.Export(r.Context(), r.Name, r.Bool("pause"), func() (io.Writer, error) {
		w.Header().Set("Content-Type", "application/x-tar")
		return w, nil
	})
}

func (h backupHandlers) importTar(w http.ResponseWriter, r *api.Request) error {
	v, err := h.backend.Import(r.Context(), r.Name, r.Bool("replace"), r.Body)
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusCreated, v)
}

func (h backupHandlers) snapshot(w http.ResponseWriter, r *api.Request) error {
	as := r.Query.Get("as")
	if as == "" {
		return api.Invalid("bad parameter: as cannot be empty")
	}
	v, err := h.backend.Snapshot(r.Context(), r.Name, as, r.Bool("pause"))
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusCreated, v)
}

func (h backupHandlers) restore(w http.ResponseWriter, r *api.Request) error {
	from := r.Query.Get("from")
	if from == "" {
		return api.Invalid("bad parameter: from cannot be empty")
	}
	if err := h.backend.Restore(r.Context(), r.Name, from); err != nil {
		return err
	}
	return api.NoContent(w)
}
