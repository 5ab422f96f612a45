// Package mask replaces secrets in what a step prints, in every form in which
// common programs print them, and in any division of the output into writes.
//
// # What is masked
//
// A secret of at least [MinLength] bytes is masked in these forms:
//
//   - unchanged;
//   - escaped for JSON, once or twice, for Go, Python, HTML or XML;
//   - quoted for a shell;
//   - percent-encoded, with upper-case or lower-case digits: by the encoders of common
//     languages, by those that encode any of "-", "_", "." and "~" too, and by those that
//     encode every byte; by all but the last also twice, if the secret has other characters
//     than letters, digits, "-", "_" and ".";
//   - in hexadecimal, upper or lower case;
//   - in base64 and base64url, once or twice, each time also as a part of a longer
//     text, whose position makes three encodings of the same bytes; the result of the
//     first encoding may be in lines of 64 or 76 characters if it begins with the secret.
//
// Other combinations of two encodings are not masked, nor is one that mixes
// upper-case and lower-case digits.
//
// Of base64, only the characters that the secret alone determines are matched. A
// character that the secret shares with a neighbour, at either end, stays. A part of a
// secret is not masked, with two exceptions that are secrets of their own: the lines of at least 16 bytes of a
// secret with several lines (but not the "-----BEGIN ...-----" of PEM), and the
// segments of a JWT (RFC 7519) other than its header. The header is
// the same for all tokens of a key and says nothing that the JWK Set does not say,
// so masking it alone would only spoil ordinary text.
//
// Line breaks are LF, CRLF or CR, and equal to each other. A break inside a long
// run of the characters of base64, hexadecimal and JWTs (at least 48 since the
// last break) is taken for one that a line-wrapping encoder has put there, and does
// not keep a secret from being found, wherever it falls.
//
// # How it works
//
// Patterns are kept in a compressed trie, which shares equal beginnings: a thousand
// tokens of one issuer differ only after some hundred bytes. Of an encoded form the
// trie has the first bytes only. When they appear in the output, the trie gets
// the rest, and the output that is held back is compared again. Two bitmaps of hashes
// of the first eight bytes of all patterns keep ordinary text away from the trie:
// one look at four bytes mostly rules out five positions, and nearly all that are
// left fail by their eight bytes. A match that is still open at the end of a write
// is a node of the trie and goes on with the next one; of the text, at most the last
// seven bytes are looked at twice.
// The cost is linear in the output for high-entropy secrets; for secrets that
// repeat themselves it is at worst the output times the length of a pattern.
//
// An Aho-Corasick automaton would be the textbook way. But in the forms above a
// thousand tokens make some hundred megabytes of patterns, and an automaton has a
// state for each byte of them. For forty tokens, one library took 0.4 GB and 6
// seconds to build it, another 3.6 GB and 45 seconds, and both then searched at less
// than a third of the speed. Nor could a secret be added while output flows.
package mask

import (
	"io"
	"strings"
	"sync"
)

// MinLength is the length in bytes of the shortest secret that is masked, without
// white space around it. Shorter ones are too likely to be a part of ordinary
// words and numbers.
const MinLength = 8

// replacement stands in the output for a masked range.
const replacement = "***"

// A Set is a set of secrets to mask, which are replaced by "***". The zero Set is
// empty and ready for use. It may be used by several goroutines, and must not be
// copied.
type Set struct {
	mu       sync.RWMutex
	patterns func() *patterns // nil while the Set is empty; a func, since print verbs show what a pointer leads to
}

// Add masks secret, without white space around it, in what is written from now on
// to all Writers of the set, those that exist included. What they hold back is
// masked as well if it turns out to begin with the secret; what they have passed on is not.
//
// Add returns false, and does nothing, if secret is shorter than [MinLength]: such a
// secret will be readable in the output, and the caller must decide whether to
// accept that.
func (s *Set) Add(secret string) bool {
	secret = strings.TrimSpace(secret)
	if len(secret) < MinLength {
		return false
	}
	if s.has(secret) {
		return true
	}
	found := patternsOf(secret) // without the lock, as it takes a while
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.patterns == nil {
		p := newPatterns()
		s.patterns = func() *patterns { return p }
	}
	s.patterns().add(secret, found)
	return true
}

func (s *Set) has(secret string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.patterns == nil {
		return false
	}
	_, isKnown := s.patterns().secrets[secret]
	return isKnown
}

// Text returns text with all secrets masked.
func (s *Set) Text(text string) string {
	var b strings.Builder
	b.Grow(len(text))
	w := s.Writer(&b)
	// A strings.Builder accepts everything.
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// patterns is what a Set looks for.
type patterns struct {
	secrets map[string]struct{} // added already
	root    node
	filter  filter
	version int // counts additions
}

func newPatterns() *patterns {
	return &patterns{secrets: make(map[string]struct{}), filter: newFilter()}
}

func (p *patterns) add(secret string, all []pattern) {
	p.secrets[secret] = struct{}{}
	p.version++
	for _, one := range all {
		key := []byte(one.text[:one.kept()])
		n := p.root.insert(key)
		p.filter.add(key)
		if len(key) == len(one.text) {
			n.isEnd = true
		} else {
			n.short = append(n.short, one.form)
		}
	}
}

// complete adds the patterns of which only the key of n is in the trie. A stream
// that has seen the key completes n itself, so the version stays.
func (p *patterns) complete(n *node) {
	for _, f := range n.short {
		p.root.insert([]byte(f.encode(f.part))).isEnd = true
	}
	n.short = nil
}

// mayBegin says whether text, which is not empty and shorter than any pattern,
// is how one of them begins.
func (p *patterns) mayBegin(text []byte) bool {
	if !p.filter.admits(text) {
		return false
	}
	if len(text) <= 2 {
		return true // the filter is certain
	}
	n := &p.root
	for done := 0; done < len(text); {
		if n = n.child(text[done]); n == nil {
			return false
		}
		done += commonPrefix(n.key[done:], text[done:])
		if done < min(len(n.key), len(text)) {
			return false
		}
	}
	return true
}
