package seccomp

import (
	"cmp"
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

// add has libseccomp's order of precedence: the first rule without conditions
// stands against all others, before and after it. Equal conditions with another
// verdict are a contradiction, EEXIST.
func (s *ruleSet) add(r rule) error {
	if s.always {
		return nil
	}
	if len(r.conds) == 0 {
		*s = ruleSet{always: true, verdict: r.verdict}
		return nil
	}
	for _, old := range s.rules {
		if !slices.Equal(old.conds, r.conds) {
			continue
		}
		if old.verdict == r.verdict {
			return nil
		}
		return fmt.Errorf("seccomp: the same conditions have two actions: %w", syscall.EEXIST)
	}
	s.rules = append(s.rules, r)
	slices.SortStableFunc(s.rules, func(a, b rule) int { return cmp.Compare(rank(a.verdict), rank(b.verdict)) })
	return nil
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
	f.ruled = true
	if err := f.rules[row].add(rule{verdict, conds}); err != nil {
		return err
	}
	return f.addMultiplexed(row, rule{verdict, conds})
}
