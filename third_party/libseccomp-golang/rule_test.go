package seccomp

import (
	"errors"
	"fmt"
	"syscall"
	"testing"
)

var (
	eperm  = ActErrno.SetReturnCode(1)
	enosys = ActErrno.SetReturnCode(38)
)

func when(arg uint, op ScmpCompareOp, values ...uint64) []ScmpCondition {
	c, err := MakeCondition(arg, op, values...)
	if err != nil {
		panic(err)
	}
	return []ScmpCondition{c}
}

// judge compiles a profile for x86_64 and x86 and asks about one call.
func judge(t *testing.T, p profile, arch ScmpArch, name string, args ...uint64) uint32 {
	t.Helper()
	f, kept := p.build(t)
	if len(kept.rules) != len(p.rules) {
		t.Fatal("a rule was refused")
	}
	row, _ := rowOf(name)
	c := call{nr: uint32(syscalls[row].numbers[abis[arch].column]), arch: audit(arch)}
	copy(c.args[:], args)
	got, err := execute(mustExport(t, f), c)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestPrecedence(t *testing.T) {
	three, five := when(0, CompareEqual, 3), when(1, CompareEqual, 5)
	both := []ScmpCondition{three[0], five[0]}
	tests := []struct {
		what  string
		rules []profileRule
		args  []uint64
		want  ScmpAction
	}{
		{"no rule", nil, nil, eperm},
		{"the first without conditions", []profileRule{{"openat", ActAllow, nil}, {"openat", enosys, nil}}, nil, ActAllow},
		{"without conditions before", []profileRule{{"openat", ActAllow, nil}, {"openat", enosys, three}}, []uint64{3}, ActAllow},
		{"without conditions after", []profileRule{{"openat", enosys, three}, {"openat", ActAllow, nil}}, []uint64{3}, ActAllow},
		{"a mask without bits is no condition", []profileRule{{"openat", enosys, when(0, CompareMaskedEqual, 0, 7)}, {"openat", ActAllow, nil}}, nil, enosys},
		{"the strictest", []profileRule{{"openat", ActAllow, three}, {"openat", enosys, five}}, []uint64{3, 5}, enosys},
		{"the strictest, added first", []profileRule{{"openat", enosys, five}, {"openat", ActAllow, three}}, []uint64{3, 5}, enosys},
		{"only one applies", []profileRule{{"openat", ActAllow, three}, {"openat", enosys, five}}, []uint64{3, 6}, ActAllow},
		{"a part is stricter", []profileRule{{"openat", ActAllow, three}, {"openat", enosys, both}}, []uint64{3, 5}, enosys},
		{"the same errno's first", []profileRule{{"openat", enosys, three}, {"openat", ActErrno.SetReturnCode(7), five}}, []uint64{3, 5}, enosys},
		{"all conditions", []profileRule{{"openat", ActAllow, both}}, []uint64{3, 4}, eperm},
		{"the kernel's order", []profileRule{{"openat", ActKillProcess, three}, {"openat", ActKillThread, five}}, []uint64{3, 5}, ActKillProcess},
	}
	for _, tt := range tests {
		p := profile{eperm, []ScmpArch{ArchAMD64}, tt.rules}
		if got := judge(t, p, ArchAMD64, "openat", tt.args...); got != mustVerdict(tt.want) {
			t.Errorf("%s: %#x, want %#x", tt.what, got, mustVerdict(tt.want))
		}
	}
}

func TestComparisons(t *testing.T) {
	const big = 0x1_0000_0003
	tests := []struct {
		op     ScmpCompareOp
		values []uint64
		yes    []uint64
		no     []uint64
	}{
		{CompareEqual, []uint64{big}, []uint64{big}, []uint64{3, big + 1, 0x2_0000_0003}},
		{CompareNotEqual, []uint64{big}, []uint64{3, big + 1, 0x2_0000_0003}, []uint64{big}},
		{CompareLess, []uint64{big}, []uint64{0, 0xffffffff, big - 1}, []uint64{big, big + 1, 0x2_0000_0000}},
		{CompareLessOrEqual, []uint64{big}, []uint64{0, big}, []uint64{big + 1, 0x2_0000_0000, 1 << 63}},
		{CompareGreater, []uint64{big}, []uint64{big + 1, 0x2_0000_0000, 1 << 63}, []uint64{0, 0xffffffff, big}},
		{CompareGreaterEqual, []uint64{big}, []uint64{big, 0x2_0000_0000}, []uint64{4, big - 1}},
		{CompareMaskedEqual, []uint64{0xf_0000_000f, 0xff_0000_00f1}, []uint64{0xf_0000_0001, 0x1f_1000_0011}, []uint64{1, 0xf_0000_0002}},
		{CompareMaskedEqual, []uint64{0xf_0000_0000, 0x1_0000_0000}, []uint64{0x1_0000_0000, 0x1_ffff_ffff}, []uint64{0, 0x2_0000_0000}},
		{CompareMaskedEqual, []uint64{0xf0, 0}, []uint64{0, 0xf_0000_000f}, []uint64{0x10}},
	}
	for _, tt := range tests {
		p := profile{eperm, []ScmpArch{ArchAMD64}, []profileRule{{"openat", ActAllow, when(2, tt.op, tt.values...)}}}
		for _, v := range tt.yes {
			if got := judge(t, p, ArchAMD64, "openat", 0, 0, v); got != retAllow {
				t.Errorf("%#x does not match %d %#x", v, tt.op, tt.values)
			}
		}
		for _, v := range tt.no {
			if got := judge(t, p, ArchAMD64, "openat", 0, 0, v); got == retAllow {
				t.Errorf("%#x matches %d %#x", v, tt.op, tt.values)
			}
		}
	}
}

func TestMultiplexed(t *testing.T) {
	tests := []struct {
		what     string
		fallback ScmpAction
		rule     profileRule
		call     string
		args     []uint64
		want     ScmpAction
	}{
		{"the call itself", eperm, profileRule{"socket", ActAllow, nil}, "socket", nil, ActAllow},
		{"by socketcall", eperm, profileRule{"socket", ActAllow, nil}, "socketcall", []uint64{1}, ActAllow},
		{"another by socketcall", eperm, profileRule{"socket", ActAllow, nil}, "socketcall", []uint64{2}, eperm},
		{"by socketcall only", eperm, profileRule{"accept", ActAllow, nil}, "socketcall", []uint64{5}, ActAllow},
		{"by ipc", eperm, profileRule{"shmget", ActAllow, nil}, "ipc", []uint64{23}, ActAllow},
		{"first argument, lenient", eperm, profileRule{"socket", ActAllow, when(0, CompareNotEqual, 40)}, "socketcall", []uint64{1}, ActAllow},
		{"first argument, strict", ActAllow, profileRule{"socket", eperm, when(0, CompareEqual, 40)}, "socketcall", []uint64{1}, eperm},
		{"other argument, lenient", eperm, profileRule{"socket", ActAllow, when(1, CompareNotEqual, 3)}, "socketcall", []uint64{1}, eperm},
		{"other argument, strict", ActAllow, profileRule{"socket", eperm, when(1, CompareEqual, 3)}, "socketcall", []uint64{1}, eperm},
	}
	for _, tt := range tests {
		p := profile{tt.fallback, []ScmpArch{ArchAMD64, ArchX86}, []profileRule{tt.rule}}
		if got := judge(t, p, ArchX86, tt.call, tt.args...); got != mustVerdict(tt.want) {
			t.Errorf("%s: %#x, want %#x", tt.what, got, mustVerdict(tt.want))
		}
	}
}

func TestRefused(t *testing.T) {
	openat, err := GetSyscallFromName("openat")
	if err != nil {
		t.Fatal(err)
	}
	three := when(0, CompareEqual, 3)
	filter := func() *ScmpFilter {
		f, err := NewFilter(eperm)
		if err != nil {
			t.Fatal(err)
		}
		return f
	}
	tests := []struct {
		what string
		do   func() error
		want error // nil: any
	}{
		{"no default action", func() error { _, err := NewFilter(ActInvalid); return err }, nil},
		{"not made", func() error { return (&ScmpFilter{}).AddRule(openat, ActAllow) }, errNoFilter},
		{"nil", func() error { return (*ScmpFilter)(nil).AddArch(ArchX86) }, errNoFilter},
		{"the default action", func() error { return filter().AddRule(openat, eperm) }, syscall.EACCES},
		{"no action", func() error { return filter().AddRule(openat, 77) }, nil},
		{"unknown number", func() error { return filter().AddRule(9999, ActAllow) }, nil},
		{"the tracers' number", func() error { return filter().AddRule(-1, ActAllow) }, nil},
		{"unknown pseudo number", func() error { return filter().AddRule(-99999, ActAllow) }, nil},
		{"an argument twice", func() error {
			return filter().AddRuleConditional(openat, ActAllow, append(three, when(0, CompareLess, 9)...))
		}, nil},
		{"a seventh argument", func() error {
			return filter().AddRuleConditional(openat, ActAllow, []ScmpCondition{{Argument: 6, Op: CompareEqual}})
		}, nil},
		{"no comparison", func() error { return filter().AddRuleConditional(openat, ActAllow, []ScmpCondition{{}}) }, nil},
		{"contradiction", func() error {
			f := filter()
			return errors.Join(f.AddRuleConditional(openat, ActAllow, three), f.AddRuleConditional(openat, ActLog, three))
		}, syscall.EEXIST},
		{"no table", func() error { return filter().AddArch(ArchMIPS64) }, nil},
		{"architecture after rules", func() error {
			f := filter()
			return errors.Join(f.AddRule(openat, ActAllow), f.AddArch(ArchRISCV64))
		}, nil},
		{"optimization", func() error { return filter().SetOptimize(3) }, nil},
		{"no operand", func() error { _, err := MakeCondition(0, CompareEqual); return err }, nil},
		{"no value", func() error { _, err := MakeCondition(0, CompareMaskedEqual, 1); return err }, nil},
		{"unknown architecture", func() error { _, err := GetArchFromString("vax"); return err }, nil},
		{"unknown call", func() error { _, err := GetSyscallFromName("nosuchcall"); return err }, ErrSyscallDoesNotExist},
	}
	for _, tt := range tests {
		if err := tt.do(); err == nil || tt.want != nil && !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", tt.what, err, tt.want)
		}
	}
}

