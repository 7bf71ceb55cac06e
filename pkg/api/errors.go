package api

import (
	"net/http"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/common"
)

// statuses maps the classes of errdefs to HTTP; the first that fits decides.
// An error of no class is the server's fault.
var statuses = []struct {
	is     func(error) bool
	status int
}{
	{errdefs.IsNotFound, http.StatusNotFound},
	{errdefs.IsInvalidArgument, http.StatusBadRequest},
	{errdefs.IsOutOfRange, http.StatusBadRequest},
	{errdefs.IsConflict, http.StatusConflict},
	{errdefs.IsAlreadyExists, http.StatusConflict},
	{errdefs.IsFailedPrecondition, http.StatusConflict},
	{errdefs.IsNotModified, http.StatusNotModified},
	{errdefs.IsPermissionDenied, http.StatusForbidden},
	{errdefs.IsUnauthorized, http.StatusUnauthorized},
	{errdefs.IsNotImplemented, http.StatusNotImplemented},
	{errdefs.IsResourceExhausted, http.StatusTooManyRequests},
	{errdefs.IsUnavailable, http.StatusServiceUnavailable},
}

// Status is the HTTP status that an error is answered with.
func Status(err error) int {
	for _, s := range statuses {
		if s.is(err) {
			return s.status
		}
	}
	return http.StatusInternalServerError
}

// writeError answers with an error in Docker's shape. 304 has no body, as
// HTTP demands.
func writeError(w http.ResponseWriter, status int, message string) error {
	if status == http.StatusNotModified {
		w.WriteHeader(status)
		return nil
	}
	return WriteJSON(w, status, common.ErrorResponse{Message: message})
}

// errPageNotFound is the answer to a path or method that Docker does not have.
var errPageNotFound = errdefs.ErrNotFound.WithMessage("page not found")

var errExperimental = errdefs.ErrNotImplemented.WithMessage("This experimental feature is disabled by default. Start the Docker daemon in experimental mode in order to enable it.")

// notImplemented answers for an operation that has no route.
func notImplemented(op Operation) Handler {
	err := errdefs.ErrNotImplemented.WithMessage(op.ID + " is not implemented yet")
	return func(http.ResponseWriter, *Request) error { return err }
}
