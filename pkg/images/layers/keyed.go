package layers

import (
	"context"
	"sync"
)

// keyed lets one holder at a time have each key; waiting ends with the context.
// It is containerd's unpack.KeyedLocker.
type keyed struct {
	mu   sync.Mutex // guards held
	held map[string]*claim
}

type claim struct {
	turn  chan struct{} // capacity 1: filled while held
	users int           // holder and waiters
}

// Lock waits for the key, or for the end of ctx.
func (k *keyed) Lock(ctx context.Context, key string) error {
	k.mu.Lock()
	c := k.held[key]
	if c == nil {
		c = &claim{turn: make(chan struct{}, 1)}
		if k.held == nil {
			k.held = map[string]*claim{}
		}
		k.held[key] = c
	}
	c.users++
	k.mu.Unlock()
	select {
	case c.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		k.leave(key, c)
		return ctx.Err()
	}
}

// Unlock gives the key up. The caller must hold it.
func (k *keyed) Unlock(key string) {
	k.mu.Lock()
	c := k.held[key]
	k.mu.Unlock()
	<-c.turn
	k.leave(key, c)
}

func (k *keyed) leave(key string, c *claim) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if c.users--; c.users == 0 {
		delete(k.held, key)
	}
}
