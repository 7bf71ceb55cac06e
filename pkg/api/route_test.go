package api

import (
	"slices"
	"testing"
)

func TestMux(t *testing.T) {
	m := newMux()
	for _, op := range slices.Concat(Operations, Unlisted) {
		if err := m.add(&endpoint{Operation: op}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ method, path, operation, value string }{
		{"GET", "/containers/json", "ContainerList", ""},
		{"GET", "/containers/json/json", "ContainerInspect", "json"},
		{"GET", "/containers/a/attach/ws", "ContainerAttachWebsocket", "a"},
		{"POST", "/containers/create", "ContainerCreate", ""},
		{"POST", "/containers/create/start", "ContainerStart", "create"},
		{"GET", "/images/a/b/c:d/json", "ImageInspect", "a/b/c:d"},
		{"GET", "/images/json/json", "ImageInspect", "json"},
		{"GET", "/images/a/json/json", "ImageInspect", "a/json"},
		{"GET", "/images/search", "ImageSearch", ""},
		{"DELETE", "/images/a/b@sha256:c", "ImageDelete", "a/b@sha256:c"},
		{"GET", "/networks/", "NetworkList", ""},
		{"GET", "/networks/a", "NetworkInspect", "a"},
		{"GET", "/distribution/a/b/json", "DistributionInspect", "a/b"},
		{"HEAD", "/_ping", "SystemPingHead", ""},
		{"GET", "/containers/a/checkpoints", "CheckpointList", "a"},
		{"DELETE", "/containers/a/checkpoints/b", "CheckpointDelete", "a b"},
		{"DELETE", "/containers/a/checkpoints/", "ContainerDelete", "a/checkpoints/"},
		{"DELETE", "/containers/a/checkpoints/b/c", "ContainerDelete", "a/checkpoints/b/c"},
		{"DELETE", "/containers/a/checkpoints/b/checkpoints/c", "CheckpointDelete", "a/checkpoints/b c"},
		{"DELETE", "/containers/a", "ContainerDelete", "a"},
		{"GET", "/containers//json", "", ""},
		{"GET", "/containers/json/", "", ""},
		{"POST", "/containers/start", "", ""},
		{"DELETE", "/images/", "", ""},
		{"GET", "", "", ""},
		{"PATCH", "/info", "", ""},
	} {
		e, value, second := m.find(c.method, c.path)
		if second != "" {
			value += " " + second
		}
		id := ""
		if e != nil {
			id = e.ID
		}
		if id != c.operation || value != c.value {
			t.Errorf("%s %s: %q %q, want %q %q", c.method, c.path, id, value, c.operation, c.value)
		}
	}
	for _, path := range []string{"/{a}/{b}", "/{a}{b}", "/{a}/b/{c}/d", "/{a}/b/{c}/{d}", "/{a", "/{a}/b/{c"} {
		if err := m.add(&endpoint{Operation: Operation{Path: path}}); err == nil {
			t.Errorf("%s was taken", path)
		}
	}
}

func TestWithFields(t *testing.T) {
	base := struct {
		A string
		B *struct{ C int }
		D struct{ E int }
	}{A: "<a>"}
	raw, err := encode(WithFields(base, Fields{"A": "x", "B": Fields{"F": 1}, "D": Fields{"E": 9, "G": nil}, "H": "&"}))
	if want := `{"A":"<a>","B":{"F":1},"D":{"E":0,"G":null},"H":"&"}`; err != nil || string(raw) != want {
		t.Errorf("%s %v, want %s", raw, err, want)
	}
	if _, err := encode(WithFields(7, Fields{})); err == nil {
		t.Error("a number was taken for an object")
	}
}
