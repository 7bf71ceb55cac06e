package volumes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"

	"github.com/docker/cli/cli/command"
	"github.com/moby/moby/api/types/common"
)

// maxMessage bounds an error's body.
const maxMessage = 1 << 20

// call makes a request that moby's client does not know, over its connection, and
// gives the body of a good answer.
func call(ctx context.Context, c command.Cli, method, volume, verb string, query url.Values, body io.Reader) (io.ReadCloser, error) {
	dial := c.Client().Dialer()
	client := http.Client{Transport: &http.Transport{
		DialContext:       func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) },
		DisableKeepAlives: true, // one request
	}}
	target := url.URL{Scheme: "http", Host: "berth", Path: "/berth/volumes/" + volume + "/" + verb, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-tar")
	}
	for k, v := range c.ConfigFile().HTTPHeaders {
		req.Header.Set(k, v)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, unwrap(err)
	}
	if resp.StatusCode < http.StatusBadRequest {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// unwrap drops the made-up address from what went wrong.
func unwrap(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		return u.Err
	}
	return err
}

func refusal(resp *http.Response) error {
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if err != nil {
		return err
	}
	var e common.ErrorResponse
	if json.Unmarshal(raw, &e) != nil || e.Message == "" {
		e.Message = strings.TrimSpace(resp.Status + " " + string(raw))
	}
	if resp.StatusCode == http.StatusNotFound && e.Message == "page not found" {
		return errors.New("the daemon is not Berth's: it has no such operation")
	}
	return fmt.Errorf("Error response from daemon: %s", e.Message)
}
