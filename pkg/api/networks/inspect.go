package networks

import (
	"net/http"
	"strconv"

	"github.com/berth-engine/berth/pkg/api"
)

func (h handlers) inspect(w http.ResponseWriter, r *api.Request) error {
	verbose := false
	if s := r.Query.Get("verbose"); s != "" {
		var err error
		if verbose, err = strconv.ParseBool(s); err != nil {
			return api.Invalid("invalid value for verbose: %s", s)
		}
	}
	n, err := h.backend.Inspect(r.Name, verbose, r.Query.Get("scope"))
	if err != nil {
		return err
	}
	return api.WriteJSON(w, http.StatusOK, convertInspect(n, r.Version))
}
