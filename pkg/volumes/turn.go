package volumes

import "context"

// turn is a lock that one can stop waiting for: who holds it may be doing IO
// that hangs (a network mount).
type turn chan struct{}

func (t turn) take(ctx context.Context) error {
	select {
	case t <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (t turn) give() { <-t }
