package seccomp

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
)

// A profile is a filter's specification: what the oracle evaluates directly, and
// what this package and libseccomp compile.
type profile struct {
	fallback ScmpAction
	archs    []ScmpArch // the native one is always meant too
	rules    []profileRule
}

type profileRule struct {
	name   string
	action ScmpAction
	conds  []ScmpCondition
}

func (p profile) archSet() []ScmpArch {
	native, err := GetNativeArch()
	if err != nil {
		panic(err)
	}
	archs := []ScmpArch{native}
	for _, a := range p.archs {
		if !slices.Contains(archs, a) {
			archs = append(archs, a)
		}
	}
	return archs
}

// build makes the filter; rules that are refused are left out of it and, in the
// second result, out of the profile.
func (p profile) build(t testing.TB) (*ScmpFilter, profile) {
	t.Helper()
	f, err := NewFilter(p.fallback)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range p.archs {
		if err := f.AddArch(a); err != nil {
			t.Fatal(err)
		}
	}
	kept := profile{p.fallback, p.archs, nil}
	for _, r := range p.rules {
		nr, err := GetSyscallFromName(r.name)
		if err != nil {
			t.Fatalf("%s: %v", r.name, err)
		}
		if err := f.AddRuleConditional(nr, r.action, r.conds); err == nil {
			kept.rules = append(kept.rules, r)
		}
	}
	return f, kept
}

var operators = map[string]ScmpCompareOp{
	"SCMP_CMP_NE": CompareNotEqual, "SCMP_CMP_LT": CompareLess, "SCMP_CMP_LE": CompareLessOrEqual,
	"SCMP_CMP_EQ": CompareEqual, "SCMP_CMP_GE": CompareGreaterEqual, "SCMP_CMP_GT": CompareGreater,
	"SCMP_CMP_MASKED_EQ": CompareMaskedEqual,
}

// dockerProfiles are Docker's for x86_64, of github.com/moby/profiles/seccomp
// v0.2.3: for the default capabilities and for those of a privileged container.
var dockerProfiles = []string{"docker-default.json", "docker-all.json"}

// dockerProfile reads one as runc does: without names that are unknown.
func dockerProfile(t testing.TB, file string) profile {
	t.Helper()
	b, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var in struct {
		Syscalls []struct {
			Names    []string
			Action   string
			ErrnoRet *uint
			Args     []struct {
				Index           uint
				Value, ValueTwo uint64
				Op              string
			}
		}
	}
	if err := json.Unmarshal(b, &in); err != nil {
		t.Fatal(err)
	}
	p := profile{fallback: ActErrno.SetReturnCode(1), archs: []ScmpArch{ArchAMD64, ArchX86, ArchX32}}
	for _, s := range in.Syscalls {
		r := profileRule{action: ActAllow}
		if s.Action == "SCMP_ACT_ERRNO" {
			r.action = ActErrno.SetReturnCode(int16(*s.ErrnoRet))
		}
		for _, a := range s.Args {
			r.conds = append(r.conds, ScmpCondition{a.Index, operators[a.Op], a.Value, a.ValueTwo})
		}
		for _, r.name = range s.Names {
			if _, err := GetSyscallFromName(r.name); err == nil {
				p.rules = append(p.rules, r)
			}
		}
	}
	if len(p.rules) < 350 {
		t.Fatalf("only %d rules in the profile", len(p.rules))
	}
	return p
}

// randomActions are of all kinds; the generator must have the kernel's leave for
// none of them, as nothing is loaded.
var randomActions = []ScmpAction{
	ActAllow, ActAllow, ActAllow, ActErrno.SetReturnCode(1), ActErrno.SetReturnCode(38),
	ActLog, ActTrap, ActKillThread, ActKillProcess, ActTrace.SetReturnCode(7), ActNotify,
}

