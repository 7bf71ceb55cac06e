package remote

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/berth-engine/berth/pkg/filters"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/registry"
)

// maxSearch bounds a registry's answer to a search, of a hundred entries at most.
const maxSearch = 4 << 20

const defaultSearch = 25

// Search asks Docker Hub, or the registry that the term begins with, for
// repositories, by the old API that is the only one with a search. limit is
// Docker's from 1 to 100, 0 is 25. Filters: is-automated, is-official, stars.
// InvalidArgument for other ones, a wrong limit or a term that is none;
// Unavailable when the registry cannot be reached or does not know how to search.
func (r *Registries) Search(ctx context.Context, term string, limit int, auth *registry.AuthConfig, f filters.Args) ([]registry.SearchResult, error) {
	keep, err := searchFilter(f)
	if err != nil {
		return nil, err
	}
	if limit = cmp.Or(limit, defaultSearch); limit < 1 || limit > 100 {
		return nil, invalid("limit %d is outside the range of [1, 100]", limit)
	}
	domain, term, err := splitTerm(term)
	if err != nil {
		return nil, err
	}
	found, err := r.search(ctx, domain, term, limit, auth)
	if err != nil {
		return nil, err
	}
	out := []registry.SearchResult{}
	for _, one := range found[:min(len(found), limit)] {
		one.IsAutomated = false //nolint:staticcheck // no registry tells it any more, and Docker says false
		if keep(one) {
			out = append(out, one)
		}
	}
	return out, nil
}

// searchFilter is Docker's filter of search results as a function.
func searchFilter(f filters.Args) (func(registry.SearchResult) bool, error) {
	if err := f.Validate("is-automated", "is-official", "stars"); err != nil {
		return nil, err
	}
	automated, err := f.Bool("is-automated", false)
	if err != nil {
		return nil, err
	}
	official, err := f.Bool("is-official", false)
	if err != nil {
		return nil, err
	}
	stars := 0
	for _, s := range f["stars"] {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, invalid("invalid filter 'stars=%s'", s)
		}
		stars = max(stars, n)
	}
	return func(r registry.SearchResult) bool {
		return !automated && (!f.Has("is-official") || r.IsOfficial == official) && r.StarCount >= stars
	}, nil
}

// splitTerm takes the registry off a term, if it begins with one.
func splitTerm(term string) (domain, rest string, err error) {
	if strings.Contains(term, "://") {
		return "", "", invalid("invalid repository name: repository name (%s) should not have a scheme", term)
	}
	first, after, ok := strings.Cut(term, "/")
	if !ok || !strings.ContainsAny(first, ".:") && first != "localhost" {
		first, after = hub, term
	}
	if first = Domain(first); first == hub {
		after = strings.TrimPrefix(after, "library/")
	}
	if after == "" {
		return "", "", invalid("a term to search for is missing")
	}
	return first, after, nil
}

func (r *Registries) search(ctx context.Context, domain, term string, limit int, auth *registry.AuthConfig) ([]registry.SearchResult, error) {
	host, base, err := r.searchHost(ctx, domain, auth)
	if err != nil {
		return nil, err
	}
	base.Path = "/v1/search"
	base.RawQuery = url.Values{"q": {term}, "n": {strconv.Itoa(limit)}}.Encode()
	resp, err := get(ctx, host, base)
	if err != nil {
		return nil, searchError(err, domain)
	}
	defer resp.Body.Close()
	var page registry.SearchResults
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxSearch)).Decode(&page); err != nil {
		return nil, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("error decoding registry search results of %s: %v", domain, err))
	}
	return page.Results, nil
}

// searchHost is whom to ask. Credentials go along as they are, since the old API
// does not ask for them.
func (r *Registries) searchHost(ctx context.Context, domain string, auth *registry.AuthConfig) (docker.RegistryHost, *url.URL, error) {
	find, err := r.hosts(ctx, domain, nil)
	if err != nil {
		return docker.RegistryHost{}, nil, err
	}
	list, err := find(domain)
	if err == nil && len(list) == 0 {
		err = errdefs.ErrNotFound.WithMessage("no registry host is configured for " + domain)
	}
	if err != nil {
		return docker.RegistryHost{}, nil, err
	}
	host := list[len(list)-1]
	host.Authorizer = nil
	base := &url.URL{Scheme: host.Scheme, Host: host.Host}
	if domain == hub {
		if base, err = url.Parse(r.cfg.Hub); err != nil {
			return host, nil, err
		}
	}
	user, secret, err := credentials(auth)
	if err == nil && user != "" && (auth.ServerAddress == "" || Domain(auth.ServerAddress) == domain) {
		host.Authorizer = basic{user, secret}
	}
	return host, base, err
}

// basic sends a user's password without being asked.
type basic struct{ user, password string }

func (b basic) Authorize(_ context.Context, req *http.Request) error {
	req.SetBasicAuth(b.user, b.password)
	return nil
}

func (b basic) AddResponses(context.Context, []*http.Response) error {
	return docker.ErrInvalidAuthorization
}

func searchError(err error, domain string) error {
	status, refused := refusal(err)
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	case refused:
		return errdefs.ErrUnauthenticated.WithMessage(fmt.Sprintf("search in %s is denied: %s", domain, cause(status, err)))
	case errdefs.IsNotFound(err):
		return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("registry %s has no search (the v1 API): %v", domain, err))
	}
	return errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("search in %s: %v", domain, err))
}

func invalid(format string, args ...any) error {
	return errdefs.ErrInvalidArgument.WithMessage(fmt.Sprintf(format, args...))
}
