package integration

import (
	"io"
	"net/http"
)

// build has the connections that builders are reached by made, and refused.
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
}
