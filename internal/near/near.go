// Package near finds the known name that a misspelled one was probably meant to
// be. It compares bytes.
package near

import "strings"

// maxName is the length in bytes of the longest name that is compared. A longer
// one is no misspelling, and the limit keeps the cost independent of the input.
const maxName = 64

// Distance returns how many bytes of a to insert, delete, replace, or swap with
// their neighbour to get b. No byte is edited twice (this is the optimal string
// alignment distance).
func Distance(a, b string) int {
	before := make([]int, len(b)+1) // the row for a[:i-1]
	row := make([]int, len(b)+1)    // the row for a[:i]
	next := make([]int, len(b)+1)   // the row for a[:i+1]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next[0] = i + 1
		for j := range len(b) {
			replaced := row[j]
			if a[i] != b[j] {
				replaced++
			}
			next[j+1] = min(replaced, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row, next = row, next, before
	}
	return row[len(b)]
}

// Nearest returns the candidate with the smallest distance to name, the first in
// byte order of several. It returns "" if there is no candidate, or if name has
// more than 64 bytes.
func Nearest(name string, candidates []string) string {
	best, _ := nearest(name, candidates)
	return best
}

// Misspelled returns the candidate that name is probably a misspelling of, or "".
// The nearest candidate is returned if name differs from it
//
//   - in the case of letters only;
//   - by two neighbours that are swapped, if the candidate has three bytes or more;
//   - by one edit, if the candidate has four or five bytes;
//   - by one or two edits, if the candidate has six bytes or more.
//
// Shorter names are too close to one another. A candidate itself is not misspelled.
func Misspelled(name string, candidates []string) string {
	for _, c := range candidates {
		if name == c {
			return ""
		}
	}
	for _, c := range candidates {
		if strings.EqualFold(name, c) {
			return c
		}
	}
	best, distance := nearest(name, candidates)
	if best == "" || distance > limit(name, best) {
		return ""
	}
	return best
}

func limit(name, known string) int {
	switch n := len(known); {
	case n >= 6:
		return 2
	case n >= 4 || n == 3 && isSwapped(name, known):
		return 1
	}
	return 0
}

// isSwapped reports whether both have the same bytes, in whatever order.
func isSwapped(a, b string) bool {
	var counts [256]int
	for i := range len(a) {
		counts[a[i]]++
	}
	for i := range len(b) {
		counts[b[i]]--
	}
	return counts == [256]int{}
}

func nearest(name string, candidates []string) (best string, least int) {
	if len(name) > maxName {
		return "", 0
	}
	for _, c := range candidates {
		d := Distance(name, c)
		if best == "" || d < least || d == least && c < best {
			best, least = c, d
		}
	}
	return best, least
}
