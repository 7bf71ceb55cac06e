package images

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) saveOne(w http.ResponseWriter, r *api.Request) error {
	return h.save(w, r, []string{r.Name})
}

func (h handlers) saveAll(w http.ResponseWriter, r *api.Request) error {
	return h.save(w, r, r.Query["names"])
}

// save has the status go out with the archive's first byte, so that what is
// refused before gets its own. An error after it breaks the connection off,
// for nobody to take half an archive for a whole one.
func (h handlers) save(w http.ResponseWriter, r *api.Request, names []string) error {
	platforms, err := movedPlatforms(r)
	if err != nil {
		return err
	}
	return h.backend.Save(r.Context(), names, platforms, &archiveWriter{w: w})
}

// archiveWriter sets the content type once there is content.
type archiveWriter struct {
	w     http.ResponseWriter
	begun bool
}

func (a *archiveWriter) Write(p []byte) (int, error) {
	if !a.begun {
		a.begun = true
		a.w.Header().Set("Content-Type", "application/x-tar")
	}
	return a.w.Write(p)
}
