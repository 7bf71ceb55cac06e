package jsonfile

import (
	"encoding/binary"
	"math/bits"
	"time"
	"unicode/utf8"
)

const hex = "0123456789abcdef"

// plain are the bytes that stand for themselves in Docker's log files: ASCII but
// control characters, the quote and the backslash, and what HTML would trip over.
var plain = func() (t [256]bool) {
	for b := 0x20; b < utf8.RuneSelf; b++ {
		t[b] = b != '"' && b != '\\' && b != '<' && b != '>' && b != '&'
	}
	return t
}()

// plainPrefix is how many bytes p begins with that are plain. It looks at eight at a time.
func plainPrefix(p []byte) int {
	i := 0
	for ; len(p)-i >= 8; i += 8 {
		w := binary.LittleEndian.Uint64(p[i:])
		// < and > differ in one bit, as do " and &.
		if found := (noText(w) | is(w|ones*('<'^'>'), '>') | is(w|ones*('"'^'&'), '&') | is(w, '\\')) & highest; found != 0 {
			return i + bits.TrailingZeros64(found)/8
		}
	}
	for i < len(p) && plain[p[i]] {
		i++
	}
	return i
}

// What finds bytes in a word of eight sets their highest bits. It may set those of bytes
// above one that is found as well, by the borrow of a subtraction: only the lowest counts.
const ones, highest = 0x0101010101010101, 0x8080808080808080

// noText finds control characters and what is not ASCII.
func noText(w uint64) uint64 { return w | (w - ' '*ones) }

// is finds b, which is ASCII, and what is not.
func is(w uint64, b byte) uint64 { return (w ^ uint64(b)*ones) - ones }

// appendEscaped appends p as the inside of a JSON string, as Docker writes it:
// invalid UTF-8 becomes U+FFFD, <, >, & and the JavaScript line ends are escaped.
func appendEscaped(dst, p []byte) []byte {
	from := 0
	for i := 0; i < len(p); {
		b := p[i]
		if plain[b] {
			i += plainPrefix(p[i:])
			continue
		}
		if b >= utf8.RuneSelf {
			r, size := utf8.DecodeRune(p[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				dst = append(append(dst, p[from:i]...), `\ufffd`...)
			case r == '\u2028' || r == '\u2029':
				dst = append(append(dst, p[from:i]...), `\u202`...)
				dst = append(dst, hex[r&0xf])
			default:
				i += size
				continue
			}
			i += size
			from = i
			continue
		}
		dst = append(dst, p[from:i]...)
		switch b {
		case '"', '\\':
			dst = append(dst, '\\', b)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[b>>4], hex[b&0xf])
		}
		i++
		from = i
	}
	return append(dst, p[from:]...)
}

// appendEntry appends one entry with its newline. tail is what appendTail made.
func appendEntry(dst, line, tail []byte) []byte {
	dst = append(dst, `{"log":"`...)
	dst = appendEscaped(dst, line)
	return append(dst, tail...)
}

// appendTail appends what follows the text of an entry. attrs is a JSON object, or nothing.
func appendTail(dst []byte, source string, attrs []byte, t time.Time) []byte {
	dst = append(dst, `","stream":"`...)
	dst = append(dst, source...)
	dst = append(dst, '"')
	if len(attrs) > 0 {
		dst = append(append(dst, `,"attrs":`...), attrs...)
	}
	dst = append(dst, `,"time":"`...)
	dst = t.UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"', '}', '\n')
}
