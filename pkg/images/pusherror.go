package images

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// pushError puts a failed push into Docker's words. Errors of the network and
// of TLS are clear by themselves and pass.
func pushError(err error, ref reference.Named) error {
	var status remoteerrors.ErrUnexpectedStatus
	refused := errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case refused, errors.Is(err, docker.ErrInvalidAuthorization):
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("push access denied for %s, repository does not exist or may require authorization: %v",
			reference.FamiliarName(ref), err))
	case status.StatusCode != 0:
		return registryError(status, err)
	}
	return fmt.Errorf("push %s: %w", reference.FamiliarString(ref), err)
}
