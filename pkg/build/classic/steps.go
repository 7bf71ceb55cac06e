package classic

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	bkclient "github.com/moby/buildkit/client"
	"github.com/opencontainers/go-digest"
)

// maxHeld bounds, in bytes, the output of a step that is held back until the
// steps before it are shown; BuildKit's own bound for a step's log.
const maxHeld = 2 << 20

// step is an instruction and how far BuildKit is with it.
type step struct {
	instruction
	vertex  digest.Digest // "": none was seen
	started bool
	done    bool
	cached  bool
	image   string // the digest that a FROM was resolved to, 12 digits
	held    []byte // output that was not shown yet
	running bool   // "Running in" was shown
}

// progress turns the progress of BuildKit's graph into that of a list.
type progress struct {
	steps []*step
	by    map[digest.Digest]*step
	at    int  // the step that is shown
	shown bool // its headline is out
	id    string
	say   func(string) error
}

func newProgress(plan []instruction, say func(string) error) *progress {
	p := &progress{by: map[digest.Digest]*step{}, say: say}
	for _, in := range plan {
		p.steps = append(p.steps, &step{instruction: in})
	}
	return p
}

// update takes news, and shows what can be shown.
func (p *progress) update(s *bkclient.SolveStatus) error {
	for _, v := range s.Vertexes {
		p.vertex(v)
	}
	for _, l := range s.Logs {
		if st := p.by[l.Vertex]; st != nil {
			st.hold(l)
		}
	}
	return p.show(false)
}

// hold keeps what a step wrote; what it wrote to the standard error is red, as the
// first builder had it.
func (st *step) hold(l *bkclient.VertexLog) {
	data := l.Data[:min(len(l.Data), maxHeld-min(len(st.held), maxHeld))]
	if l.Stream == 2 && len(data) > 0 {
		data = fmt.Appendf(nil, "\x1b[91m%s\x1b[0m", data)
	}
	st.held = append(st.held, data...)
}

func (p *progress) vertex(v *bkclient.Vertex) {
	st := p.by[v.Digest]
	if st == nil {
		if st = p.match(v); st == nil {
			return
		}
		p.by[v.Digest] = st
		st.vertex = v.Digest
	}
	st.started = st.started || v.Started != nil
	st.cached = st.cached || v.Cached
	if v.Completed != nil && v.Error == "" {
		st.done = true
	}
}

var resolved = regexp.MustCompile(`@sha256:([0-9a-f]{12})`)

// match finds the instruction that a vertex is: BuildKit numbers those of a stage
// that it has vertices for, and may have none for some.
func (p *progress) match(v *bkclient.Vertex) *step {
	stage, keyword, text, ok := vertex(v.Name)
	if !ok {
		return nil
	}
	var first *step
	for _, st := range p.steps {
		if st.vertex != "" || st.stage != "" && st.stage != stage || st.keyword != keyword || !st.works {
			continue
		}
		if keyword == "FROM" {
			if m := resolved.FindStringSubmatch(text); m != nil {
				st.image = m[1]
			}
			return st
		}
		if strings.TrimSpace(strings.TrimPrefix(st.text, keyword)) == text {
			return st
		}
		if first == nil {
			first = st // variables in it were replaced
		}
	}
	return first
}

// finished says whether a step needs no more waiting: what has no vertex is
// finished when a later one of its stage has begun.
func (p *progress) finished(i int, all bool) bool {
	st := p.steps[i]
	if st.done || !st.works || all && st.vertex == "" {
		return true
	}
	if st.vertex != "" {
		return false
	}
	for _, later := range p.steps[i+1:] {
		if later.stage == st.stage && later.vertex != "" && (later.started || later.done) {
			return true
		}
	}
	return false
}

// show tells of all steps up to the first that is not finished; all says that the
// build has ended.
func (p *progress) show(all bool) error {
	for p.at < len(p.steps) {
		st := p.steps[p.at]
		if !p.shown {
			p.shown = true
			if err := p.say(fmt.Sprintf("Step %d/%d : %s\n", p.at+1, len(p.steps), st.text)); err != nil {
				return err
			}
		}
		if err := p.output(st); err != nil {
			return err
		}
		// The last is the image itself, whose ID is not known before the end.
		if p.at == len(p.steps)-1 && !all || !p.finished(p.at, all) {
			return nil
		}
		if err := p.conclude(st); err != nil {
			return err
		}
		p.at, p.shown = p.at+1, false
	}
	return nil
}

// output shows what a step wrote.
func (p *progress) output(st *step) error {
	if st.keyword == "RUN" && st.started && !st.cached && !st.running && st.vertex != "" {
		st.running = true
		if err := p.say(" ---> Running in " + short(st.vertex.String()) + "\n"); err != nil {
			return err
		}
	}
	if len(st.held) == 0 || !st.running {
		return nil
	}
	text := string(st.held)
	st.held = nil
	return p.say(text)
}

// conclude ends a step with the ID of what is there after it. BuildKit has no
// image of each step: the ID stands for all instructions so far.
func (p *progress) conclude(st *step) error {
	sum := sha256.Sum256([]byte(p.id + "\n" + st.text + "\n" + st.vertex.String()))
	p.id = hex.EncodeToString(sum[:])
	if st.image != "" {
		p.id = st.image
	}
	if st.meta {
		return nil // before the first FROM there is nothing
	}
	var text string
	switch {
	case st.cached && st.keyword != "FROM":
		text = " ---> Using cache\n"
	case st.running:
		text = " ---> Removed intermediate container " + short(st.vertex.String()) + "\n"
	}
	if p.at == len(p.steps)-1 {
		return p.say(text) // end has the image's ID
	}
	return p.say(text + " ---> " + p.id[:12] + "\n")
}

// end tells of the image.
func (p *progress) end(image string) error {
	if err := p.show(true); err != nil {
		return err
	}
	return p.say(" ---> " + short(image) + "\n")
}

// fail shows how far it came: the step that failed, if one did, is the last that
// is told of.
func (p *progress) fail(failed *step) error {
	for failed != nil && p.at < len(p.steps) && p.steps[p.at] != failed {
		p.steps[p.at].done = true // it was cancelled, or has no vertex
		if err := p.show(false); err != nil {
			return err
		}
	}
	return p.show(false)
}

// short is what people are shown of a digest.
func short(id string) string {
	_, hex, ok := strings.Cut(id, ":")
	if !ok {
		hex = id
	}
	return hex[:min(12, len(hex))]
}
