package mask

import (
	"bytes"
	"strings"
)

// wrapRun is the number of encoding characters in a line after which a line break counts as
// added by an encoder that wraps lines. Common widths are 60 (xxd), 64 (PEM) and 76 (MIME).
// wrapRun is longer than a UUID or a SHA-1 in hexadecimal, because ordinary log lines end with
// these. Otherwise text at the end of such a line would be held back after the break although
// no secret follows.
const wrapRun = 48

// folder converts line breaks to one form, in which patterns and texts are compared. A break
// becomes LF. A break that wraps encoded text is removed. The zero folder is at the start of a
// line.
type folder struct {
	run     int  // encoding characters at the end of the line so far, counted up to wrapRun
	afterCR bool // the next LF belongs to the break before it
}

// cut is a place in folded text where bytes were removed.
type cut struct {
	at    int // the index, in the folded text, of the byte after the removed ones
	shift int // the number of all bytes removed up to here
}

// fold appends the folded p to text. It appends the places of removed bytes to cuts.
func (f *folder) fold(text []byte, cuts []cut, p []byte) ([]byte, []cut) {
	copied := 0      // p[:copied] is in text
	lf, cr := -1, -1 // the next LF and CR at or after i
	for i := 0; i < len(p); {
		if f.afterCR {
			f.afterCR = false
			if p[i] == '\n' {
				cuts = leaveOut(cuts, len(text))
				i++
				copied = i
				continue
			}
		}
		if lf < i {
			lf = indexFrom(p, i, '\n')
		}
		if cr < i {
			cr = indexFrom(p, i, '\r')
		}
		end := min(lf, cr)
		f.count(p[i:end])
		if end == len(p) {
			break
		}
		isWrap := f.run == wrapRun
		if isWrap || end == cr {
			text = append(text, p[copied:end]...)
			copied = end + 1
		}
		if isWrap {
			cuts = leaveOut(cuts, len(text))
		} else if end == cr {
			text = append(text, '\n')
		}
		*f = folder{afterCR: end == cr}
		i = end + 1
	}
	return append(text, p[copied:]...), cuts
}

// count updates the run after a piece of a line.
func (f *folder) count(piece []byte) {
	n := 0
	for n < len(piece) && n < wrapRun && isEncoding[piece[len(piece)-1-n]] {
		n++
	}
	if n == len(piece) {
		n += f.run
	}
	f.run = min(n, wrapRun)
}

func leaveOut(cuts []cut, at int) []cut {
	if n := len(cuts); n > 0 {
		if cuts[n-1].at == at {
			cuts[n-1].shift++
			return cuts
		}
		return append(cuts, cut{at, cuts[n-1].shift + 1})
	}
	return append(cuts, cut{at, 1})
}

// indexFrom returns the index of the first c in p at or after i, or len(p).
func indexFrom(p []byte, i int, c byte) int {
	if n := bytes.IndexByte(p[i:], c); n >= 0 {
		return i + n
	}
	return len(p)
}

// isEncoding is true for the characters of base64, base64url, hexadecimal and JWTs.
var isEncoding = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_.") {
		is[c] = true
	}
	return is
}()

// foldPattern returns the folded forms of a pattern. There may be two: one for a pattern at the
// start of a line, and one for a pattern after encoding characters in the same line, which
// lengthen the run before the first break.
func foldPattern(s string) []string {
	if !strings.ContainsAny(s, "\r\n") {
		return []string{s}
	}
	var forms []string
	for _, run := range []int{0, wrapRun} {
		f := folder{run: run}
		text, _ := f.fold(nil, nil, []byte(s))
		forms = append(forms, string(text))
	}
	if forms[0] == forms[1] {
		return forms[:1]
	}
	return forms
}
