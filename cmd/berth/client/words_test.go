package client

import "testing"

func TestBerthErrorKeepsNames(t *testing.T) {
	for in, want := range map[string]string{
		"docker: no such image\n\nRun 'docker run --help' for more information":      "berth: no such image\n\nRun 'berth run --help' for more information",
		"Error response from daemon: No such container: docker":                      "Error response from daemon: No such container: docker",
		"docker: Error response from daemon: pull access denied for docker":          "berth: Error response from daemon: pull access denied for docker",
		"Error response from daemon: docker: it says\nRun 'docker x' (not the CLI)'": "Error response from daemon: docker: it says\nRun 'docker x' (not the CLI)'",
	} {
		if got := berthError(in); got != want {
			t.Errorf("%q\n got %q\nwant %q", in, got, want)
		}
	}
}
