package stats

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/berth-engine/berth/pkg/engine/container"
	"github.com/berth-engine/berth/pkg/engine/unit"
	"github.com/containerd/errdefs"
	ctypes "github.com/moby/moby/api/types/container"
)

// measured makes Stats that count how often the container "abc" is measured.
func measured(t *testing.T, state container.State) (*Stats, *unit.Unit, *int) {
	t.Helper()
	units := unit.NewRegistry()
	u := unit.New(&container.Record{ID: "abc", Name: "web", Config: &ctypes.Config{}, HostConfig: &ctypes.HostConfig{}}, container.Status{State: state, Pid: 7})
	units.Add(u)
	s := New(Config{Units: units, Logger: slog.New(slog.DiscardHandler)})
	n := new(int)
	s.read = func(v *unit.View) (ctypes.StatsResponse, error) {
		*n++
		one := empty(v)
		one.Read = time.Now()
		one.CPUStats.CPUUsage.TotalUsage = uint64(*n)
		return one, nil
	}
	t.Cleanup(func() {
		s.Close()
		u.Close(errors.New("end"))
		u.Wait()
	})
	return s, u, n
}

var errEnough = errors.New("enough")

// after takes n samples and gives the last.
func after(n int, last *ctypes.StatsResponse) func(ctypes.StatsResponse) error {
	return func(s ctypes.StatsResponse) error {
		*last = s
		if n--; n == 0 {
			return errEnough
		}
		return nil
	}
}

func TestStreamsShareTheirSamples(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, n := measured(t, container.Running)
		done := make(chan ctypes.StatsResponse)
		for range 10 {
			go func() {
				var last ctypes.StatsResponse
				if err := s.Send(t.Context(), "abc", Options{Stream: true}, after(3, &last)); !errors.Is(err, errEnough) {
					t.Errorf("%v", err)
				}
				done <- last
			}()
		}
		for range 10 {
			if last := <-done; last.Read.Sub(last.PreRead) != interval || last.CPUStats.CPUUsage.TotalUsage != last.PreCPUStats.CPUUsage.TotalUsage+1 {
				t.Errorf("%+v", last)
			}
		}
		synctest.Wait()
		if *n > 4 { // one may have come before the last client
			t.Errorf("measured %d times", *n)
		}
		was := *n
		<-time.After(10 * interval)
		if len(s.samplers) != 0 || *n != was {
			t.Error("nobody looks, and it is measured")
		}
	})
}

func TestOneSample(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, n := measured(t, container.Running)
		var got ctypes.StatsResponse
		if err := s.Send(t.Context(), "abc", Options{OneShot: true}, after(2, &got)); err != nil || *n != 1 || !got.PreRead.IsZero() {
			t.Errorf("%+v, measured %d times, %v", got, *n, err)
		}
		if err := s.Send(t.Context(), "abc", Options{}, after(2, &got)); err != nil || got.Read.Sub(got.PreRead) != interval {
			t.Errorf("%+v, %v", got, err)
		}
		if err := s.Send(t.Context(), "abc", Options{Stream: true, OneShot: true}, nil); !errdefs.IsInvalidArgument(err) {
			t.Errorf("%v", err)
		}
		if err := s.Send(t.Context(), "x", Options{}, nil); !errdefs.IsNotFound(err) {
			t.Errorf("%v", err)
		}
		s.read = func(*unit.View) (ctypes.StatsResponse, error) { return ctypes.StatsResponse{}, fs.ErrNotExist }
		if err := s.Send(t.Context(), "abc", Options{OneShot: true}, after(2, &got)); err != nil || got.Name != "/web" || !got.Read.IsZero() {
			t.Errorf("of one that is ending: %+v, %v", got, err)
		}
	})
}

func TestStatsOfOneThatDoesNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, u, n := measured(t, container.Exited)
		var got ctypes.StatsResponse
		for _, o := range []Options{{}, {OneShot: true}, {Stream: true}} {
			if err := s.Send(t.Context(), "abc", o, after(1, &got)); !errors.Is(err, errEnough) || got.Name != "/web" || got.ID != "abc" || !got.Read.IsZero() || *n != 0 {
				t.Errorf("%+v: %+v, measured %d times, %v", o, got, *n, err)
			}
		}
		// Its removal ends the stream.
		ended := make(chan error)
		go func() { ended <- s.Send(t.Context(), "abc", Options{Stream: true}, after(1000, &got)) }()
		synctest.Wait()
		u.Set(u.Status().Leaving())
		s.units.Remove("abc")
		u.Set(u.Status())
		if err := <-ended; err != nil {
			t.Errorf("%v", err)
		}
	})
}

func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, _, _ := measured(t, container.Running)
		var got ctypes.StatsResponse
		ended := make(chan error)
		go func() { ended <- s.Send(context.Background(), "abc", Options{Stream: true}, after(1000, &got)) }()
		synctest.Wait()
		s.Close()
		if err := <-ended; err != nil {
			t.Errorf("%v", err)
		}
		if err := s.Send(t.Context(), "abc", Options{Stream: true}, nil); !errdefs.IsUnavailable(err) {
			t.Errorf("%v", err)
		}
	})
}
