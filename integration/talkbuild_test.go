package integration

import (
	"archive/tar"
	"bytes"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// build builds as the first builder's clients do, and has the connections made
// that BuildKit's use.
func (c *talk) build() {
	c.t.Helper()
	req := c.request(c.operation("Session"), "", nil, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "h2c")
	req.Header.Set("X-Docker-Expose-Session-Uuid", "contract"+c.version)
	resp, err := c.h.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b, _ := io.ReadAll(resp.Body)
		c.t.Fatalf("a session: status %d: %s", resp.StatusCode, b)
	}
	resp.Body.Close()
	c.done["Session"] = true
	c.ask("Session", "", nil, nil, http.StatusBadRequest)

	context := func(dockerfile string) io.Reader {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: "Dockerfile", Mode: 0o644, Size: int64(len(dockerfile)), Format: tar.FormatPAX}); err != nil {
			c.t.Fatal(err)
		}
		if _, err := io.WriteString(w, dockerfile); err != nil {
			c.t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			c.t.Fatal(err)
		}
		return &b
	}
	got := string(c.ask("ImageBuild", "", url.Values{"t": {"made:here"}}, context("FROM "+image+"\nRUN echo made >/made\n"), 200))
	if !strings.Contains(got, `"Step 2/2 : RUN echo made \u003e/made\n"`) && !strings.Contains(got, `"Step 2/2 : RUN echo made >/made\n"`) || !strings.Contains(got, `"Successfully tagged made:here\n"`) {
		c.t.Errorf("the build says %s", got)
	}
	if got := string(c.ask("ImageBuild", "", nil, context("FROM "+image+"\nRUN exit 9\n"), 200)); !strings.Contains(got, `"code":9`) {
		c.t.Errorf("a build that fails says %s", got)
	}
	c.ask("ImageBuild", "", nil, context("FORM x\n"), http.StatusBadRequest)
	c.ask("ImageDelete", "made:here", nil, nil, 200)
	var pruned struct{ CachesDeleted []string }
	if c.into(&pruned, "BuildPrune", "", url.Values{"all": {"1"}}, nil, 200); len(pruned.CachesDeleted) == 0 {
		c.t.Errorf("pruned: %+v", pruned)
	}
}
