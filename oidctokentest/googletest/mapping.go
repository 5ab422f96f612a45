package googletest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/oidctoken/oidctoken/internal/standin"
)

const (
	googleSubject   = "google.subject"
	attributePrefix = "attribute."

	maxGoogleSubject = 127     // bytes
	maxMapped        = 8 << 10 // bytes of all mapped values

	needsCEL = "needs CEL, which is not evaluated here: write assertion.x, assertion['x'] or a literal without escapes"
)

// operand is a claim of the JWT or a string literal.
type operand struct {
	claim, literal string
	isClaim        bool
}

// comparison is a condition that a claim has a value.
type comparison struct {
	claim, value string
}

func parseMapping(field string, mapping map[string]string) (map[string]operand, error) {
	parsed := map[string]operand{googleSubject: {claim: "sub", isClaim: true}}
	for _, target := range slices.Sorted(maps.Keys(mapping)) {
		field := fmt.Sprintf("%s[%.120q]", field, target)
		name, custom := strings.CutPrefix(target, attributePrefix)
		switch {
		case target != googleSubject && !(custom && isAttribute(name)):
			return nil, configError(field, "is neither google.subject nor attribute.NAME with a NAME of 1 to 100 of a-z 0-9 _")
		case len(mapping[target]) > maxExpression:
			return nil, configError(field, "is longer than 2048 characters")
		}
		o, rest, ok := parseOperand(mapping[target])
		if !ok || rest != "" {
			return nil, configError(field, needsCEL)
		}
		parsed[target] = o
	}
	if len(parsed)-1 > maxAttributes {
		return nil, configError(field, "has more than 50 custom attributes")
	}
	return parsed, nil
}

func isAttribute(name string) bool {
	return name != "" && len(name) <= 100 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyz0123456789_") == ""
}

func parseCondition(text string) (all []comparison, reason string) {
	const cel = "needs CEL, which is not evaluated here: write assertion.x == 'v', or several of that joined by &&"
	if len(text) > maxCondition {
		return nil, "is longer than 4096 characters"
	}
	if text == "" {
		return nil, ""
	}
	for rest := text; ; {
		left, after, ok := parseOperand(rest)
		if !ok || !left.isClaim {
			return nil, cel
		}
		if after, ok = strings.CutPrefix(after, "=="); !ok {
			return nil, cel
		}
		right, after, ok := parseOperand(after)
		if !ok || right.isClaim {
			return nil, cel
		}
		all = append(all, comparison{left.claim, right.literal})
		if after == "" {
			return all, ""
		}
		if rest, ok = strings.CutPrefix(after, "&&"); !ok {
			return nil, cel
		}
	}
}

// parseOperand parses the operand at the beginning of s; rest begins with what
// follows it, without the space between.
func parseOperand(s string) (o operand, rest string, ok bool) {
	s = strings.TrimLeft(s, " ")
	if after, found := strings.CutPrefix(s, "assertion."); found {
		end := strings.IndexFunc(after, func(r rune) bool { return !isIdentifierRune(r) })
		if end < 0 {
			end = len(after)
		}
		o = operand{claim: after[:end], isClaim: true}
		ok = end > 0 && (after[0] < '0' || after[0] > '9')
		return o, strings.TrimLeft(after[end:], " "), ok
	}
	if after, found := strings.CutPrefix(s, "assertion["); found {
		claim, rest, ok := parseLiteral(after)
		rest, closed := strings.CutPrefix(rest, "]")
		return operand{claim: claim, isClaim: true}, strings.TrimLeft(rest, " "), ok && closed
	}
	literal, rest, ok := parseLiteral(s)
	return operand{literal: literal}, strings.TrimLeft(rest, " "), ok
}

func isIdentifierRune(r rune) bool {
	return r == '_' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
}

func parseLiteral(s string) (value, rest string, ok bool) {
	if s == "" || s[0] != '\'' && s[0] != '"' {
		return "", s, false
	}
	value, rest, ok = strings.Cut(s[1:], s[:1])
	return value, rest, ok && !strings.ContainsAny(value, "\\\r\n")
}

// attributes returns the provider's mapping of the claims, or a refusal if its
// condition is false.
func (p *googleProvider) attributes(claims map[string]json.RawMessage) (map[string]string, *refusal) {
	for _, c := range p.condition {
		var value string
		if json.Unmarshal(claims[c.claim], &value) != nil || !standin.IsString(claims[c.claim]) || value != c.value {
			return nil, &refusal{"unauthorized_client", "The given credential is rejected by the attribute condition."}
		}
	}
	mapped := make(map[string]string, len(p.mapping))
	size := 0
	for _, name := range slices.SortedFunc(maps.Keys(p.mapping), subjectFirst) {
		value, refused := p.mapping[name].value(name, claims)
		if refused != nil {
			return nil, refused
		}
		if name == googleSubject && len(value) > maxGoogleSubject {
			return nil, &refusal{"invalid_request", "The size of mapped attribute exceeds the 127 bytes limit." +
				" Either modify your attribute mapping or the incoming assertion to produce a mapped attribute that is less than 127 bytes."}
		}
		mapped[name] = value
		size += len(value)
	}
	if size > maxMapped {
		return nil, &refusal{"invalid_request", "The size of all mapped attributes exceeds the 8192 bytes limit."}
	}
	return mapped, nil
}

// subjectFirst makes it predictable which of two mappings at fault is named.
func subjectFirst(a, b string) int {
	if a == googleSubject || b == googleSubject {
		return strings.Compare(b, a)
	}
	return strings.Compare(a, b)
}

// value returns o's for the claims; name is the attribute that it is mapped to.
func (o operand) value(name string, claims map[string]json.RawMessage) (value string, _ *refusal) {
	if !o.isClaim {
		return o.literal, nil
	}
	raw, present := claims[o.claim]
	if present && (!standin.IsString(raw) || json.Unmarshal(raw, &value) != nil) {
		return "", &refusal{"unauthorized_client", "The mapped attribute '" + name + "' must be of type STRING."}
	}
	if !present || name == googleSubject && value == "" {
		return "", &refusal{"unauthorized_client", "Could not obtain a value for " + name +
			" from the given credential. Please check the attribute mapping for this Identity Provider."}
	}
	return value, nil
}
