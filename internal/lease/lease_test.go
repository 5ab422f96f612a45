package lease_test

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unsafe"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken/internal/lease"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// slip moves one of the two clocks in t: a machine's sleep moves the wall clock
// ahead of the monotonic one, and a correction moves the wall clock back.
func slip(t time.Time, wall, monotonic time.Duration) time.Time {
	t = t.Add(wall)
	// A Time with both has the monotonic one in its second word, in ns.
	(*struct {
		_   uint64
		ext int64
		_   *time.Location
	})(unsafe.Pointer(&t)).ext += int64(monotonic - wall)
	return t
}

// A time has passed as soon as either clock has passed it.
func TestPassed(t *testing.T) {
	now := time.Now()
	end := now.Add(time.Hour)
	for _, tt := range []struct {
		name            string
		wall, monotonic time.Duration
		want            bool
	}{
		{"neither", time.Hour - 1, time.Hour - 1, false},
		{"both", time.Hour, time.Hour, true},
		{"after a machine's sleep", time.Hour, time.Second, true},
		{"after the clock was set back", -time.Hour, time.Hour, true},
		{"set back", -time.Hour, time.Second, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			then := slip(now, tt.wall, tt.monotonic)
			if d, m := then.Round(0).Sub(now.Round(0)), then.Sub(now); d != tt.wall || m != tt.monotonic {
				t.Fatalf("the clocks moved by %v and %v, want %v and %v", d, m, tt.wall, tt.monotonic)
			}
			if got := lease.Passed(then, end); got != tt.want {
				t.Errorf("Passed = %v, want %v", got, tt.want)
			}
		})
	}
	if !lease.Passed(now, now.Round(0)) || lease.Passed(now, end.Round(0)) {
		t.Error("a time of one clock is compared by the other")
	}
}

// Half is within a tenth of half a life, on both sides.
func TestHalf(t *testing.T) {
	begun := time.Now()
	rapid.Check(t, func(t *rapid.T) {
		life := time.Duration(rapid.Int64Range(0, int64(24*time.Hour)).Draw(t, "life"))
		half := lease.Half(begun, begun.Add(life)).Sub(begun)
		if half < life*9/20-1 || half > life*11/20+1 {
			t.Fatalf("Half of %v is %v", life, half)
		}
	})
	var early, late bool
	for range 1000 {
		half := lease.Half(begun, begun.Add(time.Hour)).Sub(begun)
		early, late = early || half < 29*time.Minute, late || half > 31*time.Minute
	}
	if !early || !late {
		t.Errorf("of 1,000 halves of an hour, below 29 min: %v, over 31 min: %v; want both", early, late)
	}
}

// shelf is a Store of values that are kept for ever, in a state of the test's.
type shelf struct {
	values map[string]string
	state  lease.State
	refuse int // so many values
}

func (s *shelf) Find(_ context.Context, key string, _ time.Time) (string, lease.State) {
	value, ok := s.values[key]
	if !ok {
		return "", lease.None
	}
	return value, s.state
}

func (s *shelf) Remove(key string) { delete(s.values, key) }

func (s *shelf) Keep(key, value string) bool {
	if s.refuse > 0 {
		s.refuse--
		return false
	}
	s.values[key] = value
	return true
}

var errClosed, errEnd = errors.New("closed"), errors.New("no more")

func newKeeper(t *testing.T, s *shelf) *lease.Keeper[string, string] {
	k := lease.New(lease.Config[string, string]{
		Store: s,
		Pause: func(_ error, serving bool) time.Duration {
			if serving {
				return 10 * time.Second
			}
			return time.Second
		},
		Ends:     func(err error) bool { return errors.Is(err, errEnd) },
		Failures: 2,
		Closed:   errClosed,
		Now:      time.Now,
	})
	t.Cleanup(k.Close)
	return k
}

// counter is a fetch that answers with how often it was called.
type counter struct {
	mu    sync.Mutex
	calls int
}

