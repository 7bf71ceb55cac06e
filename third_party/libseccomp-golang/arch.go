package seccomp

import (
	"fmt"
	"runtime"
	"strings"
)

// ScmpArch is an architecture whose system calls a filter judges.
type ScmpArch uint

// Architectures. Filters can be made for those that have a table of system
// calls, which are x86, x86_64, x32, arm, aarch64 and riscv64; the others have
// names only.
const (
	ArchInvalid ScmpArch = iota
	ArchNative           // that of the running program
	ArchX86
	ArchAMD64
	ArchX32
	ArchARM
	ArchARM64
	ArchMIPS
	ArchMIPS64
	ArchMIPS64N32
	ArchMIPSEL
	ArchMIPSEL64
	ArchMIPSEL64N32
	ArchPPC
	ArchPPC64
	ArchPPC64LE
	ArchS390
	ArchS390X
	ArchPARISC
	ArchPARISC64
	ArchRISCV64
	ArchLOONGARCH64
	ArchM68K
	ArchSH
	ArchSHEB
)

var archNames = map[ScmpArch]string{
	ArchNative: "native", ArchX86: "x86", ArchAMD64: "amd64", ArchX32: "x32",
	ArchARM: "arm", ArchARM64: "arm64",
	ArchMIPS: "mips", ArchMIPS64: "mips64", ArchMIPS64N32: "mips64n32",
	ArchMIPSEL: "mipsel", ArchMIPSEL64: "mipsel64", ArchMIPSEL64N32: "mipsel64n32",
	ArchPPC: "ppc", ArchPPC64: "ppc64", ArchPPC64LE: "ppc64le",
	ArchS390: "s390", ArchS390X: "s390x", ArchPARISC: "parisc", ArchPARISC64: "parisc64",
	ArchRISCV64: "riscv64", ArchLOONGARCH64: "loong64",
	ArchM68K: "m68k", ArchSH: "sh", ArchSHEB: "sheb",
}

// archAliases are other names of architectures that profiles use.
var archAliases = map[string]ScmpArch{
	"x86-64": ArchAMD64, "x86_64": ArchAMD64, "x64": ArchAMD64,
	"aarch64": ArchARM64, "loongarch64": ArchLOONGARCH64,
}

// String returns the architecture's name as GetArchFromString takes it.
func (a ScmpArch) String() string {
	if name, ok := archNames[a]; ok {
		return name
	}
	return fmt.Sprintf("unknown architecture %d", uint(a))
}

// GetArchFromString returns the architecture of a name like "amd64" or
// "aarch64". That it knows the name does not say that AddArch takes it.
func GetArchFromString(name string) (ScmpArch, error) {
	name = strings.ToLower(name)
	if arch, ok := archAliases[name]; ok {
		return arch, nil
	}
	for arch, n := range archNames {
		if n == name {
			return arch, nil
		}
	}
	return ArchInvalid, fmt.Errorf("seccomp: unknown architecture %q", name)
}

// Columns of the table of system calls, in the order of internal/tablegen.
const (
	columnX86 = iota
	columnAMD64
	columnX32
	columnARM
	columnARM64
	columnRISCV64
	columnCount
)

// x32Bit marks the system calls of x32: they come with x86_64's AUDIT_ARCH.
const x32Bit = 1 << 30

// An abi is one architecture as the filter sees it.
type abi struct {
	column int    // of the table of system calls
	audit  uint32 // the AUDIT_ARCH_ of linux/audit.h
	// Arguments have 32 bits: only the low halves of arguments and of operands
	// are compared. libseccomp counts x32 to these.
	words bool
}

// All of them are little-endian, which the places of an argument's halves and
// the export in host order build upon.
var abis = map[ScmpArch]abi{
	ArchX86:     {columnX86, 0x40000003, true},
	ArchAMD64:   {columnAMD64, 0xc000003e, false},
	ArchX32:     {columnX32, 0xc000003e, true},
	ArchARM:     {columnARM, 0x40000028, true},
	ArchARM64:   {columnARM64, 0xc00000b7, false},
	ArchRISCV64: {columnRISCV64, 0xc00000f3, false},
}

// abiOf returns the abi of an architecture, or an error that says that there is
// no table for it.
func abiOf(arch ScmpArch) (abi, error) {
	if arch == ArchNative {
		native, err := GetNativeArch()
		if err != nil {
			return abi{}, err
		}
		arch = native
	}
	a, ok := abis[arch]
	if !ok {
		return abi{}, fmt.Errorf("seccomp: filters for the architecture %v are not supported", arch)
	}
	return a, nil
}

// GetNativeArch returns the architecture of the running program.
func GetNativeArch() (ScmpArch, error) {
	switch runtime.GOARCH {
	case "386":
		return ArchX86, nil
	case "amd64":
		return ArchAMD64, nil
	case "arm":
		return ArchARM, nil
	case "arm64":
		return ArchARM64, nil
	case "riscv64":
		return ArchRISCV64, nil
	}
	return ArchInvalid, fmt.Errorf("seccomp: filters on %s are not supported", runtime.GOARCH)
}
