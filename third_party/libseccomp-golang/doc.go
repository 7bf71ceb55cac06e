// Package seccomp compiles system call filters into classic BPF, in Go.
//
// It has the import path and the part of the API of the cgo bindings to
// libseccomp that runc uses, so that a replace directive puts it in their place;
// runc exports the program and loads it into the kernel itself. The meaning of
// rules is libseccomp's: docs/seccomp.md of Berth says what that is, and where
// this package is stricter. What it cannot do exactly is an error of NewFilter,
// AddArch, AddRule or ExportBPF; it never answers with a weaker filter.
//
// A ScmpFilter must not be used by several goroutines at once.
package seccomp

//go:generate sh -c "go run ./internal/tablegen -sys $(cd ../.. && go list -m -f {{.Dir}} golang.org/x/sys)"
