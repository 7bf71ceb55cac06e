package request

import (
	"reflect"
	"testing"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/streams"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

func TestLog(t *testing.T) {
	for _, c := range []struct {
		name    string
		options map[string]string
		want    map[string]string // nil: refused
		tag     string
	}{
		{"none", map[string]string{"max-size": "1m"}, map[string]string{}, "0123456789ab"},
		{"labels", map[string]string{"labels": "team,absent"}, map[string]string{"team": "blue"}, "0123456789ab"},
		{"labels by expression", map[string]string{"labels-regex": "^t"}, map[string]string{"team": "blue", "tier": "1"}, "0123456789ab"},
		{"env", map[string]string{"env": "A,B"}, map[string]string{"A": "1=2", "B": ""}, "0123456789ab"},
		{"env by expression", map[string]string{"env-regex": "^A$"}, map[string]string{"A": "1=2"}, "0123456789ab"},
		{"tag", map[string]string{"tag": "{{.Name}}/{{.ID}} {{.ImageName}}@{{.ImageID}}"}, map[string]string{}, "web/0123456789ab img@fedcba987654"},
		{"bad expression", map[string]string{"labels-regex": "("}, nil, ""},
		{"bad template", map[string]string{"tag": "{{.Nope}}"}, nil, ""},
		{"broken template", map[string]string{"tag": "{{"}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &container.Record{
				ID: "0123456789abcdef", Name: "web", Image: "sha256:fedcba9876543210",
				Config:     &ctypes.Config{Image: "img", Labels: map[string]string{"team": "blue", "tier": "1", "x": "y"}, Env: []string{"A=1=2", "B=", "C"}},
				HostConfig: &ctypes.HostConfig{LogConfig: ctypes.LogConfig{Config: c.options}},
			}
			got, err := Log(r, streams.Log{Driver: "local"})
			if c.want == nil {
				if !errdefs.IsInvalidArgument(err) {
					t.Errorf("got %v, %v", got, err)
				}
				return
			}
			want := streams.Log{Driver: "local", ID: r.ID, Name: "web", Image: "img", Attrs: c.want, Tag: c.tag}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("got %v (%v), want %v", got, err, want)
			}
		})
	}
}
