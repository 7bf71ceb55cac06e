package seccomp

// Operations of classic BPF, of linux/bpf_common.h.
const (
	opLoad   = 0x20 // BPF_LD | BPF_W | BPF_ABS
	opAnd    = 0x54 // BPF_ALU | BPF_AND | BPF_K
	opJump   = 0x05 // BPF_JMP | BPF_JA
	opJumpEQ = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	opJumpGT = 0x25 // BPF_JMP | BPF_JGT | BPF_K
	opJumpGE = 0x35 // BPF_JMP | BPF_JGE | BPF_K
	opReturn = 0x06 // BPF_RET | BPF_K
)

// An instruction is struct sock_filter of linux/filter.h.
type instruction struct {
	op     uint16
	jt, jf uint8
	k      uint32
}

// maxJump is how far a conditional jump goes at most here. The field holds 255;
// either target of a jump can move by one when the other gets a stepping stone.
const maxJump = 250

// An assembler writes a program from its end to its beginning: jumps go forward
// only, so every target is in place, at a known distance, before the jump to it.
type assembler struct {
	reversed []instruction
	returns  map[uint32]label // the newest return of each verdict
}

// A label is an instruction's index in reversed.
type label int

func (a *assembler) emit(i instruction) label {
	a.reversed = append(a.reversed, i)
	return label(len(a.reversed) - 1)
}

// skip is how many instructions the next one to be emitted has to jump over.
func (a *assembler) skip(to label) int { return len(a.reversed) - 1 - int(to) }

// ret returns a place that returns the verdict, in a jump's reach.
func (a *assembler) ret(verdict uint32) label {
	if l, ok := a.returns[verdict]; ok && a.skip(l) <= maxJump {
		return l
	}
	l := a.emit(instruction{op: opReturn, k: verdict})
	a.returns[verdict] = l
	return l
}

// near returns a place in a jump's reach that leads to the label: itself, or a
// stepping stone.
func (a *assembler) near(to label) label {
	if a.skip(to) <= maxJump {
		return to
	}
	if far := a.reversed[to]; far.op == opReturn {
		return a.ret(far.k)
	}
	return a.emit(instruction{op: opJump, k: uint32(a.skip(to))})
}

// jump compares the accumulator with k and goes to yes or no.
func (a *assembler) jump(op uint16, k uint32, yes, no label) label {
	yes, no = a.near(yes), a.near(no)
	return a.emit(instruction{op: op, jt: uint8(a.skip(yes)), jf: uint8(a.skip(no)), k: k})
}

// load puts a word of struct seccomp_data into the accumulator and goes on.
func (a *assembler) load(offset uint32, then label) label {
	a.follow(then)
	return a.emit(instruction{op: opLoad, k: offset})
}

// and masks the accumulator and goes on.
func (a *assembler) and(mask uint32, then label) label {
	a.follow(then)
	return a.emit(instruction{op: opAnd, k: mask})
}

// follow makes the next instruction, one that does not jump, run into the label.
func (a *assembler) follow(then label) {
	if skip := a.skip(then); skip > 0 {
		a.emit(instruction{op: opJump, k: uint32(skip)})
	}
}

// program returns the instructions in order.
func (a *assembler) program() []instruction {
	p := make([]instruction, len(a.reversed))
	for i, in := range a.reversed {
		p[len(p)-1-i] = in
	}
	return p
}
