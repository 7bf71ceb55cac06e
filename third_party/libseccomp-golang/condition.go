package seccomp

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// ScmpCompareOp is a comparison of unsigned numbers.
type ScmpCompareOp uint

// Comparisons of an argument with Operand1.
const (
	CompareInvalid ScmpCompareOp = iota
	CompareNotEqual
	CompareLess
	CompareLessOrEqual
	CompareEqual
	CompareGreaterEqual
	CompareGreater
	// CompareMaskedEqual compares the bits of Operand1 in the argument with
	// those in Operand2; other bits of Operand2 do not count.
	CompareMaskedEqual
)

// maxArguments is how many arguments a system call has in struct seccomp_data.
const maxArguments = 6

// ScmpCondition is a comparison of one argument, counted from 0.
type ScmpCondition struct {
	Argument uint
	Op       ScmpCompareOp
	Operand1 uint64
	Operand2 uint64
}

// MakeCondition returns a condition with one or two operands. Only
// CompareMaskedEqual looks at the second, and needs it.
func MakeCondition(arg uint, comparison ScmpCompareOp, values ...uint64) (ScmpCondition, error) {
	c := ScmpCondition{Argument: arg, Op: comparison}
	switch {
	case len(values) == 0 || len(values) > 2:
		return ScmpCondition{}, fmt.Errorf("seccomp: a condition has one or two operands, not %d", len(values))
	case comparison == CompareMaskedEqual && len(values) != 2:
		return ScmpCondition{}, errors.New("seccomp: a masked comparison needs a mask and a value")
	}
	c.Operand1 = values[0]
	if len(values) == 2 {
		c.Operand2 = values[1]
	}
	if err := c.check(); err != nil {
		return ScmpCondition{}, err
	}
	return c, nil
}

func (c ScmpCondition) check() error {
	if c.Argument >= maxArguments {
		return fmt.Errorf("seccomp: a system call has %d arguments, there is none with index %d", maxArguments, c.Argument)
	}
	if c.Op <= CompareInvalid || c.Op > CompareMaskedEqual {
		return fmt.Errorf("seccomp: unknown comparison %d", uint(c.Op))
	}
	return nil
}

// normal returns valid conditions sorted by argument and without what does not
// count, so that those of equal meaning are equal in most cases. A masked
// comparison of no bits is none: as for libseccomp, a rule with only that is
// without conditions. One with two conditions for an argument is refused.
func normal(conds []ScmpCondition) ([]ScmpCondition, error) {
	conds = slices.Clone(conds)
	for i := range conds {
		c := &conds[i]
		if err := c.check(); err != nil {
			return nil, err
		}
		if c.Op == CompareMaskedEqual {
			c.Operand2 &= c.Operand1
		} else {
			c.Operand2 = 0
		}
	}
	slices.SortFunc(conds, func(a, b ScmpCondition) int { return cmp.Compare(a.Argument, b.Argument) })
	for i := 1; i < len(conds); i++ {
		if conds[i].Argument == conds[i-1].Argument {
			return nil, fmt.Errorf("seccomp: two conditions for argument %d in one rule", conds[i].Argument)
		}
	}
	return slices.DeleteFunc(conds, func(c ScmpCondition) bool {
		return c.Op == CompareMaskedEqual && c.Operand1 == 0
	}), nil
}
