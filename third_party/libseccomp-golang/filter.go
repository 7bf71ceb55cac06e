package seccomp

import (
	"errors"
	"fmt"
	"slices"
)

// ScmpFilter is a filter in the making. Its zero value is refused by all methods.
type ScmpFilter struct {
	fallback uint32     // the verdict where no rule applies
	archs    []ScmpArch // the native one first; each once
	rules    []ruleSet  // one for each row of the table of system calls
	ruled    bool       // a rule was added

	noNewPrivs, log, ssb, waitKill bool
}

var errNoFilter = errors.New("seccomp: the filter was not made by NewFilter")

func (f *ScmpFilter) check() error {
	if f == nil || len(f.archs) == 0 {
		return errNoFilter
	}
	return nil
}

// NewFilter returns a filter for the native architecture without rules.
// defaultAction is for calls that no rule is about. Calls of architectures that
// are not in the filter end the thread (ActKillThread).
func NewFilter(defaultAction ScmpAction) (*ScmpFilter, error) {
	verdict, err := defaultAction.verdict()
	if err != nil {
		return nil, err
	}
	if err := needAPI(defaultAction.neededAPI(), "the default action"); err != nil {
		return nil, err
	}
	native, err := GetNativeArch()
	if err != nil {
		return nil, err
	}
	return &ScmpFilter{
		fallback: verdict, archs: []ScmpArch{native}, rules: make([]ruleSet, len(syscalls)),
		noNewPrivs: true,
	}, nil
}

// AddArch makes the filter judge an architecture's calls as well. All of them
// must be there before the first rule: rules apply to those that are.
func (f *ScmpFilter) AddArch(arch ScmpArch) error {
	if err := f.check(); err != nil {
		return err
	}
	if _, err := abiOf(arch); err != nil {
		return err
	}
	if arch == ArchNative || slices.Contains(f.archs, arch) {
		return nil
	}
	if f.ruled {
		return fmt.Errorf("seccomp: the architecture %v is added after rules, which would not apply to it", arch)
	}
	f.archs = append(f.archs, arch)
	return nil
}

// SetOptimize takes the levels 1 and 2 of libseccomp and does nothing: the
// program is always a search tree.
func (f *ScmpFilter) SetOptimize(level int) error {
	if err := f.check(); err != nil {
		return err
	}
	if level != 1 && level != 2 {
		return fmt.Errorf("seccomp: there is no optimization level %d", level)
	}
	return nil
}

// SetNoNewPrivsBit says whether who loads the filter shall set no_new_privs;
// that is so unless set to false.
func (f *ScmpFilter) SetNoNewPrivsBit(state bool) error {
	return f.set(&f.noNewPrivs, state, 0, "no_new_privs")
}

// GetNoNewPrivsBit returns what SetNoNewPrivsBit set.
func (f *ScmpFilter) GetNoNewPrivsBit() (bool, error) { return f.noNewPrivs, f.check() }

// SetLogBit asks for SECCOMP_FILTER_FLAG_LOG. The error is a *VersionError where
// the kernel lacks it, on a filter not made by NewFilter too.
func (f *ScmpFilter) SetLogBit(state bool) error {
	return f.set(&f.log, state, apiLog, "the flag LOG")
}

// GetLogBit returns what SetLogBit set.
func (f *ScmpFilter) GetLogBit() (bool, error) { return f.log, f.check() }

// SetSSB asks for SECCOMP_FILTER_FLAG_SPEC_ALLOW. Errors are like SetLogBit's.
func (f *ScmpFilter) SetSSB(state bool) error {
	return f.set(&f.ssb, state, apiSpecAllow, "the flag SPEC_ALLOW")
}

// GetSSB returns what SetSSB set.
func (f *ScmpFilter) GetSSB() (bool, error) { return f.ssb, f.check() }

// SetWaitKill asks for SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV. Errors are like
// SetLogBit's.
func (f *ScmpFilter) SetWaitKill(state bool) error {
	return f.set(&f.waitKill, state, apiWaitKillable, "the flag WAIT_KILLABLE_RECV")
}

// GetWaitKill returns what SetWaitKill set.
func (f *ScmpFilter) GetWaitKill() (bool, error) { return f.waitKill, f.check() }

func (f *ScmpFilter) set(bit *bool, state bool, api uint, what string) error {
	if err := needAPI(api, what); err != nil {
		return err
	}
	if err := f.check(); err != nil {
		return err
	}
	*bit = state
	return nil
}
