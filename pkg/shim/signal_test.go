package shim

import "testing"

func TestReceptive(t *testing.T) {
	for _, c := range []struct {
		name, status string
		want         bool
	}{
		{"the runtime's", "Name:\trunc:[2:INIT]\nSigBlk:\t0000000000000000\nSigCgt:\tfffffffd7fc1feff\n", false},
		{"any program", "Name:\tsleep\nSigBlk:\t0000000000000000\nSigCgt:\t0000000000000000\n", true},
		{"init, executed", "Name:\tdocker-init\nSigBlk:\t0000000000000000\nSigCgt:\t0000000000000000\n", false},
		{"init, Go's runtime", "Name:\tdocker-init\nSigBlk:\t0000000000000000\nSigCgt:\tfffffffd7fc1feff\n", false},
		{"init, a thread begins", "Name:\tdocker-init\nSigBlk:\tfffffffffffbfeff\nSigCgt:\tfffffffd7fc1feff\n", false},
		{"init, ready", "Name:\tdocker-init\nSigBlk:\t0000000000000000\nSigCgt:\tfffffffd7ffbfeff\n", true},
		{"tini, ready", "Name:\tdocker-init\nSigBlk:\tfffffffe7ffbca07\nSigCgt:\t0000000000000000\n", true},
		{"nothing", "", true},
	} {
		if got := receptive(c.status); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
