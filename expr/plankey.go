package expr

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
)

// planKeySize is the size of an AES-256 key in bytes.
const planKeySize = 32

const redactedPlanKey = "plan key [REDACTED]"

// PlanKey encrypts and authenticates the placeholders of one execution. A program that has the
// key can make placeholders that [Resolve] accepts for that execution, and can so request
// everything that its steps may request. The key alone gives no token. A PlanKey does not print
// its key; only Text reveals it. [Plan] and Resolve refuse the zero PlanKey.
type PlanKey struct {
	key func() [planKeySize]byte // in a func, so that no print verb can reach it
}

// NewPlanKey returns a key of random bytes. Use a new key for each execution, so that a
// placeholder of one execution is invalid in another.
func NewPlanKey() PlanKey {
	var key [planKeySize]byte
	rand.Read(key[:]) // returns only after it has filled key
	return planKey(key)
}

// ParsePlanKey parses the exact text that [PlanKey.Text] returned. Its error shows nothing of
// the text.
func ParsePlanKey(text string) (PlanKey, error) {
	key, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != planKeySize || len(text) != base64.RawURLEncoding.EncodedLen(planKeySize) {
		return PlanKey{}, fmt.Errorf("expr: plan key: the text is not %d bytes in base64url without padding", planKeySize)
	}
	return planKey([planKeySize]byte(key)), nil
}

func planKey(key [planKeySize]byte) PlanKey {
	return PlanKey{func() [planKeySize]byte { return key }}
}

// Text returns the key for the runner, in base64url without padding (RFC 4648, section 5), 43
// characters. It is a secret: do not put it into the plan, beside the plan, into an argument,
// or into a step's environment. Text returns "" for the zero PlanKey.
func (k PlanKey) Text() string {
	if k.key == nil {
		return ""
	}
	key := k.key()
	return base64.RawURLEncoding.EncodeToString(key[:])
}

// Format prints a fixed text instead of the key, for every verb.
func (k PlanKey) Format(f fmt.State, _ rune) { io.WriteString(f, redactedPlanKey) }

// MarshalText returns the fixed text of Format, so that no encoder shows the key of a struct
// that contains it. Use Text for a text that [ParsePlanKey] can read.
func (k PlanKey) MarshalText() ([]byte, error) { return []byte(redactedPlanKey), nil }
