package api_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/berth-engine/berth/pkg/api"
	"github.com/berth-engine/berth/pkg/version"
	"github.com/moby/moby/api/types/checkpoint"
)

// fakeCheckpoints notes what it was asked for.
type fakeCheckpoints struct{ asked string }

func (f *fakeCheckpoints) Create(_ context.Context, ref string, r checkpoint.CreateRequest) error {
	f.asked = fmt.Sprintf("create %s %s %s %t", ref, r.CheckpointDir, r.CheckpointID, r.Exit)
	return known(ref)
}

func (f *fakeCheckpoints) List(_ context.Context, ref, dir string) ([]checkpoint.Summary, error) {
	f.asked = fmt.Sprintf("list %s %s", ref, dir)
	if dir == "" {
		return nil, known(ref)
	}
	return []checkpoint.Summary{{Name: "a"}}, known(ref)
}

func (f *fakeCheckpoints) Remove(_ context.Context, ref, dir, id string) error {
	f.asked = fmt.Sprintf("remove %s %s %s", ref, dir, id)
	return known(ref)
}

func (f *fakeCheckpoints) Restore(_ context.Context, ref, dir, id string) error {
	f.asked = fmt.Sprintf("restore %s %s %s", ref, dir, id)
	return known(ref)
}

func TestCheckpoints(t *testing.T) {
	f := newFakes()
	s, err := api.New(api.Config{Version: "0.1", MinAPI: version.MinAPI, MaxAPI: version.MaxAPI, Routes: f.routes(), Experimental: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		method, target, body string
		status               int
		answer, asked        string
	}{
		{"POST", "/v1.44/containers/web/checkpoints", `{"CheckpointID":"a","CheckpointDir":"/d","Exit":true}`, 201, "", "create web /d a true"},
		{"POST", "/containers/web/checkpoints", "", 400, `{"message":"invalid JSON: got EOF while reading request body"}`, ""},
		{"POST", "/containers/x/checkpoints", `{"CheckpointID":"a"}`, 404, `{"message":"No such container: x"}`, "create x  a false"},
		{"GET", "/v1.25/containers/web/checkpoints", "", 200, "null", "list web "},
		{"GET", "/containers/web/checkpoints?dir=/d", "", 200, `[{"Name":"a"}]`, "list web /d"},
		{"DELETE", "/containers/web/checkpoints/a?dir=/d", "", 204, "", "remove web /d a"},
		{"DELETE", "/containers/x/checkpoints/a", "", 404, `{"message":"No such container: x"}`, "remove x  a"},
		{"POST", "/containers/web/start?checkpoint=a&checkpoint-dir=/d", "", 204, "", "restore web /d a"},
		{"POST", "/containers/web/start", "", 204, "", ""},
	} {
		f.checkpoints.asked = ""
		resp, body := do(t, s, c.method, c.target, c.body)
		if resp.StatusCode != c.status || body != c.answer && body != c.answer+"\n" || f.checkpoints.asked != c.asked {
			t.Errorf("%s %s: %d %q, asked for %q; want %d %q and %q", c.method, c.target, resp.StatusCode, body, f.checkpoints.asked, c.status, c.answer, c.asked)
		}
	}
	resp, _ := do(t, s, "GET", "/_ping", "")
	if got := resp.Header.Get("Docker-Experimental"); got != "true" {
		t.Errorf("Docker-Experimental: %s", got)
	}
}
