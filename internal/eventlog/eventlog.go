// Package eventlog renders the events that the packages report to a host, for log/slog and for
// encoding/json. Both get the same list of members. An error appears as its text, a duration as
// "1.5s", and a time in RFC 3339.
package eventlog

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"time"
)

// Record holds the members of an event in their order. Each method omits a member with the zero
// value, except JSON.
type Record struct{ attrs []slog.Attr }

// Time adds a time.
func (r *Record) Time(name string, t time.Time) {
	if !t.IsZero() {
		r.attrs = append(r.attrs, slog.Time(name, t))
	}
}

// Text adds a text.
func (r *Record) Text(name, value string) {
	if value != "" {
		r.attrs = append(r.attrs, slog.String(name, value))
	}
}

// Uint adds a number.
func (r *Record) Uint(name string, n uint64) {
	if n != 0 {
		r.attrs = append(r.attrs, slog.Uint64(name, n))
	}
}

// Bool adds a flag.
func (r *Record) Bool(name string, set bool) {
	if set {
		r.attrs = append(r.attrs, slog.Bool(name, true))
	}
}

// Duration adds a duration as a text such as "1.5s". The JSON handler of
// log/slog and encoding/json would write nanoseconds.
func (r *Record) Duration(name string, d time.Duration) { r.Text(name, text(d)) }

// Err adds the text of err.
func (r *Record) Err(name string, err error) {
	if err != nil {
		r.attrs = append(r.attrs, slog.String(name, err.Error()))
	}
}

// JSON adds a value in its encoding/json form. It adds a zero value too: the caller omits that.
func (r *Record) JSON(name string, value any) {
	r.attrs = append(r.attrs, slog.Any(name, document{value}))
}

// LogValue returns the members as a group.
func (r Record) LogValue() slog.Value { return slog.GroupValue(r.attrs...) }

// MarshalJSON returns the members as an object.
func (r Record) MarshalJSON() ([]byte, error) {
	b := []byte{'{'}
	for i, a := range r.attrs {
		value, err := json.Marshal(a.Value.Any())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.Key, err)
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, '"'), a.Key...), `":`...)
		b = append(b, value...)
	}
	return append(b, '}'), nil
}

func text(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

// document is a value that every handler of log/slog shows as JSON.
type document struct{ value any }

func (d document) MarshalJSON() ([]byte, error) { return json.Marshal(d.value) }

// MarshalText is for handlers that do not write JSON.
func (d document) MarshalText() ([]byte, error) { return json.Marshal(d.value) }
