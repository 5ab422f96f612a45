package aws_test

import (
	"encoding/json"
	"errors"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/aws"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// cloudClaims are the claims of a JWT that AWS reads.
type cloudClaims struct {
	Tags struct {
		Principal  map[string][]string `json:"principal_tags"`
		Transitive []string            `json:"transitive_tag_keys"`
	} `json:"https://aws.amazon.com/tags"`
	Source string `json:"https://aws.amazon.com/source_identity"`
}

func preview(t testing.TB, issuer *oidctoken.Issuer, s oidctoken.Scope) (cloudClaims, error) {
	t.Helper()
	claims, err := issuer.Preview(t.Context(), s)
	if err != nil {
		return cloudClaims{}, err
	}
	text, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	var c cloudClaims
	if err := json.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	return c, nil
}

// acmeIssuer lets hosts define claims that begin with acme_.
func acmeIssuer(t testing.TB) *oidctoken.Issuer {
	return oidctokentest.NewIssuer(t, func(c *oidctoken.Config) { c.ExtraPrefix = "acme_" }).Issuer
}

// A host's own claims become tags and the source identity, as those of the
// table do.
func TestTagsOfHostClaims(t *testing.T) {
	e := newExchanger(t, nil, aws.Config{
		SessionTags: []string{"project_id", "acme_team", "acme_unknown"}, TransitiveTagKeys: []string{"acme_team", "acme_unknown"},
		SourceIdentity: "acme_team",
	})
	s := scope(e)
	s.Extra = map[string]string{"acme_team": "ledger-core", "acme_other": "x"}
	got, err := preview(t, acmeIssuer(t), s)
	if err != nil {
		t.Fatal(err)
	}
	var want cloudClaims
	want.Tags.Principal = map[string][]string{"project_id": {"ledger"}, "acme_team": {"ledger-core"}}
	want.Tags.Transitive = []string{"acme_team"}
	want.Source = "ledger-core"
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("claims for AWS (-want +got):\n%s", diff)
	}
}

// The treatment of a value that AWS does not accept is chosen per tag.
func TestUnfitTags(t *testing.T) {
	const (
		character = "has a character other than letters, digits, spaces and _.:/=+-@"
		long      = "is longer than 256 characters"
		choose    = ": set Config.UnfitTags to UnfitOmit or UnfitEncode"
	)
	issuer := acmeIssuer(t)
	for _, tt := range []struct {
		name, value string
		omitted     bool   // by UnfitOmit
		failed      string // by UnfitFail
		encoded     string // by UnfitEncode; "" if it fails
	}{
		{"fits", "refs/heads/main", false, "", "refs/heads/main"},
		{"letters, spaces and digits of the world", "Zoë Müller 東京 ٣", false, "", "Zoë Müller 東京 ٣"},
		{"every character that fits", "aZ0 _.:/+-@", false, "", "aZ0 _.:/+-@"},
		{"equals sign", "a=b", false, "", "a=3Db"},
		{"looks encoded", "fix=23", false, "", "fix=3D23"},
		{"branch", "fix/#46", true, character, "fix/=2346"},
		{"bot", "dependabot[bot]", true, character, "dependabot=5Bbot=5D"},
		{"percent", "50%", true, character, "50=25"},
		{"emoji", "ship 🚀", true, character, "ship =F0=9F=9A=80"},
		{"replacement character", "a\uFFFDb", true, character, "a=EF=BF=BDb"},
		{"256 characters", strings.Repeat("é", 256), false, "", strings.Repeat("é", 256)},
		{"257 characters", strings.Repeat("é", 257), true, long, ""},
		{"256 when encoded", strings.Repeat("a", 253) + "#", true, character, strings.Repeat("a", 253) + "=23"},
		{"257 when encoded", strings.Repeat("a", 254) + "#", true, character, ""},
		{"256 with an equals sign", strings.Repeat("a", 255) + "=", false, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, unfit := range []aws.Unfit{aws.UnfitFail, aws.UnfitOmit, aws.UnfitEncode} {
				e := newExchanger(t, nil, aws.Config{
					SessionTags: []string{"project_id", "acme_v"}, TransitiveTagKeys: []string{"acme_v"},
					UnfitTags: map[string]aws.Unfit{"acme_v": unfit},
				})
				s := scope(e)
				s.Extra = map[string]string{"acme_v": tt.value}
				got, err := preview(t, issuer, s)
				want, reason := tt.value, ""
				switch {
				case unfit == aws.UnfitFail && tt.failed != "":
					reason = "failed: aws: session tag acme_v: the claim's value " + tt.failed + choose
				case unfit == aws.UnfitOmit && tt.omitted:
					want = ""
				case unfit == aws.UnfitEncode && tt.encoded == "":
					reason = "failed: aws: session tag acme_v: the claim's encoded value " + long + ": set Config.UnfitTags to UnfitOmit"
				case unfit == aws.UnfitEncode:
					want = tt.encoded
				}
				var refused *oidctoken.ScopeError
				if reason != "" {
					if !errors.As(err, &refused) || refused.Field != "Profile.Claims" || refused.Reason != reason {
						t.Errorf("Unfit %d: error = %v, want %s", unfit, err, reason)
					}
					continue
				}
				if err != nil {
					t.Errorf("Unfit %d: %v", unfit, err)
					continue
				}
				tags := map[string][]string{"project_id": {"ledger"}}
				var transitive []string
				if want != "" {
					tags["acme_v"], transitive = []string{want}, []string{"acme_v"}
				}
				if diff := cmp.Diff(tags, got.Tags.Principal); diff != "" {
					t.Errorf("Unfit %d: tags (-want +got):\n%s", unfit, diff)
				}
				if diff := cmp.Diff(transitive, got.Tags.Transitive); diff != "" {
					t.Errorf("Unfit %d: transitive keys (-want +got):\n%s", unfit, diff)
				}
			}
		})
	}
}

