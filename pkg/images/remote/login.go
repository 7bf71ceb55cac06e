package remote

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/moby/moby/api/types/registry"
)

// credentials returns the user and password that the client sent; no user and
// a token for an identity token. InvalidArgument for a malformed Auth.
func credentials(auth *registry.AuthConfig) (user, secret string, err error) {
	switch {
	case auth == nil:
		return "", "", nil
	case auth.IdentityToken != "":
		return "", auth.IdentityToken, nil
	case auth.Username == "" && auth.Auth != "":
		p, err := base64.StdEncoding.DecodeString(auth.Auth)
		user, secret, ok := strings.Cut(string(p), ":")
		if err != nil || !ok {
			return "", "", errdefs.ErrInvalidArgument.WithMessage("invalid registry credentials: auth is not the base64 of user:password")
		}
		return user, strings.TrimRight(secret, "\x00"), nil
	}
	return auth.Username, auth.Password, nil
}

// bearer is a token that the client obtained by itself.
type bearer string

func (b bearer) Authorize(_ context.Context, req *http.Request) error {
	req.Header.Set("Authorization", "Bearer "+string(b))
	return nil
}

func (b bearer) AddResponses(context.Context, []*http.Response) error {
	return fmt.Errorf("%w: the registry token was refused", docker.ErrInvalidAuthorization)
}

// Login asks the registry of auth whether it takes these credentials. From a
// registry with a token server the answer has an identity token, if that server
// gives such, to be kept in place of the password. Unauthenticated when they are
// refused.
func (r *Registries) Login(ctx context.Context, auth registry.AuthConfig) (registry.AuthResponse, error) {
	domain := Domain(auth.ServerAddress)
	if _, err := reference.Parse(domain + "/x"); err != nil {
		return registry.AuthResponse{}, errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf("invalid registry address %q", auth.ServerAddress))
	}
	var identity atomic.Value
	find, err := r.hosts(ctx, domain, &auth, docker.WithFetchRefreshToken(func(_ context.Context, token string, _ *http.Request) {
		identity.Store(token)
	}))
	if err != nil {
		return registry.AuthResponse{}, err
	}
	list, err := find(domain)
	if err != nil {
		return registry.AuthResponse{}, err
	}
	if len(list) == 0 {
		return registry.AuthResponse{}, errdefs.ErrNotFound.WithMessage("no registry host is configured for " + domain)
	}
	host := list[len(list)-1] // mirrors come first
	u := &url.URL{Scheme: host.Scheme, Host: host.Host, Path: host.Path + "/"}
	resp, err := get(ctx, host, u)
	if err != nil {
		return registry.AuthResponse{}, loginError(u, err)
	}
	resp.Body.Close()
	out := registry.AuthResponse{Status: "Login Succeeded"}
	if token, ok := identity.Load().(string); ok {
		out.IdentityToken = token
	}
	return out, nil
}

func loginError(u *url.URL, err error) error {
	var status remoteerrors.ErrUnexpectedStatus
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden):
		text := reason(status)
		// Docker tells the words of a token server, but not those of the registry.
		if at, perr := url.Parse(status.RequestURL); text == "" || perr == nil && at.Host == u.Host && at.Path == u.Path {
			return errdefs.ErrUnauthenticated.WithMessage(fmt.Sprintf("login attempt to %s failed with status: %s", status.RequestURL, status.Status))
		}
		return errdefs.ErrUnauthenticated.WithMessage(fmt.Sprintf("Get %q: %s", u.String(), text))
	case errors.As(err, &status):
		return errdefs.ErrUnknown.WithMessage(fmt.Sprintf("login attempt to %s failed with status: %s", u, status.Status))
	case errors.Is(err, docker.ErrInvalidAuthorization):
		return errdefs.ErrUnauthenticated.WithMessage(fmt.Sprintf("Get %q: %v", u.String(), err))
	}
	return fmt.Errorf("login to %s: %w", u.Host, err)
}
