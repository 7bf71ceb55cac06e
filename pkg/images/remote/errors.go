package remote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// ErrPlatform is the lack of a platform in an image that is there.
var ErrPlatform = errdefs.ErrNotFound.WithMessage("no match for platform in manifest")

// PullError puts a failed pull of ref into Docker's words. Errors of the network
// and of TLS name their URL by themselves and pass.
func PullError(err error, ref reference.Named) error {
	status, refused := refusal(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded), errors.Is(err, ErrPlatform), errdefs.IsNotImplemented(err):
		return err
	case refused && status.StatusCode != http.StatusForbidden:
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("pull access denied for %s, repository does not exist or may require 'docker login': %s",
			reference.FamiliarName(ref), cause(status, err)))
	case status.StatusCode != 0:
		return registryError(status, ref)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("%s: the registry cut the connection or has fallen silent: %v", reference.FamiliarString(ref), err))
	case errdefs.IsInvalidArgument(err), errdefs.IsFailedPrecondition(err):
		// The registry's fault, not the client's: digests or documents are wrong.
		return errdefs.ErrDataLoss.WithMessage(fmt.Sprintf("invalid content of %s: %v", reference.FamiliarString(ref), err))
	case errdefs.IsNotFound(err):
		return errdefs.ErrNotFound.WithMessage(fmt.Sprintf("manifest for %s not found: manifest unknown: %v", reference.FamiliarString(ref), err))
	}
	return err
}

// PushError puts a failed push of ref into Docker's words, as PullError does.
func PushError(err error, ref reference.Named) error {
	status, refused := refusal(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case refused:
		return errdefs.ErrPermissionDenied.WithMessage(fmt.Sprintf("push access denied for %s, repository does not exist or may require authorization: %s",
			reference.FamiliarName(ref), cause(status, err)))
	case status.StatusCode != 0:
		return registryError(status, ref)
	}
	return fmt.Errorf("push %s: %w", reference.FamiliarString(ref), err)
}

// refusal returns the registry's status in err, if there is one, and whether
// the registry wants other credentials.
func refusal(err error) (status remoteerrors.ErrUnexpectedStatus, refused bool) {
	if errors.As(err, &status) {
		refused = status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden
	}
	return status, refused || errors.Is(err, docker.ErrInvalidAuthorization)
}

// cause is what the registry gave as its reason, or else the whole error.
func cause(status remoteerrors.ErrUnexpectedStatus, err error) string {
	if text := reason(status); text != "" {
		return text
	}
	return err.Error()
}

// maxReason bounds what of a registry's words is repeated.
const maxReason = 1 << 10

// reason is the text in the body of an error: of the specification's form, or of
// the one that some token servers have.
func reason(status remoteerrors.ErrUnexpectedStatus) string {
	var body struct {
		Errors  []struct{ Code, Message string }
		Details string
	}
	if json.Unmarshal(status.Body, &body) != nil {
		return ""
	}
	var texts []string
	for _, e := range body.Errors {
		code := strings.ToLower(strings.ReplaceAll(e.Code, "_", " "))
		texts = append(texts, strings.Trim(code+": "+e.Message, ": "))
	}
	if len(texts) == 0 && body.Details != "" {
		texts = append(texts, body.Details)
	}
	return clip(strings.Join(texts, ", "))
}

func clip(text string) string {
	text = strings.ToValidUTF8(text, "�")
	if len(text) > maxReason {
		return strings.ToValidUTF8(text[:maxReason], "") + "…"
	}
	return text
}

// registryError repeats what a registry gave as its reason.
func registryError(status remoteerrors.ErrUnexpectedStatus, ref reference.Named) error {
	text := fmt.Sprintf("error from registry: %s (%s)", cause(status, status), reference.FamiliarString(ref))
	switch status.StatusCode {
	case http.StatusForbidden:
		return errdefs.ErrPermissionDenied.WithMessage(text)
	case http.StatusTooManyRequests:
		return errdefs.ErrResourceExhausted.WithMessage(text)
	case http.StatusServiceUnavailable, http.StatusBadGateway, http.StatusGatewayTimeout:
		return errdefs.ErrUnavailable.WithMessage(text)
	}
	return errdefs.ErrUnknown.WithMessage(text)
}

// Transient says whether the operation may succeed when it is tried again: the
// network failed, or the registry said that it is not well.
func Transient(err error) bool {
	var status remoteerrors.ErrUnexpectedStatus
	var network *net.OpError
	var timeout net.Error
	switch {
	case err == nil, errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return false
	case errors.As(err, &status):
		return status.StatusCode >= 500 && status.StatusCode != http.StatusNotImplemented ||
			status.StatusCode == http.StatusTooManyRequests || status.StatusCode == http.StatusRequestTimeout
	case errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF):
		return true
	case errors.As(err, &network):
		return !strings.HasSuffix(network.Op, " error") // crypto/tls: an alert, which would come again
	}
	return errors.As(err, &timeout) && timeout.Timeout()
}

// Unreachable says whether there was no connection to the registry at all.
func Unreachable(err error) bool {
	var network *net.OpError
	return errors.As(err, &network) && network.Op == "dial"
}
