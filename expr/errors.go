package expr

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Error says what is wrong with a text, and where. Its fields hold names of the
// text, cut to 64 bytes and with ? for what cannot be printed, and never a string,
// an argument or a result. What Err says is up to the function that returned it.
type Error struct {
	// Line and Column are where, counted from 1. A line ends with a line feed;
	// columns are bytes.
	Line, Column int

	// Function is the function, method or variable at fault, or else the first
	// path in the expression at fault. It is empty where there is none, and for
	// the limits.
	Function string

	// Reason is never empty.
	Reason string

	// Err is what a function or the context returned, or ErrPlaceholder. It is
	// nil if something else in the text is at fault: then the same text and Env
	// fail always.
	Err error
}

// Error gives all the fields, in one line unless Err brings others.
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

// fault is an Error whose place is still an offset: lines are counted once, for
// the one fault that is reported, so that counting cannot become quadratic.
type fault struct {
	at     int
	name   string
	reason string
	within string // where in the value of an author's variable; "" if it is in the text
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

// maxShown is how much of a name an error repeats, in bytes.
const maxShown = 64

// clip makes a name fit to be shown: bytes above 0x7f belong to names, and may be
// control characters or no characters at all.
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