func TestUnfitSourceIdentity(t *testing.T) {
	issuer := acmeIssuer(t)
	for _, tt := range []struct {
		name, value string
		unfit       aws.Unfit
		want        string // the source identity; "" if it is left out
		refused     bool
	}{
		{"fits", "u-17", aws.UnfitOmit, "u-17", false},
		{"bot, left out", "dependabot[bot]", aws.UnfitOmit, "", false},
		{"bot, encoded", "dependabot[bot]", aws.UnfitEncode, "dependabot=5Bbot=5D", false},
		{"umlaut, encoded", "Zoë", aws.UnfitEncode, "Zo=C3=AB", false},
		{"one character, encoded", "a", aws.UnfitEncode, "=61", false},
		{"its encoding, encoded", "=61", aws.UnfitEncode, "=3D61", false},
		{"one character, left out", "a", aws.UnfitOmit, "", false},
		{"64 when encoded", strings.Repeat("a", 61) + "#", aws.UnfitEncode, strings.Repeat("a", 61) + "=23", false},
		{"65 when encoded", strings.Repeat("a", 62) + "#", aws.UnfitEncode, "", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := scope(newExchanger(t, nil, aws.Config{SourceIdentity: "acme_v", UnfitSourceIdentity: tt.unfit}))
			s.Extra = map[string]string{"acme_v": tt.value}
			got, err := preview(t, issuer, s)
			if (err != nil) != tt.refused || got.Source != tt.want {
				t.Errorf("source identity %q, %v; want %q", got.Source, err, tt.want)
			}
		})
	}
}

// UnfitEncode makes what AWS takes of every value, loses nothing and is no other
// value's.
func TestEncodingIsReversible(t *testing.T) {
	tags := regexp.MustCompile(`\A[\p{L}\p{Z}\p{N}_.:/=+\-@]{1,256}\z`)
	names := regexp.MustCompile(`\A[0-9A-Za-z_+=,.@-]{2,64}\z`)
	tb, issuer := t, acmeIssuer(t)
	e := newExchanger(t, nil, aws.Config{
		SessionTags: []string{"acme_v"}, UnfitTags: map[string]aws.Unfit{"acme_v": aws.UnfitEncode},
		SourceIdentity: "acme_v", UnfitSourceIdentity: aws.UnfitEncode,
	})
	encode := func(t *rapid.T, value string) cloudClaims {
		s := scope(e)
		s.Extra = map[string]string{"acme_v": value}
		claims, err := preview(tb, issuer, s)
		if err != nil {
			t.Fatalf("%q: %v", value, err)
		}
		return claims
	}
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.StringOfN(rapid.RuneFrom([]rune("a=23D#é")), 1, 4, -1),
			rapid.StringMatching(`[^\x00-\x1f\x7f-\x9f]{1,5}`),
		)
		a, b := text.Draw(t, "a"), text.Draw(t, "b")
		x, y := encode(t, a), encode(t, b)
		tag := x.Tags.Principal["acme_v"][0]
		if !tags.MatchString(tag) || !names.MatchString(x.Source) {
			t.Fatalf("%q becomes the tag %q and the source identity %q", a, tag, x.Source)
		}
		for _, encoded := range []string{tag, x.Source} {
			if got, err := aws.DecodeTag(encoded); got != a || err != nil {
				t.Fatalf("DecodeTag(%q) = %q, %v; want %q", encoded, got, err, a)
			}
		}
		if same := tag == y.Tags.Principal["acme_v"][0]; same != (a == b) {
			t.Fatalf("%q and %q: equal tags: %v", a, b, same)
		}
		if same := x.Source == y.Source; same != (a == b) {
			t.Fatalf("%q and %q: equal source identities: %v", a, b, same)
		}
	})
}

func TestDecodeTagRefuses(t *testing.T) {
	for _, s := range []string{"=", "a=", "=5", "a=5", "=5b", "=G0", "=0G", "==", "= 1", "=5é"} {
		if value, err := aws.DecodeTag(s); err == nil || value != "" {
			t.Errorf("DecodeTag(%q) = %q, %v", s, value, err)
		}
	}
}

// A claim for audit whose value stands in no token is left out of the session only
// where that was chosen.
func TestUnfitTagOfOmittedClaim(t *testing.T) {
	for unfit, refused := range map[aws.Unfit]bool{aws.UnfitFail: true, aws.UnfitOmit: false, aws.UnfitEncode: true} {
		s := scope(newExchanger(t, nil, aws.Config{
			SessionTags: []string{"head_ref"}, UnfitTags: map[string]aws.Unfit{"head_ref": unfit},
			SourceIdentity: "head_ref", UnfitSourceIdentity: unfit,
		}))
		s.Source = &oidctoken.Source{HeadRef: strings.Repeat("x", 1025)}
		got, err := preview(t, acmeIssuer(t), s)
		if (err != nil) != refused || len(got.Tags.Principal) != 0 || got.Source != "" {
			t.Errorf("Unfit %d: %v, %v", unfit, got, err)
		}
	}
}

// The Exchanger keeps a copy of its configuration.
func TestUnfitTagsAreCopied(t *testing.T) {
	unfit := map[string]aws.Unfit{"acme_v": aws.UnfitOmit}
	e := newExchanger(t, nil, aws.Config{SessionTags: []string{"acme_v"}, UnfitTags: unfit})
	unfit["acme_v"] = aws.UnfitFail
	s := scope(e)
	s.Extra = map[string]string{"acme_v": "#"}
	if _, err := preview(t, acmeIssuer(t), s); err != nil {
		t.Error(err)
	}
}
