package seccomp

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
)

// compare runs the calls of a profile through a program and another opinion.
func compare(t testing.TB, rnd *rand.Rand, p profile, program []instruction, verdict func(call) uint32) {
	t.Helper()
	wrong := 0
	p.calls(rnd, func(c call) {
		got, err := execute(program, c)
		if err != nil {
			t.Fatalf("%+v: %v", c, err)
		}
		if want := verdict(c); got != want && wrong < 5 {
			wrong++
			t.Errorf("%#x nr %d (%#x) args %#x: %#x, want %#x; rules %+v", c.arch, c.nr, c.nr, c.args, got, want, p.about(c))
		}
	})
}

func TestDockerProfiles(t *testing.T) {
	for _, file := range dockerProfiles {
		f, p := dockerProfile(t, file).build(t)
		program := mustExport(t, f)
		t.Logf("%s: %d rules, %d instructions", file, len(p.rules), len(program))
		compare(t, rand.New(rand.NewPCG(1, 2)), p, program, p.oracle)
	}
}

func TestRandomProfiles(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 3))
		f, p := randomProfile(rnd, taste(seed%3)).build(t)
		compare(t, rnd, p, mustExport(t, f), p.oracle)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func FuzzProfile(f *testing.F) {
	f.Add(uint64(1), uint8(wild), []byte("a call with these arguments would be odd, would it not?"))
	f.Fuzz(func(t *testing.T, seed uint64, mood uint8, data []byte) {
		rnd := rand.New(rand.NewPCG(seed, 4))
		filter, p := randomProfile(rnd, taste(mood%3)).build(t)
		program, err := filter.compile()
		if err != nil {
			return // too large, of which TestSize is the test
		}
		if err := check(program); err != nil {
			t.Fatal(err)
		}
		var words [2 + maxArguments]uint64
		for i := range words {
			if len(data) >= 8 {
				words[i], data = binary.LittleEndian.Uint64(data), data[8:]
			}
		}
		c := call{nr: uint32(words[0]), arch: audit(p.archSet()[int(words[1]%uint64(len(p.archSet())))])}
		copy(c.args[:], words[2:])
		for range 64 {
			got, err := execute(program, c)
			if err != nil {
				t.Fatal(err)
			}
			if want := p.oracle(c); got != want {
				t.Fatalf("%+v: %#x, want %#x for %+v", c, got, want, p)
			}
			if len(p.rules) == 0 {
				return
			}
			r := p.rules[rnd.IntN(len(p.rules))]
			row, _ := rowOf(r.name)
			c.nr = uint32(syscalls[row].numbers[rnd.IntN(columnCount)])
			if len(r.conds) > 0 {
				c.args = nearArgs(rnd, r.conds)
			}
		}
	})
}

// BenchmarkDefaultProfile is what runc does, without the pipe: look up names,
// add rules, compile.
func BenchmarkDefaultProfile(b *testing.B) {
	p := dockerProfile(b, dockerProfiles[0])
	b.ReportAllocs()
	for b.Loop() {
		f, _ := p.build(b)
		if _, err := f.compile(); err != nil {
			b.Fatal(err)
		}
	}
}
