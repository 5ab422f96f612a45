package oidctoken_test

import (
	"encoding/base64"
	"encoding/json"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/internal/jose"
)

// T03, T04, T19
func TestHeader(t *testing.T) {
	for alg, key := range keyFor {
		t.Run(alg, func(t *testing.T) {
			issuer := issuerFor(t, alg)
			token := mint(t, issuer, full())
			header, _, _, _ := parts(t, token.JWT())
			thumbprint, err := jose.Thumbprint(key().Public())
			if err != nil {
				t.Fatal(err)
			}
			// A literal: no member beside these, in this order.
			want := `{"alg":"` + alg + `","kid":"` + thumbprint + `","typ":"JWT"}`
			if string(header) != want {
				t.Errorf("header %s, want %s", header, want)
			}
			if token.KeyID() != thumbprint {
				t.Errorf("KeyID = %q, want the thumbprint %q", token.KeyID(), thumbprint)
			}
		})
	}
}

// issuerFor is an issuer with one key, of that algorithm.
func issuerFor(t testing.TB, alg string) *oidctoken.Issuer {
	return newIssuer(t, oidctoken.Config{
		Keys:    oidctoken.StaticKeys{{Signer: memory(keyFor[alg]()), Algorithm: alg}},
		Profile: oidctoken.Profile{Algorithms: []string{alg}},
	})
}

// T05
func TestCompactSerialization(t *testing.T) {
	form := regexp.MustCompile(`\A[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\z`)
	// Payloads of three lengths in a row end with each number of unused bits.
	for _, account := range []string{"a", "ab", "abc"} {
		s := minimal()
		s.Account.ID = account
		for alg := range keyFor {
			jwt := mint(t, issuerFor(t, alg), s).JWT()
			if !form.MatchString(jwt) {
				t.Errorf("%s: not in the compact serialization: %q", alg, jwt)
			}
			parts(t, jwt) // decodes strictly
		}
	}
}

// T13, T15
func TestRegisteredClaims(t *testing.T) {
	for _, now := range []time.Time{noon, noon.Add(999 * time.Millisecond), time.Unix(1<<33, 0), time.Unix(1, 0).In(time.FixedZone("x", 3600))} {
		issuer := newIssuer(t, oidctoken.Config{Now: clockAt(now)})
		token := mint(t, issuer, minimal())
		_, payload, _, _ := parts(t, token.JWT())
		claims := object(t, payload)
		iat, nbf, exp := datesOf(t, token)
		got, want := [3]int64{iat, nbf, exp}, [3]int64{now.Unix() - 5, now.Unix() - 60, now.Unix() - 5 + 900}
		if got != want {
			t.Errorf("iat, nbf, exp = %v, want %v", got, want)
		}
		if claims["jti"] != token.ID() {
			t.Errorf("jti = %v, want ID, %q", claims["jti"], token.ID())
		}
		if !token.Expires().Equal(time.Unix(exp, 0)) {
			t.Errorf("Expires = %v, want %v", token.Expires(), time.Unix(exp, 0))
		}
		if claims["iss"] != issuerURL || claims["aud"] != "sts.example.com" || claims["sub"] != "account/acme" {
			t.Errorf("iss, aud, sub = %v, %v, %v", claims["iss"], claims["aud"], claims["sub"])
		}
	}
}

// T16
func TestIDs(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{}) // its clock stands
	prepared, err := issuer.Prepare(t.Context(), minimal())
	if err != nil {
		t.Fatal(err)
	}
	const n = 10_000
	seen := make(map[string]bool, n)
	var ones [128]int
	for i := range n {
		token := must(prepared.Mint(t.Context()))
		if i%2 == 0 {
			token = mint(t, issuer, minimal())
		}
		id, err := base64.RawURLEncoding.Strict().DecodeString(token.ID())
		if err != nil || len(id) != 16 {
			t.Fatalf("jti %q is not 16 bytes: %v", token.ID(), err)
		}
		seen[token.ID()] = true
		for bit := range ones {
			ones[bit] += int(id[bit/8] >> (bit % 8) & 1)
		}
	}
	if len(seen) != n {
		t.Errorf("%d tokens have %d ids", n, len(seen))
	}
	// Each bit is a fair coin: 50 is a deviation of 10 sigma.
	for bit, count := range ones {
		if count < n/2-500 || count > n/2+500 {
			t.Errorf("bit %d of the ids is set in %d of %d", bit, count, n)
		}
	}
}

