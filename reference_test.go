package oidctoken_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken"
)

const referenceFile = "docs/claims.md"

// The reference page is made from the table, and is in the repository.
func TestClaimsReference(t *testing.T) {
	got := reference()
	if *update {
		if err := os.WriteFile(referenceFile, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("%s is not what the table gives; go test -run TestClaimsReference -update . writes it (-file +table):\n%s", referenceFile, diff)
	}
	for _, name := range ours() {
		if !strings.Contains(got, "`"+name+"`") {
			t.Errorf("%s does not tell of %s", referenceFile, name)
		}
	}
}

// reference renders the page.
func reference() string {
	var b strings.Builder
	b.WriteString(referenceHead)
	entity := ""
	for _, row := range oidctoken.ClaimTable() {
		if e := entityOf(row.Field); e != entity {
			entity = e
			fmt.Fprintf(&b, "\n### %s\n\n", entity)
			b.WriteString("| claim | value | format | known when | notes |\n| --- | --- | --- | --- | --- |\n")
		}
		fmt.Fprintf(&b, "| `%s` | `Scope.%s` | %s | %s | %s |\n", row.Name, row.Field, formatOf(row), row.Known, strings.ReplaceAll(row.Doc, `"`, "`"))
	}
	b.WriteString(referenceTail)
	return b.String()
}

// entityOf names the part of a scope that has a field.
func entityOf(field string) string {
	path := strings.Split(field, ".")
	if len(path) == 3 {
		return path[1] // of a stage or step
	}
	return path[0]
}

func formatOf(row oidctoken.ClaimRow) string {
	if row.Name == "stage_type" {
		return "the name of the type: `CI`, `Deployment`, `Custom`, `Approval`, `IACM`, `SecurityTests`, `FeatureFlag`"
	}
	return strings.ReplaceAll(row.Format, `"`, "`")
}

const referenceHead = `<!-- Made from the table in claims.go by: go test -run TestClaimsReference -update . -->

# Claims

What a token says. Every claim of the table below describes the execution that asked for the token: whose it is, what runs and
where. None describes where a connector is defined, except ` + "`connector_scope`" + `, so one connector of an account can serve all of its
organizations and projects, and each of them is told apart.

Only the host fills the scope that these claims come from. A step cannot set a claim.

## Rules

- Every claim of the table is a JSON string: ` + "`\"true\"`, `\"42\"`" + `. A policy language that is typed compares strings with strings.
- A claim has a value or is unknown; no value is an empty string.
- An unknown claim is left out. A profile may choose ` + "`Null`" + ` instead: every claim of the table is then present, and an unknown
  one is ` + "`null`" + `. Choose it only for a relying party that needs a fixed set of members: where a missing claim makes a condition such as
  ` + "`assertion.environment_id != \"prod\"`" + ` fail, ` + "`null`" + ` makes it hold.
- *identifier* is a name that users choose: ` + "`^[A-Za-z_][0-9A-Za-z_]{0,127}$`" + `. *text* is 1 to 256 bytes of UTF-8 without control characters. Any
  other format is the list of the values that there are. A value that breaks its format is refused, with the field's name; nothing
  is shortened or replaced.
- Names, e-mail addresses, tags and refs can change hands. They are there for audit. A trust policy pins a ` + "`*_uid`" + `, a
  ` + "`repository_id`" + ` or an identifier that is never given out again.
- The order of the members is: ` + "`iss`, `sub`, `aud`" + `; the table, in the order below; the host's own claims; the profile's; ` + "`iat`, `nbf`, `exp`, `jti`" + `.

## Registered claims

| claim | type | value |
| --- | --- | --- |
| ` + "`iss`" + ` | string | ` + "`Config.URL`" + `, byte for byte; ` + "`{account_id}`" + ` in it stands for the account's identifier |
| ` + "`sub`" + ` | string | the subject, see below |
| ` + "`aud`" + ` | string | ` + "`Scope.Audience`" + `: one, never a list |
| ` + "`iat`" + ` | integer | when the token was minted, less 5 seconds (` + "`Config.BackdateIssuedAt`" + `), in seconds since 1970 |
| ` + "`nbf`" + ` | integer | when the token was minted, less 60 seconds (` + "`Config.BackdateNotBefore`" + `), for verifiers whose clock is slow |
| ` + "`exp`" + ` | integer | ` + "`iat`" + ` and the profile's lifetime, 15 minutes by default; never later than the signing key's end |
| ` + "`jti`" + ` | string | 128 random bits in base64url, new for each token |

The header has ` + "`alg`, `kid` and `typ: JWT`" + `, and nothing else.

## Subject

The subject is made from a template, which each profile may choose. The default is

    ` + oidctoken.DefaultSubject + `

- ` + "`{claim}`" + ` is the value of a claim of the table, percent-encoded except for ` + "`A-Z a-z 0-9 - . _ ~`" + `.
- ` + "`[...]`" + ` holds a label and a claim, and is left out when that claim is unknown. Outside brackets, an unknown claim is an error.
- Everything else is a label, which stands as it is.
- Two scopes that differ in a claim which the template names have different subjects. A template for which that does not hold is
  refused: a value must be followed by a label that begins with a delimiter, such as ` + "`:`" + ` or ` + "`/`" + `, and brackets must be told from
  what may follow them by the beginning of their label. A template names ` + "`{account_id}` or `{account_uid}`" + ` outside brackets, unless the
  issuer's URL holds the account.
- It is ASCII, of at most 255 bytes, and of at most the profile's limit. A longer one is refused, never cut.

## The table
`

const referenceTail = `
## Host-defined claims

A host may add claims of its own with ` + "`Scope.Extra`" + `. Their names begin with ` + "`Config.ExtraPrefix`" + `; their values are text, as above. A profile
may make claims from the table, in the form that its relying party reads, such as the session tags of AWS. Neither can have the
name of a claim of this page, nor one that differs from it in letter case alone, nor can both have the same name.
`
