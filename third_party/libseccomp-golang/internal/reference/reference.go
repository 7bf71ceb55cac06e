//go:build cgo && libseccomp_reference

// Package reference calls the C library libseccomp, for tests that compare its
// filters with ours. It is behind the build tag libseccomp_reference: nothing
// that is shipped is linked with the library.
package reference

/*
#cgo pkg-config: libseccomp
#include <errno.h>
#include <stdlib.h>
#include <seccomp.h>

// SCMP_SYS and the like are macros, which cgo cannot call.
static int compile(uint32_t def, uint32_t *archs, int narchs, int optimize, int fd,
		int nrules, int *nrs, uint32_t *actions, int *nargs, struct scmp_arg_cmp *args,
		int *failed) {
	scmp_filter_ctx ctx = seccomp_init(def);
	int rc = 0, a = 0;
	*failed = -1;
	if (!ctx)
		return -EINVAL;
	for (int i = 0; i < narchs && !rc; i++) {
		rc = seccomp_arch_add(ctx, archs[i]);
		if (rc == -EEXIST)
			rc = 0;
	}
	if (!rc && optimize)
		rc = seccomp_attr_set(ctx, SCMP_FLTATR_CTL_OPTIMIZE, optimize);
	for (int i = 0; i < nrules && !rc; i++) {
		rc = seccomp_rule_add_array(ctx, actions[i], nrs[i], nargs[i], args + a);
		a += nargs[i];
		if (rc)
			*failed = i;
	}
	if (!rc)
		rc = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	return rc;
}
*/
import "C"

import (
	"fmt"
	"io"
	"os"
	"unsafe"
)

// Architecture tokens of libseccomp, which for x32 is none of the kernel's.
const (
	X86     = uint32(C.SCMP_ARCH_X86)
	AMD64   = uint32(C.SCMP_ARCH_X86_64)
	X32     = uint32(C.SCMP_ARCH_X32)
	ARM     = uint32(C.SCMP_ARCH_ARM)
	ARM64   = uint32(C.SCMP_ARCH_AARCH64)
	RISCV64 = uint32(C.SCMP_ARCH_RISCV64)
)

// Comparisons, in libseccomp's numbering.
const (
	NE       = int(C.SCMP_CMP_NE)
	LT       = int(C.SCMP_CMP_LT)
	LE       = int(C.SCMP_CMP_LE)
	EQ       = int(C.SCMP_CMP_EQ)
	GE       = int(C.SCMP_CMP_GE)
	GT       = int(C.SCMP_CMP_GT)
	MaskedEQ = int(C.SCMP_CMP_MASKED_EQ)
)

// Arg is a comparison of an argument; A and B are its operands.
type Arg struct {
	Index uint
	Op    int
	A, B  uint64
}

// Rule is an action, as the kernel's 32-bit return value, for a system call by
// its number on the machine that the test runs on.
type Rule struct {
	Number int
	Action uint32
	Args   []Arg
}

// RuleError says which rule the library refused.
type RuleError struct {
	Index int
	Code  int // -errno
}

func (e *RuleError) Error() string {
	return fmt.Sprintf("libseccomp: rule %d: %d", e.Index, e.Code)
}

// API returns the library's opinion of what the kernel can do.
func API() uint { return uint(C.seccomp_api_get()) }

// Number resolves a name; the result is negative for a call that the
// architecture lacks, and -1 for a name that the library does not know.
func Number(name string, arch uint32) int {
	s := C.CString(name)
	defer C.free(unsafe.Pointer(s))
	return int(C.seccomp_syscall_resolve_name_arch(C.uint32_t(arch), s))
}

// Compile returns the program, in the layout of struct sock_filter. optimize 2
// asks for a tree, 0 leaves the library's default.
func Compile(def uint32, archs []uint32, optimize int, rules []Rule) ([]byte, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := make(chan []byte, 1)
	go func() {
		b, _ := io.ReadAll(r)
		out <- b
	}()
	failed, rc := compile(def, archs, optimize, int(w.Fd()), rules)
	w.Close()
	program := <-out
	if rc != 0 {
		return nil, &RuleError{Index: failed, Code: rc}
	}
	return program, nil
}

func compile(def uint32, archs []uint32, optimize, fd int, rules []Rule) (failed, rc int) {
	// One element more than needed: an empty slice has no first to point to.
	carchs := make([]C.uint32_t, 0, len(archs)+1)
	for _, a := range archs {
		carchs = append(carchs, C.uint32_t(a))
	}
	nrs := make([]C.int, len(rules)+1)
	actions := make([]C.uint32_t, len(rules)+1)
	nargs := make([]C.int, len(rules)+1)
	var args []C.struct_scmp_arg_cmp
	for i, r := range rules {
		nrs[i], actions[i], nargs[i] = C.int(r.Number), C.uint32_t(r.Action), C.int(len(r.Args))
		for _, a := range r.Args {
			args = append(args, C.struct_scmp_arg_cmp{
				arg: C.uint(a.Index), op: uint32(a.Op),
				datum_a: C.scmp_datum_t(a.A), datum_b: C.scmp_datum_t(a.B),
			})
		}
	}
	args = append(args, C.struct_scmp_arg_cmp{})
	var cfailed C.int
	res := C.compile(C.uint32_t(def), &carchs[:1][0], C.int(len(archs)), C.int(optimize), C.int(fd),
		C.int(len(rules)), &nrs[0], &actions[0], &nargs[0], &args[0], &cfailed)
	return int(cfailed), int(res)
}
