package system

import "testing"

// Anyone who may ask for info sees proxies.
func TestWithoutCredentials(t *testing.T) {
	for proxy, want := range map[string]string{
		"":                            "",
		"http://proxy:3128":           "http://proxy:3128",
		"http://me:secret@proxy:3128": "http://xxxxx:xxxxx@proxy:3128",
		"http://me@proxy":             "http://xxxxx:xxxxx@proxy",
	} {
		if got := withoutCredentials(proxy); got != want {
			t.Errorf("%s: %s", proxy, got)
		}
	}
}
