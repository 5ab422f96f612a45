package expr

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error describes a fault in a text and its place. Its fields contain names from the text, cut
// to 64 bytes, with ? for characters that cannot be printed. They never contain a string, an
// argument or a result. The function that returned Err determines its content.
type Error struct {
	// Line and Column are the place of the fault, counted from 1. A line ends with a line feed.
	// Columns are bytes.
	Line, Column int

	// Function is the function, method or variable at fault, or otherwise the first path in the
	// expression at fault. It is empty if the expression has no path, and for the limits.
	Function string

	// Reason is never empty.
	Reason string

	// Err is the error of a function or of the context, or ErrPlaceholder. It is nil for every
	// other fault in the text. Then the same text and Env always fail.
	Err error
}

// Error returns all fields in one line, unless Err contains line feeds.
func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "expr: line %d, column %d: ", e.Line, e.Column)
	if e.Function != "" {
		b.WriteString(e.Function + ": ")
	}
	b.WriteString(e.Reason)
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns e.Err.
func (e *Error) Unwrap() error { return e.Err }

// fault is an Error with an offset instead of a line and column. Lines are counted only for the
// one fault that is reported, so that the counting cannot become quadratic.
type fault struct {
	at     int
	name   string
	reason string
	within string // the place in the value of an author's variable; "" if the fault is in the text
	err    error
}

func (f *fault) locate(text string) error {
	e := &Error{Function: clip(f.name), Reason: f.reason, Err: f.err}
	e.Line, e.Column = position(text, f.at)
	if f.within != "" {
		e.Reason += ", " + f.within
	}
	return e
}

// position returns the line and the column of an offset.
func position(text string, at int) (line, column int) {
	before := text[:at]
	return 1 + strings.Count(before, "\n"), at - strings.LastIndexByte(before, '\n')
}

// maxShown is the number of bytes of a name that an error shows.
const maxShown = 64

// clip makes a name safe to print. Bytes above 0x7f belong to names, and may be control
// characters or invalid UTF-8.
func clip(name string) string {
	rest := ""
	if len(name) > maxShown {
		name, rest = strings.ToValidUTF8(name[:maxShown], ""), "..."
	}
	shown := func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}
	return strings.Map(shown, name) + rest
}
