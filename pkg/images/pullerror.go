package images

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// errPlatform is the lack of a platform in an image that is there.
var errPlatform = errdefs.ErrNotFound.WithMessage("no match for platform in manifest")

// pullError puts a failed pull into Docker's words. Errors of the network and
// of TLS are clear by themselves and pass.
func pullError(err error, ref reference.Named) error {
	var status remoteerrors.ErrUnexpectedStatus
	unauthorized := errors.As(err, &status) && status.StatusCode == http.StatusUnauthorized
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, errPlatform):
		return err
	case unauthorized, errors.Is(err, docker.ErrInvalidAuthorization):
		return notFound("pull access denied for %s, repository does not exist or may require 'docker login': %v", reference.FamiliarName(ref), err)
	case status.StatusCode != 0:
		return registryError(status, err)
	case errdefs.IsInvalidArgument(err), errdefs.IsFailedPrecondition(err):
		// The registry's fault, not the client's: digests or documents are wrong.
		return errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("invalid content of %s: %v", reference.FamiliarString(ref), err))
	case errdefs.IsNotFound(err):
		return notFound("manifest for %s not found: manifest unknown: %v", reference.FamiliarString(ref), err)
	}
	return err
}

// registryError repeats what a registry gave as its reason.
func registryError(status remoteerrors.ErrUnexpectedStatus, err error) error {
	var body docker.Errors
	text := err.Error()
	if json.Unmarshal(status.Body, &body) == nil && len(body) > 0 {
		text = body.Error()
	}
	text = fmt.Sprintf("error from registry: %s", text)
	switch status.StatusCode {
	case http.StatusForbidden:
		return errdefs.ErrPermissionDenied.WithMessage(text)
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return errdefs.ErrUnavailable.WithMessage(text)
	}
	return errdefs.ErrUnknown.WithMessage(text)
}