func (c *counter) prepare() lease.Fetch[string] {
	return func(context.Context) (string, error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.calls++
		return strconv.Itoa(c.calls), nil
	}
}

// always prepares one Fetch.
func always(f lease.Fetch[string]) func() lease.Fetch[string] {
	return func() lease.Fetch[string] { return f }
}

// X16: a fresh value is not fetched. A due value is fetched and stays in use
// meanwhile.
func TestStates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, c := &shelf{values: map[string]string{}}, &counter{}
		k := newKeeper(t, s)
		var got []string
		for _, state := range []lease.State{lease.Fresh, lease.Fresh, lease.Due, lease.Fresh} {
			k.Mu.Lock()
			s.state = state
			k.Mu.Unlock()
			value, err := k.Get(t.Context(), "a", c.prepare)
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, value)
			synctest.Wait()
		}
		if diff := cmp.Diff([]string{"1", "1", "1", "2"}, got); diff != "" || c.calls != 2 {
			t.Errorf("values, with %d calls (-want +got):\n%s", c.calls, diff)
		}
	})
}

// For a value in the state Last, callers wait for the renewal. A caller that
// leaves, or whose renewal fails, gets the value, at once or later.
func TestLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, &shelf{values: map[string]string{"a": "old"}, state: lease.Last})
		begun := 0
		get := func(ctx context.Context, err error, want string, flights int) {
			t.Helper()
			begun = 0
			got, gotErr := k.Get(ctx, "a", func() lease.Fetch[string] {
				begun++
				return func(context.Context) (string, error) {
					time.Sleep(time.Second)
					return "new", err
				}
			})
			if got != want || gotErr != nil || begun != flights {
				t.Errorf("Get = %q, %v with %d flights; want %q with %d", got, gotErr, begun, want, flights)
			}
		}
		ended, end := context.WithCancel(t.Context())
		end()
		get(ended, nil, "old", 0)
		leaving, leave := context.WithTimeout(t.Context(), time.Millisecond)
		defer leave()
		down := errors.New("down")
		get(leaving, down, "old", 1)
		get(t.Context(), nil, "old", 0) // which waits for the flight
		get(t.Context(), nil, "old", 0) // too soon for another
		time.Sleep(10 * time.Second)
		get(t.Context(), nil, "new", 1)
	})
}

// A value that may only be used if it cannot be renewed is not used after it
// has expired during the renewal.
func TestLastEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, down := &shelf{values: map[string]string{"a": "old"}, state: lease.Last}, errors.New("down")
		k := newKeeper(t, s)
		got, err := k.Get(t.Context(), "a", always(func(context.Context) (string, error) {
			k.Mu.Lock()
			defer k.Mu.Unlock()
			s.Remove("a") // as by its key's revocation
			return "", down
		}))
		if got != "" || err != down {
			t.Errorf("Get = %q, %v; want the error", got, err)
		}
	})
}

// A renewal can end the last value.
func TestEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &shelf{values: map[string]string{"a": "old"}, state: lease.Due}
		k := newKeeper(t, s)
		refused := always(func(context.Context) (string, error) { return "", errEnd })
		if got, err := k.Get(t.Context(), "a", refused); got != "old" || err != nil {
			t.Errorf("Get = %q, %v while it is renewed", got, err)
		}
		synctest.Wait()
		if got, err := k.Get(t.Context(), "a", refused); got != "" || err != errEnd {
			t.Errorf("Get = %q, %v; want %v", got, err, errEnd)
		}
	})
}

type ctxKey struct{}

// A flight has the values of its first caller's ctx, and not its end.
func TestValues(t *testing.T) {
	k := newKeeper(t, &shelf{values: map[string]string{}, state: lease.Fresh})
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), ctxKey{}, "a trace"))
	_, err := k.Get(ctx, "a", always(func(ctx context.Context) (string, error) {
		cancel()
		return ctx.Value(ctxKey{}).(string), ctx.Err()
	}))
	if err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if got, err := k.Get(t.Context(), "a", always(nil)); got != "a trace" || err != nil {
		t.Errorf("Get = %q, %v; want the value of the ctx of who began it", got, err)
	}
}

