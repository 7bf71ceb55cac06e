package files

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// span is a range of a file that has data.
type span struct{ start, length int64 }

// maxSpans bounds the map of one file: one with more is written whole.
const maxSpans = 1 << 16

// dataSpans lists the data of a file of that size; false when the file system
// does not tell, or there are too many.
func dataSpans(fd int, size int64) (spans []span, ok bool) {
	for at := int64(0); at < size; {
		start, err := unix.Seek(fd, at, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) { // a hole up to the end
			break
		}
		if err != nil || len(spans) == maxSpans {
			return nil, false
		}
		end, err := unix.Seek(fd, start, unix.SEEK_HOLE)
		if err != nil {
			return nil, false
		}
		spans = append(spans, span{start, min(end, size) - start})
		at = end
	}
	return spans, true
}

// sparse writes a file with holes in GNU tar's PAX format 1.0, which archive/tar
// reads and does not write: a PAX header, a header, the map and the data.
// https://www.gnu.org/software/tar/manual/html_node/PAX-1.html
func (p *packer) sparse(fd int, st *unix.Stat_t, as string) (done bool, err error) {
	spans, ok := dataSpans(fd, st.Size)
	if _, err := unix.Seek(fd, 0, unix.SEEK_SET); err != nil || !ok {
		return false, err
	}
	if n := len(spans); n == 0 || spans[n-1].start+spans[n-1].length < st.Size {
		spans = append(spans, span{start: st.Size}) // GNU tar would end the file at the last data
	}
	list := fmt.Appendf(nil, "%d\n", len(spans))
	var data int64
	for _, s := range spans {
		list = fmt.Appendf(list, "%d\n%d\n", s.start, s.length)
		data += s.length
	}
	list = pad(list)
	h := p.describe(st, as)
	if err := p.attach(h, place{fd: fd}); err != nil {
		return false, err
	}
	if err := p.tar.Flush(); err != nil { // the entry before, up to its end
		return true, err
	}
	if _, err := p.out.Write(sparseHeader(h, int64(len(list))+data)); err != nil {
		return true, err
	}
	if _, err := p.out.Write(list); err != nil {
		return true, err
	}
	for _, s := range spans {
		if err := p.raw(io.NewSectionReader(descriptor(fd), s.start, s.length), as, s.length); err != nil {
			return true, err
		}
	}
	_, err = p.out.Write(make([]byte, -data&(block-1)))
	return true, err
}

// raw writes length bytes past the tar writer.
func (p *packer) raw(r io.Reader, as string, length int64) error {
	whole := io.MultiReader(r, zeros{}) // it may have shrunk
	for length > 0 {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		b := p.buf[:min(length, int64(len(p.buf)))]
		if _, err := io.ReadFull(whole, b); err != nil {
			return &os.PathError{Op: "read", Path: as, Err: err}
		}
		if _, err := p.out.Write(b); err != nil {
			return err
		}
		length -= int64(len(b))
	}
	return nil
}

// descriptor reads an open file.
type descriptor int

func (d descriptor) ReadAt(b []byte, at int64) (total int, err error) {
	for total < len(b) {
		n, err := unix.Pread(int(d), b[total:], at+int64(total))
		switch {
		case errors.Is(err, unix.EINTR):
		case err != nil:
			return total, err
		case n == 0:
			return total, io.EOF
		}
		total += max(n, 0)
	}
	return total, nil
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) {
	clear(b)
	return len(b), nil
}

// block is what a tar stream is made of.
const block = 512

func pad(b []byte) []byte { return append(b, make([]byte, -len(b)&(block-1))...) }

// sparseHeader is the PAX header with all that there is to say, and a header with
// nothing but a name for tars that know no PAX.
func sparseHeader(h *tar.Header, stored int64) []byte {
	records := maps.Clone(h.PAXRecords)
	if records == nil {
		records = map[string]string{}
	}
	placeholder := path.Join("GNUSparseFile.0", path.Base(h.Name))
	maps.Copy(records, map[string]string{
		"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": h.Name, "GNU.sparse.realsize": strconv.FormatInt(h.Size, 10),
		"path": placeholder, "size": strconv.FormatInt(stored, 10), "uid": strconv.Itoa(h.Uid), "gid": strconv.Itoa(h.Gid),
		"mtime": fmt.Sprintf("%d.%09d", h.ModTime.Unix(), h.ModTime.Nanosecond()),
	})
	var pax bytes.Buffer
	for _, k := range slices.Sorted(maps.Keys(records)) {
		pax.WriteString(paxRecord(k, records[k]))
	}
	out := ustar("PaxHeaders.0/sparse", tar.TypeXHeader, 0o644, int64(pax.Len()))
	out = append(out, pad(pax.Bytes())...)
	return append(out, ustar("GNUSparseFile.0/sparse", tar.TypeReg, h.Mode, stored)...)
}

// paxRecord is "LENGTH KEY=VALUE\n", the length being that of all of it.
func paxRecord(k, v string) string {
	n := len(k) + len(v) + len(" =\n")
	size := n + len(strconv.Itoa(n))
	size = n + len(strconv.Itoa(size))
	return fmt.Sprintf("%d %s=%s\n", size, k, v)
}

// ustar is a header block (pax(1), "ustar Interchange Format"). A size too large
// for its field is in the PAX header alone.
func ustar(name string, typeflag byte, mode, size int64) []byte {
	b := make([]byte, block)
	copy(b, name)
	copy(b[100:], fmt.Sprintf("%07o\x00", mode))
	copy(b[108:], "0000000\x000000000\x00")
	if size >= 1<<33 {
		size = 0
	}
	copy(b[124:], fmt.Sprintf("%011o\x0000000000000\x00", size))
	copy(b[148:], "        ") // the sum counts its own field as blanks
	b[156] = typeflag
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}
