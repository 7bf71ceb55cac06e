//go:build cgo && libseccomp_reference

package seccomp

import (
	"errors"
	"math/rand/v2"
	"os"
	"regexp"
	"testing"

	"github.com/seccomp/libseccomp-golang/internal/reference"
)

var referenceArchs = map[ScmpArch]uint32{
	ArchX86: reference.X86, ArchAMD64: reference.AMD64, ArchX32: reference.X32,
	ArchARM: reference.ARM, ArchARM64: reference.ARM64, ArchRISCV64: reference.RISCV64,
}

var referenceOps = map[ScmpCompareOp]int{
	CompareNotEqual: reference.NE, CompareLess: reference.LT, CompareLessOrEqual: reference.LE,
	CompareEqual: reference.EQ, CompareGreaterEqual: reference.GE, CompareGreater: reference.GT,
	CompareMaskedEqual: reference.MaskedEQ,
}

func native(t testing.TB) uint32 {
	arch, err := GetNativeArch()
	if err != nil {
		t.Fatal(err)
	}
	return referenceArchs[arch]
}

// known leaves out rules for calls that the library is too old to know.
func known(t testing.TB, p profile) profile {
	out := profile{p.fallback, p.archs, nil}
	for _, r := range p.rules {
		everywhere := true
		row, _ := rowOf(r.name)
		_, muxed := muxCalls[r.name]
		for arch, token := range referenceArchs {
			has := syscalls[row].numbers[abis[arch].column] >= 0
			nr := reference.Number(r.name, token)
			everywhere = everywhere && nr != -1 && (nr >= 0 || !has || muxed && arch == ArchX86)
		}
		if everywhere {
			out.rules = append(out.rules, r)
		}
	}
	return out
}

// compileReference has the library compile a profile and says in the second
// result which rules it took.
func compileReference(t testing.TB, p profile, optimize int) ([]instruction, profile) {
	t.Helper()
	var archs []uint32
	for _, a := range p.archs {
		archs = append(archs, referenceArchs[a])
	}
	for {
		var rules []reference.Rule
		for _, r := range p.rules {
			rule := reference.Rule{Number: reference.Number(r.name, native(t)), Action: mustVerdict(r.action)}
			for _, c := range r.conds {
				rule.Args = append(rule.Args, reference.Arg{Index: c.Argument, Op: referenceOps[c.Op], A: c.Operand1, B: c.Operand2})
			}
			rules = append(rules, rule)
		}
		program, err := reference.Compile(mustVerdict(p.fallback), archs, optimize, rules)
		var refused *reference.RuleError
		if errors.As(err, &refused) && refused.Index >= 0 {
			p.rules = append(p.rules[:refused.Index:refused.Index], p.rules[refused.Index+1:]...)
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return decode(program), p
	}
}

func TestReferenceNumbers(t *testing.T) {
	header, err := os.ReadFile("/usr/include/seccomp-syscalls.h")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`__SNR_(\w+)`).FindAllSubmatch(header, -1) {
		names[string(m[1])] = true
	}
	if len(names) < 400 {
		t.Fatalf("only %d names in the header", len(names))
	}
	for name := range names {
		for arch, token := range referenceArchs {
			want := reference.Number(name, token)
			got, err := GetSyscallFromNameByArch(name, arch)
			switch {
			case err != nil && want >= 0:
				t.Errorf("%s on %v: %v, want %d", name, arch, err, want)
			case err == nil && want != -1 && (got >= 0 || want >= 0) && int(got) != want:
				t.Errorf("%s on %v: %d, want %d", name, arch, got, want)
			}
		}
	}
}

func TestReferenceAPI(t *testing.T) {
	ours, err := GetAPI()
	if err != nil {
		t.Fatal(err)
	}
	if want := reference.API(); min(ours, apiTsyncESRCH) != min(want, apiTsyncESRCH) {
		t.Errorf("API level %d, libseccomp says %d", ours, want)
	}
}

