package supervise

import (
	"context"
	"errors"
	"sync"
	"testing"
)

func TestOwnerRunsInOrder(t *testing.T) {
	o := NewOwner()
	var got []int
	var all sync.WaitGroup
	for i := range 100 {
		all.Add(1)
		o.Post(func() { got = append(got, i); all.Done() })
	}
	all.Wait()
	for i, n := range got {
		if n != i {
			t.Fatalf("function %d ran as number %d", n, i)
		}
	}
	o.Close(errors.New("done"))
	o.Wait()
}

func TestDoAfterClose(t *testing.T) {
	o := NewOwner()
	reason := errors.New("removed")
	begun, release := make(chan struct{}), make(chan struct{})
	first := make(chan error, 1)
	go func() {
		first <- o.Do(context.Background(), func(context.Context) error { close(begun); <-release; return nil })
	}()
	<-begun
	second := make(chan error, 1)
	queued := make(chan struct{})
	go func() {
		close(queued)
		second <- o.Do(context.Background(), func(context.Context) error { return nil })
	}()
	<-queued
	o.Close(reason)
	close(release)
	o.Wait()
	if err := <-first; err != nil {
		t.Errorf("what was begun: %v", err)
	}
	if err := <-second; !errors.Is(err, reason) {
		t.Errorf("what was queued: %v", err)
	}
	if err := o.Do(context.Background(), nil); !errors.Is(err, reason) {
		t.Errorf("what came later: %v", err)
	}
}

func TestDoGivesUpWithItsCaller(t *testing.T) {
	o := NewOwner()
	defer o.Wait()
	defer o.Close(errors.New("done"))
	block := make(chan struct{})
	o.Post(func() { <-block })
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := o.Do(ctx, func(context.Context) error { t.Error("ran for a caller that left"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	close(block)
}
