//go:build faultpoints

package main

import (
	"os"
	"syscall"
)

// faultPoint kills this very process where BERTH_FAULT says, as kill -9 would,
// so that tests can interrupt every step. Only binaries built with the tag
// faultpoints have it.
func faultPoint(name string) {
	if os.Getenv("BERTH_FAULT") == name {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // until it arrives
	}
}
