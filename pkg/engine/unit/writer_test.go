package unit

import (
	"errors"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	ctypes "github.com/moby/moby/api/types/container"
)

// fakeStore keeps the last record of each container.
type fakeStore struct {
	mu     sync.Mutex // guards all
	fail   error
	writes int
	names  map[string]string
}

func (f *fakeStore) PutContainers(records map[string][]byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.writes++
	if f.fail != nil {
		return f.fail
	}
	for id, b := range records {
		r, _, err := container.Decode(b)
		if err != nil {
			return err
		}
		f.names[id] = r.Name
	}
	return nil
}

func newWriter(t *testing.T) (*Writer, *fakeStore, *Unit) {
	u := New(&container.Record{ID: "a", Name: "old", Config: &ctypes.Config{}, HostConfig: &ctypes.HostConfig{}}, container.Status{State: container.Created})
	s := &fakeStore{names: map[string]string{}}
	w := NewWriter(s, func(id string) *Unit {
		if id == u.ID {
			return u
		}
		return nil
	}, slog.New(slog.DiscardHandler))
	t.Cleanup(func() {
		u.Close(errors.New("end"))
		u.Wait()
	})
	return w, s, u
}

func TestWriter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, u := newWriter(t)
		for range 10 {
			w.Later(u.ID)
		}
		w.Later("removed")
		<-time.After(behind)
		synctest.Wait()
		if s.writes != 1 || s.names["a"] != "old" {
			t.Errorf("%+v", s)
		}
		s.fail = errors.New("disk full")
		if err := w.Save(t.Context(), u.ID); !errors.Is(err, s.fail) {
			t.Errorf("%v", err)
		}
		s.fail = nil
		w.Close() // writes what is behind
		if s.writes != 3 {
			t.Errorf("%d writes", s.writes)
		}
	})
}

// A write of the old name that is due comes before the rename, or has the new one.
func TestWriterDo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w, s, u := newWriter(t)
		w.Later(u.ID)
		if err := w.Do(func() error {
			r := *u.View().Record
			r.Name, s.names["a"] = "new", "new"
			u.Publish(&r, u.Status())
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		w.Close()
		if s.names["a"] != "new" {
			t.Errorf("%+v", s)
		}
	})
}
