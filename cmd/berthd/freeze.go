package main

import "context"

// freeze pauses those of the containers that run. The engine is made after the
// volumes.
func (p *parts) freeze(ctx context.Context, ids []string) (func() error, error) {
	return p.engine.Hold(ctx, ids...)
}
