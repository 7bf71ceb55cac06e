package records

import (
	"bytes"
	"cmp"
	"net/netip"
	"slices"
	"strings"
)

// A network's file is lines in byte order, found by bisection:
//
//	a ADDRESS NAME            what the address is called
//	n NAME ADDRESS [ADDRESS]  who is called so; names in lower case
const (
	address = "a "
	name    = "n "
)

// maxName is the longest name that a query can have, in its text form (RFC 1035, 2.3.4).
const maxName = 253

// table is what is known of one network. Records.mu guards it.
type table struct {
	network string
	path    string
	lines   []line // by key
	version int    // of lines
	written int    // version that is in the file; only whose turn it is changes it

	turn chan struct{} // held by the one who writes the file
}

// line is one key with its values, each as often as endpoints have put it.
type line struct {
	key    string
	values []string
}

func (t *table) add(e Endpoint)    { each(e, t.put) }
func (t *table) remove(e Endpoint) { each(e, t.drop) }

// each calls f for all that an endpoint stands for. What no query can ask for
// is left out.
func each(e Endpoint, f func(key, value string)) {
	for i, n := range slices.DeleteFunc(slices.Clone(e.Names), unaskable) {
		for _, a := range e.Addrs {
			if i == 0 {
				f(address+a.String(), n)
			}
			f(name+strings.ToLower(n), a.String())
		}
	}
}

// unaskable: a query's name has labels of 63 bytes; a blank would break the line.
func unaskable(n string) bool {
	if n == "" || len(n) > maxName || strings.ContainsFunc(n, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return true
	}
	return slices.ContainsFunc(strings.Split(n, "."), func(l string) bool { return l == "" || len(l) > 63 })
}

func (t *table) find(key string) (int, bool) {
	return slices.BinarySearchFunc(t.lines, key, func(l line, k string) int { return cmp.Compare(l.key, k) })
}

func (t *table) put(key, value string) {
	i, ok := t.find(key)
	if !ok {
		t.lines = slices.Insert(t.lines, i, line{key: key})
	}
	at, _ := slices.BinarySearch(t.lines[i].values, value)
	t.lines[i].values = slices.Insert(t.lines[i].values, at, value)
}

func (t *table) drop(key, value string) {
	i, ok := t.find(key)
	if !ok {
		return
	}
	if at, ok := slices.BinarySearch(t.lines[i].values, value); ok {
		t.lines[i].values = slices.Delete(t.lines[i].values, at, at+1)
	}
	if len(t.lines[i].values) == 0 {
		t.lines = slices.Delete(t.lines, i, i+1)
	}
}

func (t *table) render() []byte {
	var b bytes.Buffer
	for _, l := range t.lines {
		b.WriteString(l.key)
		for _, v := range slices.Compact(slices.Clone(l.values)) {
			b.WriteByte(' ')
			b.WriteString(v)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// Table is the content of a network's file, to read. It is never changed.
type Table []byte

// Name gives the addresses that n stands for; none when there is no such name.
func (t Table) Name(n string) (out []netip.Addr) {
	if unaskable(n) {
		return nil
	}
	for f := range strings.FieldsSeq(t.value(name + strings.ToLower(n) + " ")) {
		if a, err := netip.ParseAddr(f); err == nil {
			out = append(out, a)
		}
	}
	return out
}

// Address gives the name of an address's container, "" when there is none.
func (t Table) Address(a netip.Addr) string {
	n, _, _ := strings.Cut(t.value(address+a.String()+" "), " ")
	return n
}

// value returns the rest of the line that begins with prefix.
func (t Table) value(prefix string) string {
	low, high := 0, len(t) // the line, if it is there, begins in [low, high)
	for low < high {
		mid := (low + high) / 2
		begin := low + bytes.LastIndexByte(t[low:mid], '\n') + 1
		end := len(t)
		if i := bytes.IndexByte(t[mid:], '\n'); i >= 0 {
			end = mid + i
		}
		l := t[begin:end]
		if bytes.HasPrefix(l, []byte(prefix)) {
			return string(l[len(prefix):])
		}
		if string(l) < prefix {
			low = end + 1
		} else {
			high = begin
		}
	}
	return ""
}
