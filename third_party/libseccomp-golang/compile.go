package seccomp

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
)

// maxInstructions is BPF_MAXINSNS of linux/bpf_common.h.
const maxInstructions = 4096

// ExportBPF writes the program as an array of struct sock_filter in the host's
// byte order. It is an error if it has more instructions than the kernel takes.
func (f *ScmpFilter) ExportBPF(file *os.File) error {
	if err := f.check(); err != nil {
		return err
	}
	program, err := f.compile()
	if err != nil {
		return err
	}
	b := make([]byte, 0, 8*len(program))
	for _, in := range program {
		b = binary.NativeEndian.AppendUint16(b, in.op)
		b = append(b, in.jt, in.jf)
		b = binary.NativeEndian.AppendUint32(b, in.k)
	}
	_, err = file.Write(b)
	return err
}

// compile looks at the architecture first, then searches the number in a tree,
// whose leaves return a verdict or look at arguments.
func (f *ScmpFilter) compile() ([]instruction, error) {
	a := &assembler{returns: map[uint32]label{}}
	var audits []uint32
	for _, arch := range f.archs {
		one, err := abiOf(arch)
		if err != nil {
			return nil, err
		}
		if !slices.Contains(audits, one.audit) {
			audits = append(audits, one.audit)
		}
	}
	slices.Reverse(audits) // the native one last: it is asked for first
	starts := make([]label, len(audits))
	for i, audit := range audits {
		spans, err := f.spans(audit)
		if err != nil {
			return nil, err
		}
		starts[i] = a.load(offsetNumber, a.tree(spans, f.fallback))
	}
	next := a.ret(retKillThread)
	for i, audit := range audits {
		next = a.jump(opJumpEQ, audit, starts[i], next)
	}
	a.load(offsetArch, next)
	if n := len(a.reversed); n > maxInstructions {
		return nil, fmt.Errorf("seccomp: the filter has %d instructions, the kernel takes %d", n, maxInstructions)
	}
	return a.program(), nil
}

// noCall is what a tracer makes of a number so that no call is made. Its upper
// bits are not those of x32.
const noCall = 1<<32 - 1

// A span is a range of system call numbers with one treatment, up to the next
// span's start.
type span struct {
	start   uint32
	verdict uint32
	rules   *ruleSet // not nil: instead of verdict
	words   bool     // of rules
}

func (s span) same(o span) bool { return s.verdict == o.verdict && s.rules == o.rules }

// spans covers all numbers for an AUDIT_ARCH_. x86_64 and x32 share one, each
// with its half; a half that is not in the filter is a foreign architecture.
func (f *ScmpFilter) spans(audit uint32) ([]span, error) {
	var points []span
	present := map[ScmpArch]bool{}
	for _, arch := range f.archs {
		one, err := abiOf(arch)
		if err != nil {
			return nil, err
		}
		if one.audit == audit {
			present[arch] = true
			points = f.points(points, one)
		}
	}
	slices.SortFunc(points, func(a, b span) int { return cmp.Compare(a.start, b.start) })
	foreign := span{verdict: retKillThread}
	ours := span{verdict: f.fallback}
	lower, upper := ours, ours
	if audit == abis[ArchAMD64].audit {
		if !present[ArchAMD64] {
			lower = foreign
		}
		if !present[ArchX32] {
			upper = foreign
		}
	}
	if lower != upper && present[ArchAMD64] {
		points = append(points, span{start: noCall, verdict: f.fallback})
	}
	return fill(points, lower, upper), nil
}

// points appends a span of one number for each call with rules.
func (f *ScmpFilter) points(points []span, one abi) []span {
	for row := range f.rules {
		s, nr := &f.rules[row], syscalls[row].numbers[one.column]
		switch {
		case nr < 0 || s.empty():
		case s.always:
			points = append(points, span{start: uint32(nr), verdict: s.verdict})
		default:
			points = append(points, span{start: uint32(nr), rules: s, words: one.words})
		}
	}
	return points
}

// fill puts lower and upper, which is for numbers from x32Bit on, between sorted
// points, and joins neighbours that are the same.
func fill(points []span, lower, upper span) []span {
	var spans []span
	add := func(s span, start uint32) {
		if n := len(spans); n > 0 && spans[n-1].same(s) {
			return
		}
		s.start = start
		spans = append(spans, s)
	}
	gap := func(from, to uint64) { // [from, to)
		if from < min(to, x32Bit) {
			add(lower, uint32(from))
		}
		if max(from, x32Bit) < to {
			add(upper, uint32(max(from, x32Bit)))
		}
	}
	next := uint64(0)
	for _, p := range points {
		gap(next, uint64(p.start))
		add(p, p.start)
		next = uint64(p.start) + 1
	}
	gap(next, 1<<32)
	return spans
}

// tree writes the search for a number among spans and returns its beginning.
func (a *assembler) tree(spans []span, fallback uint32) label {
	switch n := len(spans); {
	case n == 1:
		if s := spans[0]; s.rules != nil {
			return a.ruleSet(s.rules, s.words, fallback)
		}
		return a.ret(spans[0].verdict)
	case n == 3 && spans[0].same(spans[2]) && spans[2].start == spans[1].start+1:
		around := a.tree(spans[:1], fallback)
		at := a.tree(spans[1:2], fallback)
		return a.jump(opJumpEQ, spans[1].start, at, around)
	default:
		above := a.tree(spans[n/2:], fallback)
		below := a.tree(spans[:n/2], fallback)
		return a.jump(opJumpGE, spans[n/2].start, above, below)
	}
}
