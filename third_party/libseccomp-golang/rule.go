package seccomp

import (
	"fmt"
	"slices"
	"syscall"
)

// A ruleSet is what is to be done with one system call. Either always is set, or
// the rules are tried; the strictest that applies wins, and the filter's default
// is for when none does.
type ruleSet struct {
	always  bool
	verdict uint32 // of always
	rules   []rule // sorted by rank, then as added; no two with equal conditions
}

type rule struct {
	verdict uint32
	conds   []ScmpCondition // all must be true; sorted by argument; not empty
}

func (s *ruleSet) empty() bool { return !s.always && len(s.rules) == 0 }

// conflicts says whether the rule contradicts one that is there: equal conditions
// with another verdict.
func (s *ruleSet) conflicts(r rule) error {
	if s.always || len(r.conds) == 0 {
		return nil
	}
	for _, old := range s.rules {
		if old.verdict != r.verdict && slices.Equal(old.conds, r.conds) {
			return fmt.Errorf("seccomp: the same conditions have two actions: %w", syscall.EEXIST)
		}
	}
	return nil
}

// add has libseccomp's order of precedence: the first rule without conditions
// stands against all others, before and after it.
func (s *ruleSet) add(r rule) {
	switch {
	case s.always:
	case len(r.conds) == 0:
		*s = ruleSet{always: true, verdict: r.verdict}
	default:
		at := len(s.rules)
		for i, old := range s.rules {
			if slices.Equal(old.conds, r.conds) {
				return
			}
			if at > i && rank(old.verdict) > rank(r.verdict) {
				at = i
			}
		}
		s.rules = slices.Insert(s.rules, at, r)
	}
}

// AddRule sets the action for a system call, by its number from
// GetSyscallFromName. An action that is the filter's default is an error.
func (f *ScmpFilter) AddRule(call ScmpSyscall, action ScmpAction) error {
	return f.add(call, action, nil)
}

// AddRuleConditional sets the action for a system call when all conditions are
// true. It is an error if there are two for one argument.
func (f *ScmpFilter) AddRuleConditional(call ScmpSyscall, action ScmpAction, conds []ScmpCondition) error {
	return f.add(call, action, conds)
}

func (f *ScmpFilter) add(call ScmpSyscall, action ScmpAction, conds []ScmpCondition) error {
	if err := f.check(); err != nil {
		return err
	}
	verdict, err := action.verdict()
	if err != nil {
		return err
	}
	if err := needAPI(action.neededAPI(), "the action"); err != nil {
		return err
	}
	if verdict == f.fallback {
		return fmt.Errorf("seccomp: the rule has the filter's default action: %w", syscall.EACCES)
	}
	conds, err = normal(conds)
	if err != nil {
		return err
	}
	row, ok := call.row()
	if !ok {
		return fmt.Errorf("seccomp: no system call has the number %d", int32(call))
	}
	return f.addRow(row, rule{verdict, conds})
}

func (f *ScmpFilter) addRow(row int, r rule) error {
	if err := f.rules[row].conflicts(r); err != nil {
		return err
	}
	target, muxed, ok := f.multiplexed(row, r)
	if ok {
		if err := f.rules[target].conflicts(muxed); err != nil {
			return fmt.Errorf("for %s of x86: %w", syscalls[target].name, err)
		}
		f.rules[target].add(muxed)
	}
	f.rules[row].add(r)
	f.ruled = true
	return nil
}
