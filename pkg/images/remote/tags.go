package remote

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	remoteerrors "github.com/containerd/containerd/v2/core/remotes/errors"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// Bounds of a registry's list of tags.
const (
	maxTagsPage = 8 << 20 // bytes
	maxTags     = 10000
)

// Tags returns the tags of a repository from the first host that answers
// (OCI distribution specification, "Listing Tags").
func Tags(ctx context.Context, hosts docker.RegistryHosts, repo reference.Named) ([]string, error) {
	list, err := hosts(reference.Domain(repo))
	if err != nil {
		return nil, err
	}
	ctx = docker.WithScope(ctx, "repository:"+reference.Path(repo)+":pull")
	err = fmt.Errorf("no registry host for %s: %w", reference.Domain(repo), errdefs.ErrNotFound)
	for _, host := range list {
		if !host.Capabilities.Has(docker.HostCapabilityResolve) {
			continue
		}
		var tags []string
		if tags, err = tagsOf(ctx, host, repo); err == nil {
			return tags, nil
		}
	}
	return nil, err
}

func tagsOf(ctx context.Context, host docker.RegistryHost, repo reference.Named) ([]string, error) {
	next := &url.URL{Scheme: host.Scheme, Host: host.Host, Path: host.Path + "/" + reference.Path(repo) + "/tags/list"}
	var tags []string
	for next != nil {
		resp, err := get(ctx, host, next)
		if err != nil {
			return nil, err
		}
		var page struct{ Tags []string }
		err = json.NewDecoder(io.LimitReader(resp.Body, maxTagsPage)).Decode(&page)
		resp.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("list of tags of %s: %w", repo.Name(), err)
		}
		if tags = append(tags, page.Tags...); len(tags) > maxTags {
			return nil, fmt.Errorf("%s has more than %d tags", repo.Name(), maxTags)
		}
		if len(page.Tags) == 0 {
			break
		}
		next = nextPage(next, resp.Header.Get("Link"))
	}
	return tags, nil
}

// get asks once, and once more with what the registry wants to know of us. An
// answer other than 200 is an error.
func get(ctx context.Context, host docker.RegistryHost, u *url.URL) (*http.Response, error) {
	for attempt := 0; ; attempt++ {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
		if err != nil {
			return nil, err
		}
		req.Header = UserAgent()
		for k, v := range host.Header {
			req.Header[k] = v
		}
		if host.Authorizer != nil {
			if err := host.Authorizer.Authorize(ctx, req); err != nil {
				return nil, err
			}
		}
		resp, err := host.Client.Do(req)
		if err != nil {
			return nil, fmt.Errorf("failed to do request: %w", err)
		}
		if resp.StatusCode == http.StatusOK {
			return resp, nil
		}
		again := resp.StatusCode == http.StatusUnauthorized && attempt == 0 && host.Authorizer != nil
		if again {
			err = host.Authorizer.AddResponses(ctx, []*http.Response{resp})
			again = err == nil
		}
		if !again && (err == nil || errdefs.IsNotImplemented(err)) {
			err = remoteerrors.NewUnexpectedStatusErr(resp)
		}
		resp.Body.Close()
		if !again {
			if resp.StatusCode == http.StatusNotFound {
				return nil, fmt.Errorf("%s: %w", u.Redacted(), errdefs.ErrNotFound)
			}
			return nil, err
		}
	}
}

// nextPage follows a Link header, on the same host only.
func nextPage(from *url.URL, link string) *url.URL {
	target, params, ok := strings.Cut(strings.TrimPrefix(strings.TrimSpace(link), "<"), ">")
	if !ok || !strings.Contains(params, `rel="next"`) {
		return nil
	}
	u, err := from.Parse(target)
	if err != nil || u.Host != from.Host || u.Scheme != from.Scheme {
		return nil
	}
	return u
}
