package seccomp

import (
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// A call is struct seccomp_data without the instruction pointer.
type call struct {
	nr, arch uint32
	args     [maxArguments]uint64
}

// word is the aligned 32-bit word at an offset of struct seccomp_data.
func (c call) word(offset uint32) (uint32, error) {
	switch {
	case offset == offsetNumber:
		return c.nr, nil
	case offset == offsetArch:
		return c.arch, nil
	case offset >= offsetArgs && offset < offsetArgs+8*maxArguments && offset%4 == 0:
		arg := c.args[(offset-offsetArgs)/8]
		return uint32(arg >> (offset % 8 * 8)), nil
	}
	return 0, fmt.Errorf("load at %d", offset)
}

// execute runs a program as the kernel does.
func execute(program []instruction, c call) (uint32, error) {
	var a uint32
	for pc := 0; pc < len(program); pc++ {
		in := program[pc]
		taken := false
		switch in.op {
		case opLoad:
			var err error
			if a, err = c.word(in.k); err != nil {
				return 0, err
			}
			continue
		case opAnd:
			a &= in.k
			continue
		case opReturn:
			return in.k, nil
		case opJump:
			pc += int(in.k)
			continue
		case opJumpEQ:
			taken = a == in.k
		case opJumpGT:
			taken = a > in.k
		case opJumpGE:
			taken = a >= in.k
		case 0x45: // BPF_JSET, which we do not write
			taken = a&in.k != 0
		default:
			return 0, fmt.Errorf("instruction %d has the operation %#x", pc, in.op)
		}
		if taken {
			pc += int(in.jt)
		} else {
			pc += int(in.jf)
		}
	}
	return 0, fmt.Errorf("ran out of the program")
}

// check is what the kernel asks of a program before it runs it: jumps stay
// inside, loads are words of seccomp_data, the end is a return.
func check(program []instruction) error {
	n := len(program)
	if n == 0 || n > maxInstructions {
		return fmt.Errorf("%d instructions", n)
	}
	if program[n-1].op != opReturn {
		return fmt.Errorf("does not end with a return")
	}
	for i, in := range program {
		far := 0
		switch in.op {
		case opLoad:
			if _, err := (call{}).word(in.k); err != nil {
				return fmt.Errorf("instruction %d: %w", i, err)
			}
		case opJump:
			far = int(in.k)
		case opJumpEQ, opJumpGT, opJumpGE:
			far = max(int(in.jt), int(in.jf))
		case opReturn:
			continue
		case opAnd:
		default:
			return fmt.Errorf("instruction %d has the operation %#x", i, in.op)
		}
		if i+1+far >= n {
			return fmt.Errorf("instruction %d jumps out", i)
		}
	}
	return nil
}

// decode reads what ExportBPF or seccomp_export_bpf wrote.
func decode(b []byte) []instruction {
	var program []instruction
	for ; len(b) >= 8; b = b[8:] {
		program = append(program, instruction{
			binary.NativeEndian.Uint16(b), b[2], b[3], binary.NativeEndian.Uint32(b[4:]),
		})
	}
	return program
}

func export(f *ScmpFilter, dir string) ([]instruction, error) {
	file, err := os.Create(filepath.Join(dir, "program"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if err := f.ExportBPF(file); err != nil {
		return nil, err
	}
	b, err := os.ReadFile(file.Name())
	return decode(b), err
}

func mustExport(t testing.TB, f *ScmpFilter) []instruction {
	t.Helper()
	program, err := export(f, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := check(program); err != nil {
		t.Fatal(err)
	}
	return program
}
