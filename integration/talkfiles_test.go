package integration

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"net/url"
	"slices"
)

// files moves some in and out of the container that runs.
func (c *talk) files() {
	c.t.Helper()
	var in bytes.Buffer
	w := tar.NewWriter(&in)
	if err := errors.Join(w.WriteHeader(&tar.Header{Name: "in", Size: 2, Mode: 0o600}), func() error { _, err := io.WriteString(w, "in"); return err }(), w.Close()); err != nil {
		c.t.Fatal(err)
	}
	at := func(path string) url.Values { return url.Values{"path": {path}} }
	c.ask("PutContainerArchive", "box", at("/etc"), &in, 200)
	c.ask("PutContainerArchive", "box", at("/nowhere"), &in, 404)
	c.ask("ContainerArchiveInfo", "box", at("/etc/in"), nil, 200)
	c.ask("ContainerArchiveInfo", "box", at("/etc/no"), nil, 404)
	if names := tarNames(c.t, c.ask("ContainerArchive", "box", at("/etc/in"), nil, 200)); !slices.Equal(names, []string{"in"}) {
		c.t.Errorf("archive holds %q", names)
	}
	c.ask("ContainerArchive", "box", nil, nil, 400)
	var changes []struct {
		Path string
		Kind int
	}
	if c.into(&changes, "ContainerChanges", "box", nil, nil, 200); len(changes) == 0 {
		c.t.Error("nothing changed")
	}
	if names := tarNames(c.t, c.ask("ContainerExport", "box", nil, nil, 200)); !slices.Contains(names, "etc/in") {
		c.t.Errorf("export holds %q", names)
	}
	var made struct{ ID string }
	if c.into(&made, "ImageCommit", "", url.Values{"container": {"box"}, "repo": {"committed"}, "changes": {"USER 5"}}, nil, 201); made.ID == "" {
		c.t.Error("no image")
	}
	c.ask("ImageCommit", "", url.Values{"container": {"box"}, "changes": {"RUN x"}}, nil, 400)
	c.ask("ImageDelete", "committed", nil, nil, 200)
}
