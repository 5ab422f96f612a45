package pkcs11

import (
	"context"
	"errors"
	"sync"
	"time"
)

// patience is how long a restart of the library waits for running calls. No
// other call may begin meanwhile, so the restart must not wait for a hanging
// call.
const patience = time.Second

var errBusy = errors.New("a call into the library has not returned")

// gate lets many calls into a library, or one restart alone: a call during the
// finalization of the library has undefined behavior (C_Finalize, section 5.4).
type gate struct {
	mu     sync.Mutex
	inside int
	alone  chan struct{} // closed when the restart leaves; nil: no restart runs or waits
	empty  chan struct{} // closed when the last call leaves; nil: no restart waits
}

// enter is for a call. Its leave must follow.
func (g *gate) enter(ctx context.Context) error {
	for {
		g.mu.Lock()
		alone := g.alone
		if alone == nil {
			g.inside++
			g.mu.Unlock()
			return nil
		}
		g.mu.Unlock()
		select {
		case <-alone:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside--
	if g.inside == 0 && g.empty != nil {
		close(g.empty)
		g.empty = nil
	}
}

// lock is for a restart. It fails when a call does not leave, and then, and when
// ctx ends, lets the others in again. Its unlock must follow if it succeeds.
func (g *gate) lock(ctx context.Context) error {
	empty, err := g.close(ctx)
	if err != nil {
		return err
	}
	select {
	case <-empty:
		return nil
	case <-time.After(patience):
		err = errBusy
	case <-ctx.Done():
		err = ctx.Err()
	}
	g.unlock()
	return err
}

// close lets no more calls in. The returned channel is closed when all have
// left.
func (g *gate) close(ctx context.Context) (empty <-chan struct{}, err error) {
	for {
		g.mu.Lock()
		alone := g.alone
		if alone == nil {
			defer g.mu.Unlock()
			g.alone = make(chan struct{})
			g.empty = make(chan struct{})
			empty = g.empty
			if g.inside == 0 {
				close(g.empty)
				g.empty = nil
			}
			return empty, nil
		}
		g.mu.Unlock()
		select {
		case <-alone:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (g *gate) unlock() {
	g.mu.Lock()
	defer g.mu.Unlock()
	close(g.alone)
	g.alone, g.empty = nil, nil
}
