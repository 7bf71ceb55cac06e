package resolver

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// maxQuery bounds a query; with one question and EDNS they have some 300 bytes.
	maxQuery = 4096
	// minUDP is what a client takes by UDP that does not say more (RFC 1035, 4.2.1).
	minUDP = 512
	// maxUDP is the largest message that is passed on by UDP, whatever a client
	// takes. What is larger goes by TCP.
	maxUDP = 4096
	maxTCP = 65535

	// ttl is Docker's.
	ttl = 600
)

// query is what a client asks.
type query struct {
	dnsmessage.Header
	question dnsmessage.Question
	raw      []byte // the whole message
	edns     bool
	limit    int // of the answer's size
}

// errIgnored: no answer is due.
var errIgnored = errors.New("not a query")

// parse reads a query. For one that cannot be answered it gives the code of the
// answer, with what of the query could be read.
func parse(b []byte, tcp bool) (q *query, code dnsmessage.RCode, err error) {
	q = &query{raw: b, limit: minUDP}
	if tcp {
		q.limit = maxTCP
	}
	var p dnsmessage.Parser
	if q.Header, err = p.Start(b); err != nil || q.Response {
		return nil, 0, errIgnored
	}
	if q.OpCode != 0 {
		return q, dnsmessage.RCodeNotImplemented, nil
	}
	question, err := only(&p)
	if err != nil {
		return q, dnsmessage.RCodeFormatError, nil
	}
	q.question = question
	if err := q.options(&p, tcp); err != nil {
		return q, dnsmessage.RCodeFormatError, nil
	}
	return q, dnsmessage.RCodeSuccess, nil
}

// only gives a message's question; there must be one.
func only(p *dnsmessage.Parser) (dnsmessage.Question, error) {
	q, err := p.Question()
	if err != nil {
		return q, err
	}
	if _, err := p.Question(); !errors.Is(err, dnsmessage.ErrSectionDone) {
		return q, errors.New("several questions")
	}
	return q, nil
}

// options reads EDNS (RFC 6891), of which only the size counts.
func (q *query) options(p *dnsmessage.Parser, tcp bool) error {
	if err := errors.Join(p.SkipAllAnswers(), p.SkipAllAuthorities()); err != nil {
		return err
	}
	for {
		h, err := p.AdditionalHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			return nil
		}
		if err != nil {
			return err
		}
		if h.Type == dnsmessage.TypeOPT {
			q.edns = true
			if !tcp {
				q.limit = min(max(int(h.Class), minUDP), maxUDP)
			}
		}
		if err := p.SkipAdditional(); err != nil {
			return err
		}
	}
}

// name is the name in question without the dot at its end.
func (q *query) name() string { return strings.TrimSuffix(q.question.Name.String(), ".") }

// reply is an answer with the records that add adds. It is nil when there is
// none that could be sent.
func (q *query) reply(code dnsmessage.RCode, truncated bool, add func(*dnsmessage.Builder) error) []byte {
	b := dnsmessage.NewBuilder(nil, dnsmessage.Header{ID: q.ID, Response: true, OpCode: q.OpCode,
		RecursionDesired: q.RecursionDesired, RecursionAvailable: true, Truncated: truncated, RCode: code})
	b.EnableCompression()
	err := b.StartQuestions()
	if q.question.Name.Length > 0 {
		err = errors.Join(err, b.Question(q.question))
	}
	if add != nil {
		err = errors.Join(err, b.StartAnswers(), add(&b))
	}
	if q.edns {
		var h dnsmessage.ResourceHeader
		err = errors.Join(err, b.StartAdditionals(), h.SetEDNS0(maxUDP, code, false), b.OPTResource(h, dnsmessage.OPTResource{}))
	}
	out, finish := b.Finish()
	if errors.Join(err, finish) != nil {
		return nil
	}
	return out
}

func (q *query) fails(code dnsmessage.RCode) []byte { return q.reply(code, false, nil) }

// Sizes of records that answer to the name in question, of which they hold a
// pointer: its two bytes, type, class, TTL and length, and the address.
const (
	sizeA    = 12 + 4
	sizeAAAA = 12 + 16
)

// addresses is the answer that has them, as many as fit, in random order.
func (q *query) addresses(all []netip.Addr) []byte {
	rand.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	size := sizeA
	if q.question.Type == dnsmessage.TypeAAAA {
		size = sizeAAAA
	}
	fit := max(q.limit-len(q.fails(dnsmessage.RCodeSuccess)), 0) / size
	truncated := fit < len(all)
	h := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	return q.reply(dnsmessage.RCodeSuccess, truncated, func(b *dnsmessage.Builder) error {
		for _, a := range all[:min(fit, len(all))] {
			var err error
			if a.Is4() {
				err = b.AResource(h, dnsmessage.AResource{A: a.As4()})
			} else {
				err = b.AAAAResource(h, dnsmessage.AAAAResource{AAAA: a.As16()})
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// pointer is the answer that has the name of an address.
func (q *query) pointer(host string) []byte {
	n, err := dnsmessage.NewName(host + ".")
	if err != nil {
		return q.fails(dnsmessage.RCodeServerFailure) // too long for one
	}
	h := dnsmessage.ResourceHeader{Name: q.question.Name, Class: dnsmessage.ClassINET, TTL: ttl}
	return q.reply(dnsmessage.RCodeSuccess, false, func(b *dnsmessage.Builder) error {
		return b.PTRResource(h, dnsmessage.PTRResource{PTR: n})
	})
}

// answered says whether b answers q, sent with an id, and with which code.
func (q *query) answered(b []byte, id uint16) (dnsmessage.RCode, bool) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || h.ID != id {
		return 0, false
	}
	a, err := only(&p)
	if errors.Is(err, dnsmessage.ErrSectionDone) { // some leave it out when they fail
		return h.RCode, h.RCode != dnsmessage.RCodeSuccess && h.RCode != dnsmessage.RCodeNameError
	}
	return h.RCode, err == nil && a.Type == q.question.Type && a.Class == q.question.Class &&
		strings.EqualFold(a.Name.String(), q.question.Name.String())
}
