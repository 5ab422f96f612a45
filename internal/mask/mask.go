// Package mask replaces secrets in the output of a step, in every form in which common programs
// print them, and in any division of the output into writes.
//
// The package is own code because it was measured. For forty tokens, an Aho-Corasick library
// took 0.4 GB and 6 seconds to build its automaton, another one 3.6 GB and 45 seconds, and both
// searched at less than a third of the speed. Here, a thousand tokens take at most 64 MiB, and
// a secret can be added while output flows.
//
// # Masked forms
//
// A secret of at least [MinLength] bytes is masked in these forms:
//
//   - unchanged;
//   - escaped for JSON, once or twice, for Go, Python, HTML or XML;
//   - quoted for a shell;
//   - percent-encoded, with upper-case or lower-case digits: by the encoders of common
//     languages, by encoders that also encode any of "-", "_", "." and "~", and by encoders
//     that encode every byte. If the secret has characters other than letters, digits, "-", "_"
//     and ".", the result may be encoded again by the same encoder, except by one that encodes
//     every byte;
//   - in hexadecimal, upper or lower case;
//   - in base64 and base64url, once or twice. Each time, the secret may be a part of a longer
//     text, whose position makes three encodings of the same bytes. The result of the first
//     encoding may be in lines of 64 or 76 characters if it begins with the secret.
//
// Other combinations of two encodings are not masked, and neither is a form that mixes
// upper-case and lower-case digits.
//
// In base64, only the characters that depend on the secret alone are matched. A character that
// the secret shares with a neighbour, at either end, stays. A part of a secret is not masked,
// with two exceptions, which are treated as secrets of their own: the lines of at least 16
// bytes in a secret with several lines (but not the "-----BEGIN ...-----" of PEM), and the
// segments of a JWT (RFC 7519) except its header. The header is the same for all tokens of a
// key and contains only information that the JWK Set contains, so masking it alone would only
// spoil ordinary text.
//
// The line breaks LF, CRLF and CR are treated as equal. A break inside a long run of the
// characters of base64, hexadecimal and JWTs (at least 48 since the last break) is treated as
// the break of a line-wrapping encoder. A secret is found even if such a break is inside it.
//
// # How it works
//
// The patterns are in a compressed trie, which shares equal beginnings: a thousand tokens of
// one issuer differ only after some hundred bytes. The trie stores only the first bytes of an
// encoded form. When they appear in the output, the trie gets the rest, and the output that is
// held back is compared again. Two bitmaps of hashes of the first eight bytes of all patterns
// keep ordinary text away from the trie: one look at four bytes usually rules out five
// positions, and the eight bytes rule out nearly all other positions. A match that is open at
// the end of a write is a node of the trie, and continues with the next write. At most the last
// seven bytes of the text are looked at twice. The cost is linear in the output for
// high-entropy secrets. For secrets that repeat themselves, it is at worst the output times the
// length of a pattern.
//
// An Aho-Corasick automaton is the textbook solution. But in the forms above, a thousand tokens
// make some hundred megabytes of patterns, and an automaton has a state for each byte of them.
// It also cannot get another secret while output flows.
package mask

import (
	"io"
	"strings"
	"sync"
)

// MinLength is the length in bytes of the shortest secret that is masked, without white space
// around it. Shorter texts occur too often in ordinary words and numbers.
const MinLength = 8

// replacement replaces a masked range in the output.
const replacement = "***"

// Set is a set of secrets to mask. Each is replaced by "***". The zero Set is empty and ready
// for use. It is safe for concurrent use and must not be copied.
type Set struct {
	mu       sync.RWMutex
	patterns func() *patterns // nil while the Set is empty; a func, because print verbs follow pointers
}

// Add masks secret, without white space around it, in all later output of all Writers of the
// set, including existing ones. It also masks a secret whose beginning a Writer still holds
// back. It does not change output that was already written.
//
// Add returns false, and does nothing, if secret is shorter than [MinLength]. Such a secret
// stays readable in the output, and the caller must decide whether to accept that.
func (s *Set) Add(secret string) bool {
	secret = strings.TrimSpace(secret)
	if len(secret) < MinLength {
		return false
	}
	if s.has(secret) {
		return true
	}
	found := patternsOf(secret) // without the lock, because it takes a while
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
	// A strings.Builder never fails.
	_, _ = io.WriteString(w, text)
	_ = w.Close()
	return b.String()
}

// patterns holds the patterns of a Set.
type patterns struct {
	secrets map[string]struct{} // the secrets that were added
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

// complete adds the patterns of which only the key of n is in the trie. version does not
// change, because a stream that has seen the key completes n itself.
func (p *patterns) complete(n *node) {
	for _, f := range n.short {
		p.root.insert([]byte(f.encode(f.part))).isEnd = true
	}
	n.short = nil
}

// mayBegin reports whether a pattern begins with text, which is not empty and shorter than
// every pattern.
func (p *patterns) mayBegin(text []byte) bool {
	if !p.filter.admits(text) {
		return false
	}
	if len(text) <= 2 {
		return true // the filter is exact
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
