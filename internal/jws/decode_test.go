package jws_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/internal/jws"
)

func encode(parts ...string) string {
	for i, p := range parts {
		parts[i] = base64.RawURLEncoding.EncodeToString([]byte(p))
	}
	return strings.Join(parts, ".")
}

// T05
func TestDecode(t *testing.T) {
	good := encode(`{"alg":"RS256"}`, `{"sub":"s"}`, "sig")
	header := encode(`{"alg":"RS256"}`)
	for _, tt := range []struct {
		name, compact string
		want          bool
	}{
		{"good", good, true},
		{"empty", "", false},
		{"two parts", strings.Join(strings.Split(good, ".")[:2], "."), false},
		{"four parts", good + ".x", false},
		{"no signature", encode(`{"alg":"none"}`, `{"sub":"s"}`) + ".", false},
		{"padding", good + "=", false},
		{"line break", good[:10] + "\n" + good[10:], false},
		{"space", good + " ", false},
		{"standard alphabet", encode(`{"alg":"RS256"}`, `{"sub":"s"}`) + ".+/+/", false},
		{"stray bits", header + "." + encode(`{"sub":"s"}`) + ".c2h", false},
		{"header is no JSON", encode(`alg`, `{"sub":"s"}`, "sig"), false},
		{"payload is no object", encode(`{"alg":"RS256"}`, `[]`, "sig"), false},
		{"a member twice", encode(`{"alg":"RS256"}`, `{"sub":"s","sub":"t"}`, "sig"), false},
		{"too long", encode(`{"alg":"RS256"}`, `{"sub":"`+strings.Repeat("s", 4096)+`"}`, "sig"), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h struct {
				Alg string `json:"alg"`
			}
			var p struct {
				Sub string `json:"sub"`
			}
			got := jws.Decode(tt.compact, 4096, &h, &p)
			if got != tt.want || got && (h.Alg != "RS256" || p.Sub != "s") {
				t.Errorf("Decode = %v with %+v, %+v; want %v", got, h, p, tt.want)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(encode(`{"alg":"RS256"}`, `{"sub":"s"}`, "sig"))
	f.Fuzz(func(t *testing.T, compact string) {
		var header, payload map[string]any
		if !jws.Decode(compact, 4096, &header, &payload) {
			return
		}
		for i, part := range strings.Split(compact, ".") {
			b, err := base64.RawURLEncoding.DecodeString(part)
			if err != nil || base64.RawURLEncoding.EncodeToString(b) != part {
				t.Errorf("part %d of %q has another encoding, too", i, compact)
			}
		}
	})
}