func run(t testing.TB, program []instruction, c call) uint32 {
	v, err := execute(program, c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestReferenceDockerProfiles(t *testing.T) {
	for _, file := range dockerProfiles {
		for _, optimize := range []int{1, 2} {
			p := known(t, dockerProfile(t, file))
			program, taken := compileReference(t, p, optimize)
			f, kept := p.build(t)
			if len(taken.rules) != len(p.rules) || len(kept.rules) != len(p.rules) {
				t.Fatalf("of %d rules, libseccomp took %d and this package %d", len(p.rules), len(taken.rules), len(kept.rules))
			}
			ours := mustExport(t, f)
			t.Logf("%s: %d rules: %d instructions, libseccomp's (optimize %d) has %d", file, len(p.rules), len(ours), optimize, len(program))
			compare(t, rand.New(rand.NewPCG(5, 6)), p, ours, func(c call) uint32 { return run(t, program, c) })
		}
	}
}

// both compiles a profile with the library and with this package, without the
// rules that the library refuses. Ours must take all others.
func both(t testing.TB, p profile, optimize int) (theirs, ours []instruction, q profile) {
	t.Helper()
	theirs, q = compileReference(t, known(t, p), optimize)
	f, kept := q.build(t)
	if len(kept.rules) != len(q.rules) {
		t.Fatalf("%d of the %d rules that libseccomp takes were taken", len(kept.rules), len(q.rules))
	}
	return theirs, mustExport(t, f), q
}

// misreads finds the programs of libseccomp (2.5.4) that compare the number of a
// system call with the architecture: with few rules it shares blocks between
// architectures and loses the load of the number. They say nothing about a
// filter's meaning.
func misreads(program []instruction) bool {
	audits := map[uint32]bool{}
	for _, a := range abis {
		audits[a.audit] = true
	}
	holdsArch := make([]bool, len(program)+256)
	for i, in := range program {
		holds := holdsArch[i]
		switch in.op {
		case opLoad:
			holdsArch[i+1] = holdsArch[i+1] || in.k == offsetArch
		case opJump:
			holdsArch[i+1+int(in.k)] = holdsArch[i+1+int(in.k)] || holds
		case opJumpEQ, opJumpGT, opJumpGE:
			if holds && !audits[in.k] {
				return true
			}
			for _, to := range []int{i + 1 + int(in.jt), i + 1 + int(in.jf)} {
				holdsArch[to] = holdsArch[to] || holds
			}
		}
	}
	return false
}

// seeds is how many random profiles are tried.
const seeds = 400

func TestReferenceRandomProfiles(t *testing.T) {
	broken := 0
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 7))
		theirs, ours, p := both(t, randomProfile(rnd, tame), 1+int(seed%2))
		if misreads(theirs) {
			broken++
			continue
		}
		compare(t, rnd, p, ours, func(c call) uint32 { return run(t, theirs, c) })
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	t.Logf("%d of libseccomp's %d programs misread the architecture", broken, seeds)
	if broken > seeds/2 {
		t.Error("too few programs to compare with")
	}
}

// Where rules of a call have different actions and apply at once, the strictest
// wins; libseccomp takes the one that its order of conditions has first.
func TestReferenceNeverWeaker(t *testing.T) {
	differ := 0
	for seed := range uint64(seeds) {
		rnd := rand.New(rand.NewPCG(seed, 8))
		theirs, ours, p := both(t, randomProfile(rnd, tameOdds), 1+int(seed%2))
		if misreads(theirs) {
			continue
		}
		p.calls(rnd, func(c call) {
			got, want := run(t, ours, c), run(t, theirs, c)
			if got != want {
				differ++
			}
			if rank(got) > rank(want) {
				t.Fatalf("seed %d: %+v: %#x, libseccomp has %#x; rules %+v", seed, c, got, want, p.about(c))
			}
		})
	}
	t.Logf("%d calls judged more strictly", differ)
}
