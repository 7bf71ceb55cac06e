package api_test

import (
	"encoding/base64"
	"encoding/json"
	"reflect"
	"testing"

	"github.com/berth-engine/berth/pkg/engine/contents"
	"github.com/moby/moby/api/types/container"
)

func TestArchive(t *testing.T) {
	f := newFakes()
	s := newServer(t, f.routes())
	for _, method := range []string{"HEAD", "GET"} {
		resp, _ := do(t, s, method, "/containers/web/archive?path=/etc/.", "")
		b, err := base64.StdEncoding.DecodeString(resp.Header.Get("X-Docker-Container-Path-Stat"))
		var stat container.PathStat
		if err == nil {
			err = json.Unmarshal(b, &stat)
		}
		if err != nil || resp.StatusCode != 200 || stat != someStat() {
			t.Errorf("%s: %d %+v %v", method, resp.StatusCode, stat, err)
		}
	}
	if f.engine.archived != "/etc/." {
		t.Errorf("path %q: its end says what is meant", f.engine.archived)
	}
	for query, want := range map[string]contents.WriteOptions{
		"":                                      {},
		"&noOverwriteDirNonDir=true":            {KeepKinds: true},
		"&noOverwriteDirNonDir=1&copyUIDGID=1":  {KeepKinds: true, CopyOwner: true},
		"&noOverwriteDirNonDir=0&copyUIDGID=no": {},
	} {
		if resp, _ := do(t, s, "PUT", "/containers/web/archive?path=/x"+query, "tar"); resp.StatusCode != 200 || f.engine.unpacked != want {
			t.Errorf("%s: %d %+v", query, resp.StatusCode, f.engine.unpacked)
		}
	}
	for _, method := range []string{"GET", "PUT"} {
		resp, body := do(t, s, method, "/containers/web/archive", "")
		if resp.StatusCode != 400 || message(t, body) != "bad parameter: path cannot be empty" {
			t.Errorf("%s: %d %s", method, resp.StatusCode, body)
		}
	}
}

func TestCommit(t *testing.T) {
	f := newFakes()
	s := newServer(t, f.routes())
	for query, want := range map[string]contents.CommitOptions{
		"":                            {Pause: true},
		"&pause=0&author=a&comment=b": {Author: "a", Comment: "b"},
		"&repo=r&tag=t&changes=ENV+A&changes=USER+b": {Name: "r:t", Pause: true, Changes: []string{"ENV A", "USER b"}},
		"&repo=host:5000/r":                          {Name: "host:5000/r", Pause: true},
		"&tag=t":                                     {Pause: true},
	} {
		resp, body := do(t, s, "POST", "/commit?container=web"+query, "")
		if resp.StatusCode != 201 || body != `{"Id":"sha256:`+someID+"\"}\n" || !reflect.DeepEqual(f.engine.committed, want) {
			t.Errorf("%s: %d %s %+v", query, resp.StatusCode, body, f.engine.committed)
		}
	}
	if resp, body := do(t, s, "POST", "/commit?container=nobody", ""); resp.StatusCode != 404 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
