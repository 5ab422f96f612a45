package expr

import (
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"io"
)

// planKeySize is that of an AES-256 key, in bytes.
const planKeySize = 32

const redactedPlanKey = "plan key [REDACTED]"

// PlanKey encrypts and authenticates the placeholders of one execution. Who has
// it can make placeholders that [Resolve] takes for that execution, and so ask
// for whatever its steps may ask for; no token can be had from it alone. It
// does not print: only Text reveals it. The zero PlanKey is refused by [Plan]
// and Resolve.
type PlanKey struct {
	key func() [planKeySize]byte // in a func, so that no print verb reaches it
}

// NewPlanKey returns a key of random bytes. There is one for each execution:
// that is what makes a placeholder of one worthless in another.
func NewPlanKey() PlanKey {
	var key [planKeySize]byte
	rand.Read(key[:]) // which does not return without having filled it
	return planKey(key)
}

// ParsePlanKey reads what [PlanKey.Text] has returned, byte for byte. Its error
// shows nothing of the text.
func ParsePlanKey(text string) (PlanKey, error) {
	key, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(key) != planKeySize || len(text) != base64.RawURLEncoding.EncodedLen(planKeySize) {
		return PlanKey{}, fmt.Errorf("expr: plan key: it is not %d bytes in base64url without padding", planKeySize)
	}
	return planKey([planKeySize]byte(key)), nil
}

func planKey(key [planKeySize]byte) PlanKey {
	return PlanKey{func() [planKeySize]byte { return key }}
}

// Text returns the key in base64url without padding (RFC 4648, section 5), 43
// characters, for the runner. It is a secret: it belongs neither into the plan
// nor beside it, nor into an argument or a step's environment. It is "" for the
// zero PlanKey.
func (k PlanKey) Text() string {
	if k.key == nil {
		return ""
	}
	key := k.key()
	return base64.RawURLEncoding.EncodeToString(key[:])
}

// Format shows nothing of the key, for any verb.
func (k PlanKey) Format(f fmt.State, _ rune) { io.WriteString(f, redactedPlanKey) }

// MarshalText gives what Format does, so that no encoder shows the key of a
// struct that holds it. It cannot be read back: see Text.
func (k PlanKey) MarshalText() ([]byte, error) { return []byte(redactedPlanKey), nil }
