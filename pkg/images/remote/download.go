package remote

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
)

// Download fetches from a URL that a user gave, which is http:// without a
// scheme, and tells its size in bytes, -1 if that is not known. InvalidArgument
// for what is no URL, Unavailable when its server does not serve it.
func (r *Registries) Download(ctx context.Context, from string) (io.ReadCloser, int64, error) {
	if !strings.Contains(from, "://") {
		from = "http://" + from
	}
	u, err := url.Parse(from)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, 0, invalid("%q is not an HTTP URL", from)
	}
	client := &http.Client{Transport: docker.DefaultHTTPTransport(nil)}
	if err := r.equip(client); err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, 0, invalid("%v", err)
	}
	req.Header = UserAgent()
	resp, err := client.Do(req)
	if err != nil {
		return nil, 0, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("download: %v", err))
	}
	if resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, 0, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("download from %s: got HTTP status code %s", u.Redacted(), resp.Status))
	}
	return resp.Body, resp.ContentLength, nil
}
