package mask

import (
	"bytes"
	"strings"
)

// wrapRun is the number of encoding characters in a line after which a break
// counts as the work of an encoder that wraps lines. Known widths are 60 (xxd), 64
// (PEM) and 76 (MIME). It is longer than a UUID or a SHA-1 in hexadecimal, with
// which lines of ordinary logs end: the start of a secret could be held back there
// over the break, though no secret follows.
const wrapRun = 48

// folder brings line breaks into one form, in which patterns and texts are
// compared: LF for any break, and nothing for one that wraps encoded text. The
// zero folder stands at the start of a line.
type folder struct {
	run     int  // encoding characters before this place in this line, counted up to wrapRun
	afterCR bool // an LF now would belong to the break before it
}

// A cut is a place of folded text where bytes were left out.
type cut struct {
	at    int // the index, in the folded text, of the byte after those left out
	shift int // the number of all bytes left out up to here
}

// fold appends the folded p to text and the places of what was left out to cuts.
func (f *folder) fold(text []byte, cuts []cut, p []byte) ([]byte, []cut) {
	copied := 0      // p[:copied] is in text
	lf, cr := -1, -1 // the next ones at or after i
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

// count updates the run at the end of a piece of a line.
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

// indexFrom is the index of the first c in p at or after i, or len(p).
func indexFrom(p []byte, i int, c byte) int {
	if n := bytes.IndexByte(p[i:], c); n >= 0 {
		return i + n
	}
	return len(p)
}

// isEncoding has the characters of base64, base64url, hexadecimal and JWTs.
var isEncoding = func() (is [256]bool) {
	for _, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_.") {
		is[c] = true
	}
	return is
}()

// foldPattern returns the folded forms of a pattern: as it is when it begins a
// line, and as it is when encoding characters stand before it in its line, if that
// makes a difference (they lengthen the run before its first break).
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