// A Fetch that panics fails. Its error does not show the panic's value.
func TestPanic(t *testing.T) {
	k := newKeeper(t, &shelf{values: map[string]string{}, state: lease.Fresh})
	got, err := k.Get(t.Context(), "a", always(func(context.Context) (string, error) { panic("a secret") }))
	if got != "" || err == nil || err.Error() != "panic of type string" {
		t.Errorf("Get = %q, %v", got, err)
	}
}

// A value that the Store refuses was withdrawn: the caller gets another.
func TestRefusedValue(t *testing.T) {
	s, c := &shelf{values: map[string]string{}, state: lease.Fresh, refuse: 3}, &counter{}
	if got, err := newKeeper(t, s).Get(t.Context(), "a", c.prepare); got != "4" || err != nil {
		t.Errorf("Get = %q, %v; want the fourth", got, err)
	}
}

// X17: of too many failures, some are forgotten, and tried again.
func TestFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, &shelf{values: map[string]string{}})
		down, calls := errors.New("down"), 0
		fail := func(context.Context) (string, error) {
			calls++
			return "", down
		}
		try := func(want int, keys ...string) {
			t.Helper()
			calls = 0
			for _, key := range keys {
				if _, err := k.Get(t.Context(), key, always(fail)); !errors.Is(err, down) {
					t.Errorf("Get = %v, want %v", err, down)
				}
			}
			if calls != want {
				t.Errorf("%d calls for %q, want %d", calls, keys, want)
			}
		}
		try(2, "a", "b", "a", "b")
		time.Sleep(time.Second)
		try(3, "a", "b", "c") // and a or b is forgotten
		try(0, "c")
		time.Sleep(time.Second)
		try(1, "c", "c")
	})
}

// Drop ends the matching flights, and their callers begin again. Other flights
// go on.
func TestDrop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, &shelf{values: map[string]string{}, state: lease.Fresh})
		got := map[string]chan string{"a": make(chan string, 1), "b": make(chan string, 1)}
		open := make(chan struct{})
		for key, result := range got {
			tries := 0
			go func() {
				value, err := k.Get(t.Context(), key, always(func(ctx context.Context) (string, error) {
					if tries++; tries > 1 {
						return "again", nil
					}
					select {
					case <-open:
						return "first", nil
					case <-ctx.Done():
						return "", ctx.Err()
					}
				}))
				if err != nil {
					value = err.Error()
				}
				result <- value
			}()
		}
		synctest.Wait()
		k.Mu.Lock()
		k.Drop(func(key string) bool { return key == "a" })
		k.Mu.Unlock()
		synctest.Wait()
		close(open)
		if a, b := <-got["a"], <-got["b"]; a != "again" || b != "first" {
			t.Errorf("a = %s, b = %s; want again and first", a, b)
		}
	})
}

// Close waits for running flights, whose callers get an error.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := newKeeper(t, &shelf{values: map[string]string{}})
		ended := false
		got := make(chan error, 1)
		go func() {
			_, err := k.Get(t.Context(), "a", always(func(ctx context.Context) (string, error) {
				<-ctx.Done()
				time.Sleep(time.Second)
				ended = true
				return "late", nil
			}))
			got <- err
		}()
		synctest.Wait()
		k.Close()
		if !ended {
			t.Error("Close returned before the flight did")
		}
		if err := <-got; err != errClosed {
			t.Errorf("Get = %v, want %v", err, errClosed)
		}
		if _, err := k.Get(t.Context(), "a", nil); err != errClosed {
			t.Errorf("Get after Close = %v, want %v", err, errClosed)
		}
	})
}
