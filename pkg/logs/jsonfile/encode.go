package jsonfile

import (
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

// appendEscaped appends p as the inside of a JSON string, as Docker writes it:
// invalid UTF-8 becomes U+FFFD, <, >, & and the JavaScript line ends are escaped.
func appendEscaped(dst, p []byte) []byte {
	from := 0
	for i := 0; i < len(p); {
		b := p[i]
		if plain[b] {
			i++
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
