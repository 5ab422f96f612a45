package pipeline_test

import (
	"crypto/ed25519"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

// readFile reads a good file of testdata.
func readFile(t *testing.T, name string, sets ...string) *pipeline.File {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	f, err := pipeline.Read(name, data, sets)
	if err != nil {
		t.Fatalf("Read: %v", err)
	}
	return f
}

// preview returns the claims of a token for a scope, with null for unknown
// ones.
func preview(t *testing.T, s oidctoken.Scope) map[string]any {
	t.Helper()
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := oidctoken.NewSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	issuer, err := oidctoken.NewIssuer(oidctoken.Config{
		URL:     "https://issuer.example.com",
		Keys:    oidctoken.StaticKeys{{Signer: signer}},
		Profile: oidctoken.Profile{Algorithms: []string{"EdDSA"}, NullUnknown: true},
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Audience = "x"
	claims, err := issuer.Preview(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	var members map[string]any
	if err := json.Unmarshal(data, &members); err != nil {
		t.Fatal(err)
	}
	return members
}
