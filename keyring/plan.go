package keyring

import (
	"cmp"
	"slices"
)

// policy holds the settings of a replica, in seconds.
type policy struct {
	algorithms  []string
	period      int64
	maxAge      int64
	maxLifetime int64
	skew        int64
	propagation int64
	slack       int64 // until what one replica did is known to all, by every clock
	provisioned bool
}

// lead returns how long a key is published before it signs.
func (p *policy) lead() int64 { return p.maxAge + p.propagation }

// atOnce returns the time from which a key signs that must sign at now, by the
// slowest clock.
func (p *policy) atOnce(now int64) int64 { return now - 2*p.skew }

// change is a transition that is due: one compare-and-swap.
type change struct {
	kind changeKind
	id   string // of a key, or an algorithm
}

type changeKind int

const (
	changeNone    changeKind = iota
	changeLimits             // raise the longest of what replicas are set up for
	changeRevoke             // a key: what this replica could not tell the store before
	changeName               // the ring, which has no name yet
	changeRewrap             // the data key
	changeRetire             // have a revoked key's version retired
	changeRemove             // a key that is no longer published
	changeExtend             // a key, since without it nothing could sign
	changePublish            // schedule a key that has been seen published
	changeReserve            // an algorithm: the right to have a version created
	changeCreate             // an algorithm: make its next key
)

// due lists the transitions that are due at now, the most urgent first. It is a
// pure function, as is every transition, so replicas with the same state agree.
func (s *state) due(now int64, p *policy) (changes []change) {
	if s.MaxAge < p.maxAge || s.MaxLifetime < p.maxLifetime || s.Skew < p.skew {
		changes = append(changes, change{kind: changeLimits})
	}
	for i := range s.Keys {
		k := &s.Keys[i]
		if k.Revoked != 0 && k.Version != "" {
			changes = append(changes, change{changeRetire, k.ID})
		}
		end := s.remove(k)
		if k.Revoked != 0 {
			end = k.Revoked + s.retention()
		}
		switch {
		case k.Revoked == 0 && k.Published == 0:
			changes = append(changes, change{changePublish, k.ID})
		case now >= end+p.slack:
			changes = append(changes, change{changeRemove, k.ID})
		}
	}
	for _, alg := range p.algorithms {
		chain := s.chain(alg)
		// Before its end, or there would be none until the next poll.
		if k := s.lastBegun(alg, now); s.signer(alg, now+p.slack) == nil && s.isExtendable(k, now, p) {
			changes = append(changes, change{changeExtend, k.ID})
		}
		if s.unpublished(alg) != nil {
			continue
		}
		if len(chain) == 0 || now >= chain[len(chain)-1].Activate-p.lead()-p.slack {
			// When a key becomes active, the one behind it has been published for
			// long enough to take its place in an emergency.
			kind := changeCreate
			if p.provisioned && !s.isReserved(alg, now) {
				kind = changeReserve
			}
			changes = append(changes, change{kind, alg})
		}
	}
	return changes
}

// fromFuture returns a key that was made later than any correct clock can tell.
func (s *state) fromFuture(now int64, p *policy) *record {
	for i := range s.Keys {
		if k := &s.Keys[i]; k.Revoked == 0 && k.Created > now+p.slack {
			return k
		}
	}
	return nil
}

// chain returns the keys of alg that have times and are not revoked, in the order
// in which they sign.
func (s *state) chain(alg string) (chain []*record) {
	for i := range s.Keys {
		if k := &s.Keys[i]; k.Algorithm == alg && k.Revoked == 0 && k.Published != 0 {
			chain = append(chain, k)
		}
	}
	slices.SortStableFunc(chain, func(a, b *record) int { return cmp.Compare(a.Activate, b.Activate) })
	return chain
}

// unpublished returns the key of alg that was made and not yet seen published.
func (s *state) unpublished(alg string) *record {
	for i := range s.Keys {
		if k := &s.Keys[i]; k.Algorithm == alg && k.Revoked == 0 && k.Published == 0 {
			return k
		}
	}
	return nil
}

// signer returns the key of alg that signs at now.
func (s *state) signer(alg string, now int64) *record {
	for _, k := range slices.Backward(s.chain(alg)) {
		if k.Activate <= now && now < k.Retire {
			return k
		}
	}
	return nil
}

// lastBegun returns the key of alg whose time to sign came last; nil if none did.
func (s *state) lastBegun(alg string, now int64) *record {
	for _, k := range slices.Backward(s.chain(alg)) {
		if k.Activate <= now {
			return k
		}
	}
	return nil
}

// isExtendable reports whether a key may sign after its scheduled end: every
// verifier still has it, and it will not have signed for twice its period or a
// year.
func (s *state) isExtendable(k *record, now int64, p *policy) bool {
	return k != nil && now+p.slack < s.remove(k) && now+p.lead() < k.Activate+min(2*p.period, maxPeriod)
}

