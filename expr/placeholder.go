package expr

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// ErrPlaceholder is the Err of an [*Error] about a placeholder that is refused.
var ErrPlaceholder = errors.New("invalid placeholder")

// A placeholder is placeholderHead, the sealed call in base64url, and
// placeholderTail: letters, digits, "-", "_" and "." only, which mean nothing in
// JSON, YAML, a URL or a shell's word. The word stands at both ends, so that no
// edit of one byte makes it look like ordinary text, and what is beside it does
// not become part of it. The word does not overlap itself.
const (
	placeholderWord = "oidctoken-placeholder"
	placeholderHead = placeholderWord + ".v1."
	placeholderTail = "." + placeholderWord
)

const (
	maxPlaceholders = 1000
	maxSealed       = 4 << 10 // bytes of a call, as it is sealed
	sealedBlock     = 128     // a call is padded to a multiple, so that its length does not tell the connector
	overhead        = 12 + 16 // of AES-GCM: nonce and tag
	maxBody         = ((maxSealed+overhead)*8 + 5) / 6
)

// span is a placeholder of a text.
type span struct{ start, end int }

func (s span) body(text string) string {
	return text[s.start+len(placeholderHead) : s.end-len(placeholderTail)]
}

// findPlaceholders returns the placeholders in text by their form alone, and how
// many bytes it has looked at. Wherever the word stands there has to be one: the
// first that is not whole ends the search, and so its time is linear.
func findPlaceholders(text string) (spans []span, steps int, f *fault) {
	pos := 0
	for {
		i := strings.Index(text[pos:], placeholderWord)
		if i < 0 {
			return spans, steps + len(text) - pos, nil
		}
		start := pos + i
		end, whole := skipPlaceholder(text, start)
		steps += end - pos
		switch {
		case !whole:
			return spans, steps, &fault{at: start, err: ErrPlaceholder, reason: "what stands here was written by hand, cut, edited, or is of another version"}
		case len(spans) == maxPlaceholders:
			return spans, steps, &fault{at: start, reason: fmt.Sprintf("more than %d placeholders in the text", maxPlaceholders)}
		}
		spans = append(spans, span{start, end})
		pos = end
	}
}

// skipPlaceholder returns where the placeholder ends that begins with the word
// at start, or how far there is one.
func skipPlaceholder(text string, start int) (end int, whole bool) {
	if !strings.HasPrefix(text[start:], placeholderHead) {
		return start + len(placeholderWord), false
	}
	body := start + len(placeholderHead)
	end = body
	for end < len(text) && isBase64URL(text[end]) {
		end++
	}
	if end-body > maxBody || !strings.HasPrefix(text[end:], placeholderTail) {
		return end, false
	}
	return end + len(placeholderTail), true
}

func isBase64URL(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || isDigit(c) || c == '-' || c == '_'
}

// putOff is a call that a placeholder stands for.
type deferredCall struct {
	plan  string // random, of the text that Plan made it for
	index string // among those of that text, from 0
	path  string
	call  Call
}

// sealer turns calls into placeholders and back, for one place.
type sealer struct {
	aead  cipher.AEAD
	place []byte // of one version of the format, and of nothing else
}

func (k PlanKey) sealer(place []string) (*sealer, error) {
	if k.key == nil {
		return nil, errors.New("expr: plan key: it is the zero PlanKey")
	}
	if len(place) == 0 || slices.Contains(place, "") {
		return nil, errors.New("expr: the place of a plan has no parts, or an empty one")
	}
	key := k.key()
	block, err := aes.NewCipher(key[:])
	if err != nil {
		return nil, fmt.Errorf("expr: plan key: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("expr: plan key: %w", err)
	}
	return &sealer{aead, appendStrings([]byte(placeholderHead), place)}, nil
}

// seal returns the placeholder, or "" if the call is too long for one.
func (s *sealer) seal(p deferredCall) string {
	plaintext := appendStrings(nil, append([]string{p.plan, p.index, p.path, p.call.Field}, p.call.Args...))
	if len(plaintext) > maxSealed {
		return ""
	}
	if rest := len(plaintext) % sealedBlock; rest > 0 {
		plaintext = append(plaintext, make([]byte, sealedBlock-rest)...)
	}
	sealed := s.aead.Seal(nil, nil, plaintext, s.place)
	return placeholderHead + base64.RawURLEncoding.EncodeToString(sealed) + placeholderTail
}

// open returns what was sealed, or false for what this sealer has not made.
func (s *sealer) open(body string) (deferredCall, bool) {
	sealed, err := base64.RawURLEncoding.Strict().DecodeString(body)
	if err != nil {
		return deferredCall{}, false
	}
	plaintext, err := s.aead.Open(nil, nil, sealed, s.place)
	if err != nil {
		return deferredCall{}, false
	}
	parts, ok := cutStrings(plaintext)
	if !ok || len(parts) < 4 {
		return deferredCall{}, false
	}
	return deferredCall{plan: parts[0], index: parts[1], path: parts[2], call: Call{Field: parts[3], Args: parts[4:]}}, true
}

// openAll opens the placeholders of a text, all or none. They are those of one
// text that Plan has returned, each once and in its order: so a copy is refused
// that a user has put beside them, or in the place of one.
func (s *sealer) openAll(text string) ([]span, []deferredCall, *fault) {
	spans, _, f := findPlaceholders(text)
	if f != nil {
		return nil, nil, f
	}
	all := make([]deferredCall, len(spans))
	for i, span := range spans {
		p, ok := s.open(span.body(text))
		if !ok {
			return nil, nil, &fault{at: span.start, err: ErrPlaceholder, reason: "what stands here was edited, or was made with another key or for another place"}
		}
		if p.plan != all[0].plan && i > 0 || p.index != strconv.Itoa(i) {
			return nil, nil, &fault{at: span.start, err: ErrPlaceholder, reason: "what stands here was copied from another text, or within this one, or what stood before it is missing"}
		}
		all[i] = p
	}
	return spans, all, nil
}

// appendStrings appends how many strings there are, and each behind its length,
// so that no two lists have one encoding.
func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// cutStrings reads what appendStrings has appended to nothing. What follows is
// padding.
func cutStrings(b []byte) ([]string, bool) {
	count, n := binary.Uvarint(b)
	if n <= 0 {
		return nil, false
	}
	b = b[n:]
	var list []string
	for range count {
		size, n := binary.Uvarint(b)
		if n <= 0 || size > uint64(len(b)-n) {
			return nil, false
		}
		list = append(list, string(b[n:n+int(size)]))
		b = b[n+int(size):]
	}
	return list, true
}
