package containers

import (
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/moby/moby/api/types/container"
)

// archivePath is the parameter that all three operations need.
func archivePath(r *api.Request) (string, error) {
	if p := r.Query.Get("path"); p != "" {
		return p, nil
	}
	return "", api.Invalid("bad parameter: path cannot be empty")
}

// setStat puts the description of a path where clients look for it.
func setStat(w http.ResponseWriter, stat container.PathStat) error {
	b, err := json.Marshal(stat)
	if err != nil {
		return err
	}
	w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(b))
	return nil
}

func (h handlers) statPath(w http.ResponseWriter, r *api.Request) error {
	path, err := archivePath(r)
	if err != nil {
		return err
	}
	stat, err := h.backend.Stat(r.Context(), r.Name, path)
	if err != nil {
		return err
	}
	return setStat(w, stat)
}

// readArchive: an error after the first byte breaks the connection off, for nobody
// to take half an archive for a whole one.
func (h handlers) readArchive(w http.ResponseWriter, r *api.Request) error {
	path, err := archivePath(r)
	if err != nil {
		return err
	}
	return h.backend.ReadArchive(r.Context(), r.Name, path, func(stat container.PathStat) (io.Writer, error) {
		w.Header().Set("Content-Type", "application/x-tar")
		return w, setStat(w, stat)
	})
}

func (h handlers) writeArchive(_ http.ResponseWriter, r *api.Request) error {
	path, err := archivePath(r)
	if err != nil {
		return err
	}
	return h.backend.WriteArchive(r.Context(), r.Name, path, contents.WriteOptions{
		KeepKinds: r.Bool("noOverwriteDirNonDir"), CopyOwner: r.Bool("copyUIDGID"),
	}, r.Body)
}

func (h handlers) export(w http.ResponseWriter, r *api.Request) error {
	return h.backend.Export(r.Context(), r.Name, func() (io.Writer, error) {
		w.Header().Set("Content-Type", "application/octet-stream")
		return w, nil
	})
}

func (h handlers) changes(w http.ResponseWriter, r *api.Request) error {
	all, err := h.backend.Changes(r.Context(), r.Name)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		all = nil // null, as in Docker
	}
	return api.WriteJSON(w, http.StatusOK, all)
}
