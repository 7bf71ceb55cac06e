package resolver

import (
	"io"
	"os"
	"sync/atomic"

	"github.com/berth-engine/berth/pkg/net/records"
	"golang.org/x/sys/unix"
)

// maxFile bounds what is read of a file of records: tens of thousands of names.
const maxFile = 16 << 20

// file is the newest content of a file that is only ever replaced by a rename.
// It may be asked by several at once.
type file[T any] struct {
	path  string
	parse func([]byte) T // its zero value stands for a file that is not there
	held  atomic.Pointer[content[T]]
}

// content is what one inode holds. It stays open, so that its number can be
// no other file's.
type content[T any] struct {
	f        *os.File
	dev, ino uint64
	value    T
}

// get looks at the path each time: what was changed before a query is in its
// answer.
func (f *file[T]) get() (none T) {
	var st unix.Stat_t
	if err := unix.Stat(f.path, &st); err != nil {
		f.close()
		return none
	}
	if c := f.held.Load(); c != nil && c.dev == st.Dev && c.ino == st.Ino {
		return c.value
	}
	c, err := f.read()
	if err != nil {
		return none
	}
	f.replace(c)
	return c.value
}

func (f *file[T]) read() (*content[T], error) {
	r, err := os.Open(f.path)
	if err != nil {
		return nil, err
	}
	var st unix.Stat_t
	err = unix.Fstat(int(r.Fd()), &st)
	var b []byte
	if err == nil {
		b, err = io.ReadAll(io.LimitReader(r, maxFile))
	}
	if err != nil {
		_ = r.Close()
		return nil, err
	}
	return &content[T]{f: r, dev: st.Dev, ino: st.Ino, value: f.parse(b)}, nil
}

func (f *file[T]) replace(c *content[T]) {
	if old := f.held.Swap(c); old != nil {
		_ = old.f.Close()
		if v, ok := any(old.value).(*view); ok && v != nil {
			v.close()
		}
	}
}

// close forgets the content; get finds it again if it is there.
func (f *file[T]) close() { f.replace(nil) }

// view is a container's networks with their names.
type view struct {
	forward  bool
	networks []network
}

type network struct {
	name  string
	links map[string]string
	names *file[records.Table]
}

func (v *view) close() {
	for _, n := range v.networks {
		n.names.close()
	}
}

func viewFile(path string) *file[*view] {
	return &file[*view]{path: path, parse: func(b []byte) *view {
		in, err := records.ParseView(b)
		if err != nil {
			return nil // of a version to come
		}
		v := &view{forward: in.Forward}
		for _, n := range in.Networks {
			v.networks = append(v.networks, network{name: n.Name, links: n.Links, names: &file[records.Table]{
				path: records.TablePath(path, n.Name), parse: func(b []byte) records.Table { return b }}})
		}
		return v
	}}
}
