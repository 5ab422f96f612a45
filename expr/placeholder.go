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

// ErrPlaceholder is the Err of an [*Error] about a refused placeholder.
var ErrPlaceholder = errors.New("invalid placeholder")

// A placeholder consists of placeholderHead, the encrypted call in base64url, and
// placeholderTail. It uses only letters, digits, "-", "_" and ".", which have no special
// meaning in JSON, YAML, a URL or a word of a shell. placeholderWord stands at both ends. So no
// edit of one byte makes a placeholder look like ordinary text, and the text beside it does not
// become part of it. The word does not overlap itself.
const (
	placeholderWord = "oidctoken-placeholder"
	placeholderHead = placeholderWord + ".v1."
	placeholderTail = "." + placeholderWord
)

const (
	maxPlaceholders = 1000
	maxSealed       = 4 << 10 // bytes of a call before encryption
	sealedBlock     = 128     // a call is padded to a multiple of this, so that its length does not reveal the connector
	overhead        = 12 + 16 // of AES-GCM: nonce and tag
	maxBody         = ((maxSealed+overhead)*8 + 5) / 6
)

// span is the place of a placeholder in a text.
type span struct{ start, end int }

func (s span) body(text string) string {
	return text[s.start+len(placeholderHead) : s.end-len(placeholderTail)]
}

// findPlaceholders returns the placeholders in text, and the number of bytes that it has looked
// at. It checks only their form. Wherever placeholderWord stands there must be a whole
// placeholder. The first one that is not whole ends the search, so the time is linear.
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
			return spans, steps, &fault{at: start, err: ErrPlaceholder, reason: "the placeholder was written by hand, cut off or edited, or it has another version"}
		case len(spans) == maxPlaceholders:
			return spans, steps, &fault{at: start, reason: fmt.Sprintf("more than %d placeholders in the text", maxPlaceholders)}
		}
		spans = append(spans, span{start, end})
		pos = end
	}
}

// skipPlaceholder returns the end of the placeholder that begins with placeholderWord at start.
// If there is no whole placeholder, it returns false and the end of the part that fits.
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

// deferredCall is the call that a placeholder stands for.
type deferredCall struct {
	plan  string // random, of the text that Plan made the placeholder for
	index string // the number of the placeholder in that text, from 0
	path  string
	call  Call
}

// sealer encrypts calls into placeholders and decrypts them, for one place.
type sealer struct {
	aead  cipher.AEAD
	place []byte // for one place and one version of the format
}

func (k PlanKey) sealer(place []string) (*sealer, error) {
	if k.key == nil {
		return nil, errors.New("expr: plan key: the key is the zero PlanKey; use NewPlanKey or ParsePlanKey")
	}
	if len(place) == 0 || slices.Contains(place, "") {
		return nil, errors.New("expr: the place of a plan has no parts, or it has an empty part")
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

// seal returns the placeholder, or "" if the call is too long.
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

// open returns the call in a placeholder. It returns false if this sealer did not make the
// placeholder.
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

// openAll opens all placeholders of a text, or fails. They must belong to one text that Plan
// returned, each once and in the order of Plan. So a user cannot add a copy of a placeholder or
// replace one by a copy of another.
func (s *sealer) openAll(text string) ([]span, []deferredCall, *fault) {
	spans, _, f := findPlaceholders(text)
	if f != nil {
		return nil, nil, f
	}
	all := make([]deferredCall, len(spans))
	for i, span := range spans {
		p, ok := s.open(span.body(text))
		if !ok {
			return nil, nil, &fault{at: span.start, err: ErrPlaceholder, reason: "the placeholder was edited, or it was made with another key or for another place"}
		}
		if p.plan != all[0].plan && i > 0 || p.index != strconv.Itoa(i) {
			return nil, nil, &fault{at: span.start, err: ErrPlaceholder, reason: "the placeholder was copied from another text or from this one, or an earlier placeholder is missing"}
		}
		all[i] = p
	}
	return spans, all, nil
}

// appendStrings appends the number of strings, and each string after its length. So two
// different lists never have the same encoding.
func appendStrings(b []byte, list []string) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, s := range list {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	return b
}

// cutStrings decodes a list that appendStrings encoded. It ignores the padding at the end.
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
