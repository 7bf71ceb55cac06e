package request

import "testing"

func TestSharedMode(t *testing.T) {
	for mode, want := range map[string]struct{ readonly, ok bool }{
		"": {false, true}, "ro": {true, true}, "rw": {false, true}, "Z": {false, true}, "z,ro": {true, true}, "rw,cached,z": {false, true},
		"ro,rw": {}, "z,Z": {}, "cached,delegated": {}, "nocopy": {}, "rshared": {}, "rro": {}, "xx": {}, "ro,": {},
	} {
		if readonly, ok := sharedMode(mode); readonly != want.readonly || ok != want.ok {
			t.Errorf("%q: %v, %v", mode, readonly, ok)
		}
	}
}