// One connector of an account serves every project: a token names its caller,
// and the connector's home beside it.
func TestConnectorServesEveryProject(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{})
	subjects := map[string]bool{}
	for _, caller := range []struct{ organization, project, subject string }{
		{"payments", "ledger", "account/acme:org/payments:project/ledger"},
		{"payments", "cards", "account/acme:org/payments:project/cards"},
		{"retail", "ledger", "account/acme:org/retail:project/ledger"},
	} {
		s := minimal()
		s.Organization.ID, s.Project.ID = caller.organization, caller.project
		s.Connector = &oidctoken.Connector{ID: "cloud_prod", Level: oidctoken.AccountLevel}
		claims := payloadOf(t, mint(t, issuer, s))
		want := map[string]any{
			"sub": caller.subject, "organization_id": caller.organization, "project_id": caller.project,
			"connector_id": "cloud_prod", "connector_scope": "account",
		}
		for name, value := range want {
			if claims[name] != value {
				t.Errorf("%s = %v, want %v", name, claims[name], value)
			}
		}
		subjects[caller.subject] = true
	}
	if len(subjects) != 3 {
		t.Errorf("three projects have %d subjects", len(subjects))
	}
}

// T20: every value of ours is a string that the scope holds, or one that the
// package made of it.
func TestClaimsComeFromTheScope(t *testing.T) {
	t.Setenv("OIDCTOKEN_PROJECT_ID", "forged")
	t.Setenv("PROJECT_ID", "forged")
	for stage := range stages() {
		s := inStage(stage)
		given, err := json.Marshal(s) // no hooks in it
		if err != nil {
			t.Fatal(err)
		}
		known := string(given) + issuerURL + ` "CI" "Deployment" "Custom" "Approval" "IACM" "SecurityTests" "FeatureFlag" "PIPELINE_EXECUTION"`
		claims := payloadOf(t, mint(t, newIssuer(t, oidctoken.Config{}), s))
		for _, row := range oidctoken.ClaimTable() {
			value, there := claims[row.Name]
			if !there {
				continue
			}
			text, ok := value.(string)
			if !ok || !strings.Contains(known, strings.Trim(string(must(json.Marshal(text))), `"`)) {
				t.Errorf("%s: %s = %v, which the scope does not hold", stage, row.Name, value)
			}
		}
	}
}

// Preview and Prepared say what a token says, in the same order.
func TestClaimsEqualPayload(t *testing.T) {
	issuer := newIssuer(t, oidctoken.Config{ExtraPrefix: "acme_"})
	for stage := range stages() {
		for _, null := range []bool{false, true} {
			s := inStage(stage)
			s.Audience = `https://a.example/?<b>&"c"`
			s.Extra = map[string]string{"acme_cell": `"<7>"`}
			s.Profile = making(map[string]any{"z": []int{1}}, nil)
			s.Profile.NullUnknown = null
			preview, err := issuer.Preview(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			prepared, err := issuer.Prepare(t.Context(), s)
			if err != nil {
				t.Fatal(err)
			}
			for name, token := range map[string]*oidctoken.Token{
				"Mint": mint(t, issuer, s), "Prepared.Mint": must(prepared.Mint(t.Context())),
			} {
				_, payload, _, _ := parts(t, token.JWT())
				want, _, found := strings.Cut(string(payload), `,"iat":`)
				if !found {
					t.Fatalf("no iat behind the claims of %s", payload)
				}
				for from, claims := range map[string]*oidctoken.Claims{"Preview": preview, "Prepared.Claims": prepared.Claims()} {
					if diff := cmp.Diff(want+"}", string(must(claims.MarshalJSON()))); diff != "" {
						t.Errorf("%s, %s and %s (-payload +claims):\n%s", stage, name, from, diff)
					}
				}
			}
		}
	}
}

func TestClaimsGet(t *testing.T) {
	claims, err := newIssuer(t, oidctoken.Config{}).Preview(t.Context(), inStage("ci"))
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"iss": issuerURL, "sub": "account/acme:org/payments:project/ledger", "aud": "https://sts.example.com/full",
		"account_id": "acme", "is_fork": "false", "stage_type": "CI",
		"environment_id": "", "jti": "", "exp": "", "acme_cell": "", "": "", "ACCOUNT_ID": "",
	} {
		if got, known := claims.Get(name); got != want || known != (want != "") {
			t.Errorf("Get(%q) = %q, %t; want %q", name, got, known, want)
		}
	}
}
