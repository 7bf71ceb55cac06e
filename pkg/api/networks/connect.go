package networks

import (
	"net/http"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/moby/moby/api/types/network"
)

func (h handlers) connect(w http.ResponseWriter, r *api.Request) error {
	var q network.ConnectRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if q.EndpointConfig != nil {
		convertEndpoint(q.EndpointConfig, r.Version)
	}
	if err := h.containers.Connect(r.Context(), r.Name, q.Container, q.EndpointConfig); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}

func (h handlers) disconnect(w http.ResponseWriter, r *api.Request) error {
	var q network.DisconnectRequest
	if err := r.ReadJSON(&q); err != nil {
		return err
	}
	if err := h.containers.Disconnect(r.Context(), r.Name, q.Container, q.Force); err != nil {
		return err
	}
	w.WriteHeader(http.StatusOK)
	return nil
}