// makeKey adds a key. The first of an algorithm, or the first after all
// others have ended, signs at once.
func (s *state) makeKey(k record, now int64, p *policy) {
	k.Created = now
	chain := s.chain(k.Algorithm)
	if len(chain) == 0 || s.isOver(chain[len(chain)-1], now, p) {
		k.Published = p.atOnce(now)
		k.Activate = k.Published
		k.Retire = k.Activate + p.period
	}
	s.Keys = append(s.Keys, k)
	s.Reservations = slices.DeleteFunc(s.Reservations, func(r reservation) bool { return r.Algorithm == k.Algorithm })
}

// isOver reports whether a key has signed and cannot do so again.
func (s *state) isOver(k *record, now int64, p *policy) bool {
	return k.Retire <= now && !s.isExtendable(k, now, p)
}

// publish gives a key its times, now that it has been seen published.
//
// It is a step of its own since a replica may stand still between making a key
// and storing it: the time of the first step says nothing.
func (s *state) publish(kid string, now int64, p *policy) {
	k := s.find(kid)
	chain := s.chain(k.Algorithm)
	if len(chain) == 0 || s.isOver(chain[len(chain)-1], now, p) {
		k.Published = p.atOnce(now)
		k.Activate = k.Published
	} else {
		last := chain[len(chain)-1]
		k.Published = now
		k.Activate = max(now+p.lead(), last.Activate+p.period)
		last.Retire = k.Activate
	}
	k.Retire = k.Activate + p.period
}

// extend lets a key sign until the next key can.
func (s *state) extend(kid string, now int64, p *policy) {
	k := s.find(kid)
	k.Retire = now + p.lead()
	for _, behind := range s.chain(k.Algorithm) {
		if behind.Activate > now {
			k.Retire = behind.Activate
			break
		}
	}
}

// revoke takes a key out at once. If it was the active key, the next one signs.
func (s *state) revoke(kid string, now int64, p *policy) {
	k := s.find(kid)
	k.Revoked, k.Private = now, nil
	alg := k.Algorithm
	if active := s.signer(alg, now); active != nil {
		s.arrange(active, now, p)
	} else if next := s.successor(alg, now, p); next != nil {
		s.activate(next, p.atOnce(now), now, p)
	}
	// The tombstones are for those who wonder, and the last few are enough.
	for len(s.Keys)-s.published() > maxRecords/2 {
		i := slices.IndexFunc(s.Keys, func(k record) bool { return k.Revoked != 0 && k.Version == "" })
		if i < 0 {
			break
		}
		s.Keys = slices.Delete(s.Keys, i, i+1)
	}
}

// successor returns the key that must sign at once when no key is active: the
// next key if it was published long enough, otherwise the key that signed last
// if it may still sign, otherwise any key.
func (s *state) successor(alg string, now int64, p *policy) *record {
	chain := s.chain(alg)
	var next *record
	for _, k := range chain {
		if k.Activate > now {
			next = k
			break
		}
	}
	if next != nil && next.Published+p.lead() <= now {
		return next
	}
	if s.isExtendable(s.lastBegun(alg, now), now, p) {
		return nil // it is due to be extended
	}
	if next == nil {
		next = s.unpublished(alg)
	}
	return next
}

// activate lets a key sign from at on.
func (s *state) activate(k *record, at, now int64, p *policy) {
	if k.Published == 0 {
		k.Published = at
	}
	k.Activate = max(at, k.Published)
	for _, before := range s.chain(k.Algorithm) {
		if before != k && before.Activate <= at {
			before.Retire = min(before.Retire, at)
		}
	}
	s.arrange(k, now, p)
}

// arrange lets the keys that are to follow k do so, one period after the other.
func (s *state) arrange(k *record, now int64, p *policy) {
	for _, behind := range s.chain(k.Algorithm) {
		if behind == k || behind.Activate <= max(k.Activate, now) {
			continue
		}
		behind.Activate = max(behind.Published+p.lead(), k.Activate+p.period)
		k.Retire = behind.Activate
		k = behind
	}
	k.Retire = max(k.Activate+p.period, now+p.lead())
}

// reserveFor is the time that a replica has to create a version, in seconds.
const reserveFor = 10 * 60

func (s *state) isReserved(alg string, now int64) bool { return s.holder(alg, now) != "" }

func (s *state) holder(alg string, now int64) string {
	for _, r := range s.Reservations {
		// A time in the future is another replica's clock.
		if r.Algorithm == alg && now < r.Since+reserveFor {
			return r.Holder
		}
	}
	return ""
}

func (s *state) reserve(alg, holder string, now int64) {
	s.Reservations = slices.DeleteFunc(s.Reservations, func(r reservation) bool { return r.Algorithm == alg })
	s.Reservations = append(s.Reservations, reservation{alg, holder, now})
}
