package remote

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Resolve finds out what ref stands for in its registry, and returns whom to
// fetch it from. NotImplemented for manifests of schema 1.
func Resolve(ctx context.Context, hosts docker.RegistryHosts, ref reference.Named) (ocispec.Descriptor, remotes.Fetcher, error) {
	resolver := Resolver(hosts, nil)
	name, desc, err := resolver.Resolve(ctx, ref.String())
	if desc.MediaType == images.MediaTypeDockerSchema1Manifest || errdefs.IsNotImplemented(err) {
		return desc, nil, errdefs.ErrNotImplemented.WithMessage(fmt.Sprintf("Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed."+
			" Suggest the author of %s to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2."+
			" More information at https://docs.docker.com/go/deprecated-image-specs/", ref))
	}
	if err != nil {
		return desc, nil, fmt.Errorf("failed to resolve reference %q: %w", ref.String(), explained(ctx, hosts, ref, err))
	}
	fetcher, err := resolver.Fetcher(ctx, name)
	return desc, fetcher, err
}

// explained asks once more for what was refused without a word: the answer to
// HEAD has no body, and in that registries say why (a rate limit, for one).
func explained(ctx context.Context, hosts docker.RegistryHosts, ref reference.Named, err error) error {
	var status, more remoteerrors.ErrUnexpectedStatus
	if !errors.As(err, &status) || status.RequestMethod != http.MethodHead || len(status.Body) > 0 {
		return err
	}
	u, perr := url.Parse(status.RequestURL)
	list, herr := hosts(reference.Domain(ref))
	if perr != nil || herr != nil {
		return err
	}
	for _, h := range list {
		if h.Host != u.Host {
			continue
		}
		resp, gerr := get(docker.WithScope(ctx, "repository:"+reference.Path(ref)+":pull"), h, u)
		if gerr == nil {
			resp.Body.Close()
		}
		if errors.As(gerr, &more) && more.StatusCode == status.StatusCode {
			return gerr
		}
	}
	return err
}