// Programs of several thousand instructions need stepping stones for their jumps;
// larger ones the kernel does not take.
func TestSize(t *testing.T) {
	for _, n := range []int{60, 240, 1000, 1500} {
		p := profile{fallback: eperm, archs: []ScmpArch{ArchAMD64, ArchARM64}}
		for i := range n {
			p.rules = append(p.rules, profileRule{"personality", ActAllow, when(0, CompareEqual, uint64(3*i))})
			if i%4 == 0 && i < len(syscalls) && syscalls[i].name != "personality" {
				p.rules = append(p.rules, profileRule{syscalls[i].name, ActAllow, when(1, CompareGreater, uint64(i)<<32)})
			}
		}
		f, kept := p.build(t)
		program, err := export(f, t.TempDir())
		if n > 500 {
			if err == nil {
				t.Errorf("%d rules: %d instructions were exported", n, len(program))
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if err := check(program); err != nil {
			t.Fatal(err)
		}
		row, _ := rowOf("personality")
		for v := range uint64(3 * n) {
			for _, arch := range []ScmpArch{ArchAMD64, ArchARM64} {
				c := call{nr: uint32(syscalls[row].numbers[abis[arch].column]), arch: audit(arch), args: [maxArguments]uint64{v}}
				if got, err := execute(program, c); err != nil || got != kept.oracle(c) {
					t.Fatalf("%d rules: %+v: %#x, %v", n, c, got, err)
				}
			}
		}
	}
}

func TestFlags(t *testing.T) {
	f, err := NewFilter(ActAllow)
	if err != nil {
		t.Fatal(err)
	}
	flags := []struct {
		name string
		set  func(*ScmpFilter, bool) error
		get  func(*ScmpFilter) (bool, error)
	}{
		{"no_new_privs", (*ScmpFilter).SetNoNewPrivsBit, (*ScmpFilter).GetNoNewPrivsBit},
		{"log", (*ScmpFilter).SetLogBit, (*ScmpFilter).GetLogBit},
		{"ssb", (*ScmpFilter).SetSSB, (*ScmpFilter).GetSSB},
		{"wait killable", (*ScmpFilter).SetWaitKill, (*ScmpFilter).GetWaitKill},
	}
	for _, flag := range flags {
		var old *VersionError
		for _, state := range []bool{false, true} {
			if err := flag.set(f, state); errors.As(err, &old) {
				continue // the kernel is older than the flag
			} else if err != nil {
				t.Fatal(err)
			}
			if got, err := flag.get(f); err != nil || got != state {
				t.Errorf("%s: %v, %v, want %v", flag.name, got, err, state)
			}
		}
		// runc asks on an empty filter whether the kernel has a flag.
		if err := flag.set(&ScmpFilter{}, true); !errors.Is(err, errNoFilter) && !errors.As(err, &old) {
			t.Errorf("%s of an empty filter: %v", flag.name, err)
		}
	}
}

func TestArchNames(t *testing.T) {
	for arch := range archNames {
		got, err := GetArchFromString(fmt.Sprint(arch))
		if err != nil || got != arch {
			t.Errorf("%v: %v, %v", arch, got, err)
		}
	}
	for column := range columnCount {
		seen := map[int32]string{}
		for _, row := range syscalls {
			nr := row.numbers[column]
			if other, ok := seen[nr]; ok && nr >= 0 {
				t.Errorf("column %d: %s and %s are both %d", column, row.name, other, nr)
			}
			seen[nr] = row.name
		}
	}
}
