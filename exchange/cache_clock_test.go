package exchange_test

import (
	"testing"
	"time"
	"unsafe"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/exchange"
)

// slip moves the clock in t, and leaves its monotonic one where it is.
func slip(t time.Time, wall time.Duration) time.Time {
	t = t.Add(wall)
	// A Time with both has the monotonic one in its second word, in ns.
	(*struct {
		_   uint64
		ext int64
		_   *time.Location
	})(unsafe.Pointer(&t)).ext -= int64(wall)
	return t
}

// A credential expires as soon as one of the two clocks has passed its expiry.
func TestTwoClocks(t *testing.T) {
	start := time.Now()
	for _, tt := range []struct {
		name string
		now  time.Time
		want string
	}{
		{"before", start.Add(time.Hour - time.Second), "1"},
		{"after", start.Add(time.Hour), "2"},
		{"slept", slip(start.Add(time.Minute), time.Hour), "2"},
		{"set back", slip(start.Add(time.Hour), -time.Hour), "2"},
		{"set back a little", slip(start.Add(50*time.Minute), -time.Hour), "1"},
	} {
		for name, expires := range map[string]time.Time{"both": start.Add(time.Hour), "wall": start.Add(time.Hour).Round(0)} {
			t.Run(tt.name+", "+name, func(t *testing.T) {
				now := start
				b := &fixed{exchange.NewCredential(expires, map[string]string{"SERIAL": "1"})}
				cache := exchange.NewCache(exchange.CacheConfig{Now: func() time.Time { return now }})
				defer cache.Close()
				lease := newLease(t, cache, target(newIssuer(t, oidctoken.Config{}), b, "acme"))
				checkSerial(t, lease, 1)
				now = tt.now
				b.answer = exchange.NewCredential(now.Add(time.Hour), map[string]string{"SERIAL": "2"})
				if got := serial(t.Context(), lease); got != tt.want {
					t.Errorf("Get = %s, want %s", got, tt.want)
				}
			})
		}
	}
}
