package signer

import (
	"errors"
	"sync"
	"time"
)

const (
	refusalsToRemember = 3 // in a row
	refusalPause       = time.Second
)

// refusals remembers the refusals of the service, so that a host that lost a right
// does not ask for every token. One refusal may be about one request, or about a
// credential that is just renewed. An error without a Code may be of the adapter,
// and does not count.
type refusals struct {
	mu    sync.Mutex
	known map[call]refusal
}

type refusal struct {
	count int // in a row
	err   error
	until time.Time // then one call may try again
}

// of returns the remembered refusal of c, or nil.
func (r *refusals) of(c call, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if known := r.known[c]; known.count >= refusalsToRemember && now.Before(known.until) {
		return known.err
	}
	return nil
}

// admit returns of for a call that is about to be made: of those that come when a
// refusal is over, one tries again and the others get the refusal for as long.
func (r *refusals) admit(c call, now time.Time) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := r.known[c]
	switch {
	case known.count < refusalsToRemember:
		return nil
	case now.Before(known.until):
		return known.err
	}
	known.until = now.Add(refusalPause)
	r.known[c] = known
	return nil
}

// record counts a refusal of c. Any other outcome clears the count.
func (r *refusals) record(c call, now time.Time, err error) {
	var failure *Error
	refused := errors.As(err, &failure) && (failure.Kind == Refused || failure.Kind == Gone) && failure.Code != ""
	r.mu.Lock()
	defer r.mu.Unlock()
	if !refused {
		delete(r.known, c)
		return
	}
	if r.known == nil {
		r.known = make(map[call]refusal)
	}
	r.known[c] = refusal{r.known[c].count + 1, err, now.Add(refusalPause)}
}
