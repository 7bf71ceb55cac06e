package contract

import (
	"testing"

	"github.com/berth-engine/berth/pkg/version"
)

func TestSchemasLoad(t *testing.T) {
	v, err := New()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"1.25", "1.32", "1.41", "1.48", version.MaxAPI} {
		s, err := v.spec(name)
		if err != nil {
			t.Fatal(err)
		}
		if s == nil || s.find("GET", "/containers/x/json") == nil {
			t.Errorf("%s: no ContainerInspect", name)
		}
	}
}