// randomNames come up more often than others: they have multiplexers, numbers of
// their own on x32, or none on some architectures.
var randomNames = []string{
	"socket", "bind", "recvmmsg", "accept", "send", "shmget", "semop", "msgctl", "socketcall", "ipc",
	"ioctl", "execve", "clone", "personality", "waitpid", "cacheflush", "fchmodat2", "read",
}

var randomOperands = []uint64{
	0, 1, 2, 23, 38, 40, 0x7e020000, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000,
	0x100000001, 0x8000000000000000, 0xffffffff00000000, 0xffffffffffffffff,
}

// taste is what random profiles are like.
type taste int

const (
	wild     taste = iota
	tame           // see randomProfile
	tameOdds       // tame, but a call's rules have actions that differ
)

// randomProfile makes rules for a few to nearly all calls. Tame ones are those
// of which libseccomp makes what they say: all rules of a call have one action and
// there is one, which looks at several arguments for equality only, or each has one
// condition and all compare the same argument with numbers of 32 bits. With others
// it mixes up branches: a rule for arg0 != 1<<31 && arg1 == 1<<31 misses arg0 ==
// 1<<63, one for arg0 <= 5 || arg0 <= 1<<63 misses 1<<32-1.
func randomProfile(rnd *rand.Rand, mood taste) profile {
	p := profile{fallback: randomActions[rnd.IntN(len(randomActions)-1)]}
	for _, a := range []ScmpArch{ArchX86, ArchX32, ArchARM, ArchARM64, ArchRISCV64, ArchAMD64} {
		if rnd.IntN(2) == 0 {
			p.archs = append(p.archs, a)
		}
	}
	before := map[string]profileRule{}
	for range 1 + rnd.IntN(1<<rnd.IntN(10)) {
		r := profileRule{name: syscalls[rnd.IntN(len(syscalls))].name, action: randomActions[rnd.IntN(len(randomActions))]}
		if rnd.IntN(3) == 0 {
			r.name = randomNames[rnd.IntN(len(randomNames))]
		}
		if rnd.IntN(3) == 0 {
			r.conds = randomConditions(rnd)
		}
		if mood != wild {
			old, again := before[r.name]
			if again && (len(old.conds) > 1 || len(old.conds) == 1 && high(old.conds[0].Operand1|old.conds[0].Operand2) != 0) {
				continue
			}
			r = r.tamed(old, again, mood)
			before[r.name] = r
		}
		p.rules = append(p.rules, r)
	}
	return p
}

func (r profileRule) tamed(old profileRule, again bool, mood taste) profileRule {
	_, muxed := muxCalls[r.name]
	switch {
	case r.name == "socketcall" || r.name == "ipc":
		r.conds = nil
	case muxed && len(r.conds) > 0:
		r.conds = r.conds[:1]
		r.conds[0].Argument = 0
	}
	if len(r.conds) > 1 {
		for i := range r.conds {
			r.conds[i].Op = []ScmpCompareOp{CompareEqual, CompareMaskedEqual}[r.conds[i].Op%2]
		}
	}
	if again && mood == tame {
		r.action = old.action
	}
	if again {
		if len(r.conds) > 0 && len(old.conds) > 0 {
			r.conds = r.conds[:1]
			c := &r.conds[0]
			c.Argument = old.conds[0].Argument
			c.Operand1, c.Operand2 = c.Operand1&0xffffffff, c.Operand2&0xffffffff
		}
	}
	return r
}

func randomConditions(rnd *rand.Rand) []ScmpCondition {
	var conds []ScmpCondition
	for _, arg := range rnd.Perm(maxArguments)[:1+rnd.IntN(3)] {
		conds = append(conds, ScmpCondition{
			Argument: uint(arg), Op: ScmpCompareOp(1 + rnd.IntN(int(CompareMaskedEqual))),
			Operand1: randomOperands[rnd.IntN(len(randomOperands))],
			Operand2: randomOperands[rnd.IntN(len(randomOperands))],
		})
	}
	return conds
}
