// Package near finds the known name that a misspelled name probably stands for. It compares
// bytes.
package near

import "strings"

// maxName is the length in bytes of the longest name that is compared. A longer name is not a
// misspelling, and the limit keeps the cost independent of the input.
const maxName = 64

// Distance returns the number of edits that turn a into b. An edit inserts, deletes or replaces
// one byte, or swaps two neighbours. No byte is edited twice (this is the optimal string
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

// Nearest returns the candidate with the smallest distance to name. Of several, it returns the
// first in byte order. It returns "" if there is no candidate, or if name has more than 64
// bytes.
func Nearest(name string, candidates []string) string {
	best, _ := nearest(name, candidates)
	return best
}

// Misspelled returns the nearest candidate if name is probably a misspelling of it, and ""
// otherwise. name is a misspelling if it differs from the candidate
//
//   - only in the case of letters;
//   - by two swapped neighbours, if the candidate has three bytes or more;
//   - by one edit, if the candidate has four or five bytes;
//   - by one or two edits, if the candidate has six bytes or more.
//
// Shorter names are too close to each other. A candidate itself is not a misspelling.
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

// isSwapped reports whether a and b have the same bytes in any order.
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
