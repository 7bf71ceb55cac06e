package seccomp

// Offsets in struct seccomp_data, of linux/seccomp.h.
const (
	offsetNumber = 0
	offsetArch   = 4
	offsetArgs   = 16
)

// ruleSet writes what decides about one system call and returns its beginning.
func (a *assembler) ruleSet(s *ruleSet, words bool, fallback uint32) label {
	if s.always {
		return a.ret(s.verdict)
	}
	next := a.ret(fallback)
	for i := len(s.rules) - 1; i >= 0; i-- {
		r := s.rules[i]
		here := a.ret(r.verdict)
		for j := len(r.conds) - 1; j >= 0; j-- {
			here = a.condition(r.conds[j], words, here, next)
		}
		next = here
	}
	return next
}

// condition writes a comparison that goes on to yes or no, and returns its
// beginning.
func (a *assembler) condition(c ScmpCondition, words bool, yes, no label) label {
	switch c.Op {
	case CompareNotEqual:
		return a.equal(c, words, no, yes)
	case CompareLess:
		return a.greater(c, opJumpGE, words, no, yes)
	case CompareLessOrEqual:
		return a.greater(c, opJumpGT, words, no, yes)
	case CompareGreaterEqual:
		return a.greater(c, opJumpGE, words, yes, no)
	case CompareGreater:
		return a.greater(c, opJumpGT, words, yes, no)
	case CompareMaskedEqual:
		return a.masked(c, words, yes, no)
	default: // CompareEqual; check has seen that there is no other
		return a.equal(c, words, yes, no)
	}
}

func (a *assembler) equal(c ScmpCondition, words bool, yes, no label) label {
	here := a.loadLow(c, a.jump(opJumpEQ, low(c.Operand1), yes, no))
	if words {
		return here
	}
	return a.loadHigh(c, a.jump(opJumpEQ, high(c.Operand1), here, no))
}

// greater compares the low halves with op, opJumpGT or opJumpGE, where the high
// ones are equal.
func (a *assembler) greater(c ScmpCondition, op uint16, words bool, yes, no label) label {
	here := a.loadLow(c, a.jump(op, low(c.Operand1), yes, no))
	if words {
		return here
	}
	here = a.jump(opJumpEQ, high(c.Operand1), here, no)
	return a.loadHigh(c, a.jump(opJumpGT, high(c.Operand1), yes, here))
}

// masked leaves out a half of which the mask has no bit: it is always equal.
func (a *assembler) masked(c ScmpCondition, words bool, yes, no label) label {
	mask, value := c.Operand1, c.Operand2
	here := yes
	if low(mask) != 0 {
		here = a.loadLow(c, a.and(low(mask), a.jump(opJumpEQ, low(value), here, no)))
	}
	if !words && high(mask) != 0 {
		here = a.loadHigh(c, a.and(high(mask), a.jump(opJumpEQ, high(value), here, no)))
	}
	return here
}

func (a *assembler) loadLow(c ScmpCondition, then label) label {
	return a.load(offsetArgs+8*uint32(c.Argument), then)
}

func (a *assembler) loadHigh(c ScmpCondition, then label) label {
	return a.load(offsetArgs+8*uint32(c.Argument)+4, then)
}

func low(v uint64) uint32  { return uint32(v) }
func high(v uint64) uint32 { return uint32(v >> 32) }
