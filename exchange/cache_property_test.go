package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// model is a naive cache of two tenants: for each it knows the last good
// credential and the last failure.
type model struct {
	exchanges int
	weather   error // of the cloud
	tenants   [2]tenant
}

type tenant struct {
	serial  int // of the good credential; 0 means no credential
	begun   time.Time
	expires time.Time
	kid     int

	err    error // of the last try; nil if it was good
	failed time.Time
}

// pause returns the least time between two tries.
func (m *model) pause(err error, serving bool) time.Duration {
	e, _ := errors.AsType[*exchange.Error](err)
	switch {
	case serving:
		return max(10*time.Second, e.RetryAfter)
	case !e.Retryable:
		return max(5*time.Second, e.RetryAfter)
	default:
		return max(time.Second, e.RetryAfter)
	}
}

// get returns the expected result, and whether an exchange must follow, must
// not, or may. It may when the credential is in the tenth around its half life,
// and when a failure was remembered until less than a second ago.
func (m *model) get(i, kid int, now time.Time) (want string, must, may bool) {
	t := &m.tenants[i]
	good := t.serial != 0 && now.Before(t.expires) && t.kid == kid
	if !good {
		t.serial = 0
		if t.err != nil && now.Before(t.failed.Add(m.pause(t.err, false))) {
			return t.err.Error(), false, false
		}
		if m.weather != nil {
			return m.weather.Error(), true, true
		}
		return strconv.Itoa(m.exchanges + 1), true, true
	}
	half := t.expires.Sub(t.begun) / 2
	early, late := t.begun.Add(half*9/10), t.begun.Add(half*11/10)
	if t.err != nil {
		again := t.failed.Add(m.pause(t.err, true))
		early, late = again, again.Add(time.Second)
	}
	return strconv.Itoa(t.serial), !now.Before(late), !now.Before(early)
}

// exchanged records the result of an exchange.
func (m *model) exchanged(i, kid int, begun time.Time, life time.Duration) {
	m.exchanges++
	t := &m.tenants[i]
	if m.weather != nil {
		t.err, t.failed = m.weather, begun
		return
	}
	*t = tenant{serial: m.exchanges, begun: begun, expires: begun.Add(life), kid: kid}
}

// act is something that happens to a cache.
type act struct {
	Name    string
	Tenant  int
	Pass    time.Duration
	Weather int
}

var weathers = []error{
	nil, nil,
	&exchange.Error{Provider: "down", Retryable: true},
	&exchange.Error{Provider: "busy", Retryable: true, RetryAfter: 20 * time.Second},
	&exchange.Error{Provider: "refused"},
}

var units = []time.Duration{100 * time.Millisecond, time.Second, 5 * time.Second, 15 * time.Second, 30 * time.Second}

func drawAct(t *rapid.T) act {
	return act{
		Name:    rapid.SampledFrom([]string{"get", "get", "get", "get", "get", "get", "pass", "pass", "pass", "pass", "pass", "weather", "weather", "purge", "revoke"}).Draw(t, "act"),
		Tenant:  rapid.IntRange(0, 1).Draw(t, "tenant"),
		Pass:    time.Duration(rapid.IntRange(1, 20).Draw(t, "pass")) * rapid.SampledFrom(units).Draw(t, "unit"),
		Weather: rapid.IntRange(0, len(weathers)-1).Draw(t, "weather"),
	}
}

// X16, X17: for any passage of time, any answers of the cloud, and any purges
// and revocations, a cache does the same as the naive model.
func TestCacheIsItsModel(t *testing.T) {
	keys := [2]oidctoken.Key{newKey(t), newKey(t)}
	rapid.Check(t, func(rt *rapid.T) {
		acts := rapid.SliceOfN(rapid.Custom(drawAct), 200, 400).Draw(rt, "acts")
		var mistake string
		synctest.Test(t, func(t *testing.T) { mistake = play(t, keys, acts) })
		if mistake != "" {
			rt.Error(mistake)
		}
	})
}

// play returns the first difference between the cache and the model, or "".
func play(t *testing.T, keys [2]oidctoken.Key, acts []act) (mistake string) {
	const life = 10 * time.Minute
	var m model
	kid, source := 0, &ring{}
	source.set(nil, keys[0])
	issuer := newIssuer(t, oidctoken.Config{Keys: source})
	b := &bank{life: life, refuse: func(context.Context, int) error { return m.weather }}
	cache := newCache(t, exchange.CacheConfig{})
	var leases [2]*exchange.Lease
	for i := range leases {
		tenant := target(issuer, b, fmt.Sprintf("tenant_%d", i))
		tenant.Connector = fmt.Sprint(i)
		leases[i] = newLease(t, cache, tenant)
	}
	for n, act := range acts {
		i := act.Tenant
		switch act.Name {
		case "get":
			want, must, may := m.get(i, kid, time.Now())
			got := serial(t.Context(), leases[i])
			synctest.Wait() // until a renewal has ended
			calls := b.calls() - m.exchanges
			if got != want || calls > 1 || calls == 1 && !may || calls == 0 && must {
				return fmt.Sprintf("act %d: Get = %s with %d exchanges; want %s, an exchange: must %v, may %v", n, got, calls, want, must, may)
			}
			if calls == 1 {
				m.exchanged(i, kid, time.Now(), life)
			}
		case "pass":
			time.Sleep(act.Pass)
		case "weather":
			m.weather = weathers[act.Weather]
		case "purge":
			cache.Purge(fmt.Sprint(i))
			m.tenants[i] = tenant{}
		case "revoke":
			kid = 1 - kid
			source.set(nil, keys[kid])
		}
	}
	return ""
}
