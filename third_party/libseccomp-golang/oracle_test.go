package seccomp

import (
	"math/rand/v2"
	"slices"
)

func audit(arch ScmpArch) uint32 { return abis[arch].audit }

// oracle evaluates a profile for a call as the rules read, without a program:
// the second opinion on the compiler. It goes through the rules one by one.
func (p profile) oracle(c call) uint32 {
	archs := p.archSet()
	for _, arch := range archs {
		if c.nr == 0xffffffff && arch == ArchAMD64 && c.arch == audit(arch) && !slices.Contains(archs, ArchX32) {
			return mustVerdict(p.fallback)
		}
		half := c.nr >= 1<<30
		if audit(arch) != c.arch || arch == ArchAMD64 && half || arch == ArchX32 && !half {
			continue
		}
		name := ""
		for _, row := range syscalls {
			if nr := row.numbers[abis[arch].column]; nr >= 0 && uint32(nr) == c.nr {
				name = row.name
			}
		}
		if name == "" {
			return mustVerdict(p.fallback)
		}
		return p.judge(arch, name, c.args)
	}
	return retKillThread
}

func (p profile) judge(arch ScmpArch, name string, args [maxArguments]uint64) uint32 {
	for _, r := range p.rules {
		if r.name == name && !slices.ContainsFunc(r.conds, counts) {
			return mustVerdict(r.action)
		}
	}
	verdict, matched := mustVerdict(p.fallback), false
	for _, r := range p.rules {
		if !(r.name == name && all(r.conds, args, arch)) && !p.muxes(r, name, args) {
			continue
		}
		v := mustVerdict(r.action)
		if !matched || int32(v&0xffff0000) < int32(verdict&0xffff0000) {
			verdict = v
		}
		matched = true
	}
	return verdict
}

// muxes says whether a rule is meant by a call of socketcall or ipc.
func (p profile) muxes(r profileRule, name string, args [maxArguments]uint64) bool {
	call, ok := muxCalls[r.name]
	if !ok || call.by != name || uint32(args[0]) != uint32(call.number) {
		return false
	}
	stricter := int32(mustVerdict(r.action)&0xffff0000) <= int32(mustVerdict(p.fallback)&0xffff0000)
	return stricter || !slices.ContainsFunc(r.conds, func(c ScmpCondition) bool { return c.Argument != 0 && counts(c) })
}

// counts is false for a comparison of no bits.
func counts(c ScmpCondition) bool { return c.Op != CompareMaskedEqual || c.Operand1 != 0 }

func all(conds []ScmpCondition, args [maxArguments]uint64, arch ScmpArch) bool {
	for _, c := range conds {
		arg, one, two := args[c.Argument], c.Operand1, c.Operand2
		if arch == ArchX86 || arch == ArchARM || arch == ArchX32 {
			arg, one, two = arg&0xffffffff, one&0xffffffff, two&0xffffffff
		}
		ok := map[ScmpCompareOp]bool{
			CompareNotEqual: arg != one, CompareEqual: arg == one,
			CompareLess: arg < one, CompareLessOrEqual: arg <= one,
			CompareGreater: arg > one, CompareGreaterEqual: arg >= one,
			CompareMaskedEqual: arg&one == two&one,
		}[c.Op]
		if !ok {
			return false
		}
	}
	return true
}

func mustVerdict(a ScmpAction) uint32 {
	v, err := a.verdict()
	if err != nil {
		panic(err)
	}
	return v
}

// calls yields the calls that a profile is tried with: every number that can be
// one and some more, of every architecture and of an unknown one; where rules
// look at arguments, those near to what they compare with.
func (p profile) calls(rnd *rand.Rand, yield func(call)) {
	audits := []uint32{0xc00000b7, 0x40000028, 0xc000003e, 0x40000003, 0xc00000f3, 0xc0000015, 0}
	odd := []uint32{983039, 983040, 983041, 983042, 983043, 983044, 983045, 983046, 983047,
		0x3fffffff, 0x7fffffff, 0x80000000, 0x80000001, 0xfffffffe, 0xffffffff}
	for _, arch := range audits {
		judged := p.judged(arch)
		each := func(nr uint32) {
			yield(call{nr: nr, arch: arch})
			if conds := judged[nr]; len(conds) > 0 {
				for range 24 + 8*min(len(conds), 30) {
					yield(call{nr, arch, nearArgs(rnd, conds)})
				}
			}
		}
		for nr := range uint32(1100) {
			each(nr)
			each(nr | 1<<30)
		}
		for _, nr := range odd {
			each(nr)
		}
	}
}

// judged returns the conditions for each number of an AUDIT_ARCH_.
func (p profile) judged(arch uint32) map[uint32][]ScmpCondition {
	judged := map[uint32][]ScmpCondition{}
	for _, r := range p.rules {
		for _, a := range p.archSet() {
			if audit(a) != arch {
				continue
			}
			row, _ := rowOf(r.name)
			if nr := syscalls[row].numbers[abis[a].column]; nr >= 0 {
				judged[uint32(nr)] = append(judged[uint32(nr)], r.conds...)
			}
			if call, ok := muxCalls[r.name]; ok && a == ArchX86 {
				row, _ := rowOf(call.by)
				nr := uint32(syscalls[row].numbers[columnX86])
				judged[nr] = append(append(judged[nr], r.conds...), ScmpCondition{Op: CompareEqual, Operand1: call.number})
			}
		}
	}
	return judged
}

// about returns the rules that name a call, for messages.
func (p profile) about(c call) []profileRule {
	var rules []profileRule
	for _, r := range p.rules {
		row, _ := rowOf(r.name)
		for _, a := range abis {
			if a.audit == c.arch && uint32(syscalls[row].numbers[a.column]) == c.nr {
				rules = append(rules, r)
			}
		}
	}
	return rules
}

func nearArgs(rnd *rand.Rand, conds []ScmpCondition) (args [maxArguments]uint64) {
	for i := range args {
		args[i] = randomOperands[rnd.IntN(len(randomOperands))]
	}
	for range 1 + rnd.IntN(4) {
		c := conds[rnd.IntN(len(conds))]
		v := c.Operand1
		if c.Op == CompareMaskedEqual && rnd.IntN(2) == 0 {
			v = c.Operand2&c.Operand1 | rnd.Uint64()&^c.Operand1
		}
		v += uint64(rnd.IntN(3)) - 1
		switch rnd.IntN(6) {
		case 0:
			v ^= 1 << 32
		case 1:
			v &= 0xffffffff
		case 2:
			v ^= 1 << rnd.IntN(64)
		}
		args[c.Argument] = v
	}
	return args
}
