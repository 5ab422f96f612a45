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
			b.WriteString("| claim | value | format | if it does not fit | known when | notes |\n| --- | --- | --- | --- | --- | --- |\n")
		}
		fmt.Fprintf(&b, "| `%s` | `Scope.%s` | %s | %s | %s | %s |\n", row.Name, row.Field, formatOf(row), misfit(row), row.Known, strings.ReplaceAll(row.Doc, `"`, "`"))
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
		return "`CI`, `Deployment`, `Custom`, `Approval`, `IACM`, `SecurityTests`, `FeatureFlag`, `Pipeline`, or the kind of an `OpenStage`, of the form `^[A-Za-z][A-Za-z0-9_]{0,63}$`"
	}
	return strings.ReplaceAll(row.Format, `"`, "`")
}

// misfit says what becomes of a value that breaks the format.
func misfit(row oidctoken.ClaimRow) string {
	if row.Audit {
		return "left out"
	}
	return "refused"
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
- *identifier* is 1 to 128 characters of ` + "`A-Z a-z 0-9 _ - . $`" + `, and not ` + "`.` or `..`" + `. The platform chooses identifiers, and they mean nothing
  here: random base64url, UUIDs, numbers and slugs are all good. An account's has no ` + "`$`" + ` where the issuer's URL holds the account.
  A connector's has no dot, since ` + "`account.`" + ` and ` + "`org.`" + ` begin references to connectors.
- *text* is 1 to 1024 bytes of UTF-8 without control characters.
- Any other format is a list of values. The lists of contexts, trigger types and environment types are open: a host may add values of the
  form that the table shows. A value that differs from a listed one in letter case only is refused.
- Nothing is shortened or replaced. A value that breaks its format stops the token, with an error that names the field, if a policy can rest
  on the claim. A claim for audit is left out instead, since a relying party does not need it: ` + "`Event.Omitted`" + ` names it for ` + "`Config.Audit`" + `. It
  stops the token only where the profile's subject names it.
- Names, e-mail addresses, tags and refs can change hands. A trust policy pins a ` + "`*_uid`" + `, a
  ` + "`repository_id`" + ` or an identifier that is never given out again. No policy rests on a claim that is *left out* below: a user who
  chooses the value can also make it too long.
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

- ` + "`{claim}`" + ` is the value of a claim of the table, or of a host-defined one, percent-encoded except for ` + "`A-Z a-z 0-9 - . _ ~`" + `.
- ` + "`[...]`" + ` begins with a label and names claims of one entity. It is left out when they are all unknown. To know only some of them is an
  error, and so is an unknown claim outside brackets. A host-defined claim is an entity of its own.
- Everything else is a label, which stands as it is.
- Two scopes that differ in a claim which the template names have different subjects. A template for which that does not hold is
  refused: a value must be followed by a label that begins with a delimiter, such as ` + "`:`" + ` or ` + "`/`" + `, and brackets must be told from
  what may follow them by the beginning of their label. A template names ` + "`{account_id}` or `{account_uid}`" + ` outside brackets, unless the
  issuer's URL holds the account.
- It is ASCII, of at most 255 bytes, and of at most the profile's limit. A longer one is refused, never cut.

A subject with immutable ids follows things that are renamed, and never matches something new under an old name:

    account/{account_id}@{account_uid}[:org/{organization_id}@{organization_uid}][:project/{project_id}@{project_uid}]

## The table

Entities have headings. If a value breaks its format, the token is *refused* or the claim is *left out*, as the column *if it does not fit* says.
`

const referenceTail = `
## Host-defined claims

A host may add claims of its own with ` + "`Scope.Extra`" + `. Their names begin with ` + "`Config.ExtraPrefix`" + `; their values are text, as above. A profile
may make claims from the table, in the form that its relying party reads, such as the session tags of AWS. Neither can have the
name of a claim of this page, nor one that differs from it in letter case alone, nor can both have the same name.

A subject template can name a host-defined claim as it names one of the table, also in brackets: ` + "`[:cell/{acme_cell}]`" + `. A name with
` + "`[`, `]` or `}`" + ` cannot stand in a template.

## The matrix

` + "`matrix`" + ` holds a combination as ` + "`axis=value`" + `, sorted by axis and separated by commas: ` + "`os=linux,zone=eu-west%2F1`" + `. Axes and values are
percent-encoded as in a subject. ` + "`MatrixText`" + ` writes it.
`
