package api_test

import (
	"context"
	"io"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	apivolumes "github.com/berth-engine/berth/pkg/api/volumes"
	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/volume"
)

// fakeBackups has one volume, "data".
type fakeBackups struct {
	paused, replaced bool
	as, from, in     string
}

func (f *fakeBackups) known(name string) error {
	if name == "data" {
		return nil
	}
	return errdefs.ErrNotFound.WithMessage("get " + name + ": no such volume")
}

func (f *fakeBackups) Export(_ context.Context, name string, pause bool, open func() (io.Writer, error)) error {
	f.paused = pause
	if err := f.known(name); err != nil {
		return err
	}
	w, err := open()
	if err == nil {
		_, err = io.WriteString(w, "tar")
	}
	return err
}

func (f *fakeBackups) Import(_ context.Context, name string, replace bool, r io.Reader) (volume.Volume, error) {
	f.replaced = replace
	b, err := io.ReadAll(r)
	f.in = string(b)
	return volume.Volume{Name: name}, err
}

func (f *fakeBackups) Snapshot(_ context.Context, name, as string, pause bool) (volume.Volume, error) {
	f.as, f.paused = as, pause
	return volume.Volume{Name: as}, f.known(name)
}

func (f *fakeBackups) Restore(_ context.Context, name, from string) error {
	f.from = from
	return f.known(name)
}

func TestBackups(t *testing.T) {
	f := &fakeBackups{}
	s := newServer(t, apivolumes.BackupRoutes(f))
	for _, c := range []struct {
		method, target, body string
		status               int
		want                 fakeBackups
	}{
		{"GET", "/berth/volumes/data/export", "", 200, fakeBackups{}},
		{"GET", "/v1.44/berth/volumes/data/export?pause=1", "", 200, fakeBackups{paused: true}},
		{"GET", "/berth/volumes/none/export", "", 404, fakeBackups{}},
		{"POST", "/berth/volumes/new/import?replace=1", "tar", 201, fakeBackups{replaced: true, in: "tar"}},
		{"POST", "/berth/volumes/data/snapshot?as=x&pause=true", "", 201, fakeBackups{as: "x", paused: true}},
		{"POST", "/berth/volumes/data/snapshot", "", 400, fakeBackups{}},
		{"POST", "/berth/volumes/data/restore?from=x", "", 204, fakeBackups{from: "x"}},
		{"POST", "/berth/volumes/data/restore", "", 400, fakeBackups{}},
	} {
		*f = fakeBackups{}
		if resp, body := do(t, s, c.method, c.target, c.body); resp.StatusCode != c.status || *f != c.want {
			t.Errorf("%s %s: %d %s %+v", c.method, c.target, resp.StatusCode, body, *f)
		}
	}
	served := map[string]bool{}
	for _, r := range apivolumes.BackupRoutes(f) {
		served[r.Operation] = true
	}
	for _, o := range api.Own {
		if !served[o.ID] {
			t.Errorf("%s is documented and not served", o.ID)
		}
	}
}
