//go:build !faultpoints

package main

// faultPoint does nothing outside of tests; see fault.go.
func faultPoint(string) {}
