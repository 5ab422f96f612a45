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

// docs/claims.md equals the page that is made from the table.
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
		t.Errorf("%s differs from the table: run go test -run TestClaimsReference -update . (-file +table):\n%s", referenceFile, diff)
	}
	for _, name := range ours() {
		if !strings.Contains(got, "`"+name+"`") {
			t.Errorf("%s does not contain %s", referenceFile, name)
		}
	}
}

// reference returns the page.
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

// entityOf returns the part of a scope that has a field.
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

// misfit returns the effect of a value that breaks the format.
func misfit(row oidctoken.ClaimRow) string {
	if row.Audit {
		return "left out"
	}
	return "refused"
}

const referenceHead = `<!-- Made from the table in claims.go by: go test -run TestClaimsReference -update . -->

# Claims

This page lists the claims of a token. Every claim of the table below describes the execution that asked for the token: its owner, its
code and its place. No claim except ` + "`connector_scope`" + ` describes where a connector is defined. So all organizations and projects of an account
can share one connector, and their tokens still differ.

Only the host fills in the scope from which these claims are made. A step cannot set a claim.

## Rules

- Every claim of the table is a JSON string: ` + "`\"true\"`" + `, ` + "`\"42\"`" + `. So a typed policy language compares strings with strings.
- A claim has a value or is unknown. No value is an empty string.
- An unknown claim is left out. A profile may set ` + "`NullUnknown`" + ` instead: every claim of the table is then present, and an unknown claim
  is ` + "`null`" + `. Set it only for a relying party that needs a fixed set of members. A missing claim makes a condition such as
  ` + "`assertion.environment_id != \"prod\"`" + ` fail; ` + "`null`" + ` makes it true.
- An *identifier* has 1 to 128 characters of ` + "`A-Z a-z 0-9 _ - . $`" + `, and is not ` + "`.`" + ` or ` + "`..`" + `. The platform chooses identifiers, and this
  library gives them no meaning: random base64url, UUIDs, numbers and slugs all work. The identifier of an account must not have a ` + "`$`" + ` if the
  issuer's URL contains the account. The identifier of a connector must not have a dot, since references to connectors begin with ` + "`account.`" + `
  and ` + "`org.`" + `.
- A *text* has 1 to 1024 bytes of UTF-8 without control characters.
- Any other format is a list of values. The lists of contexts, trigger types and environment types are open: a host may use other values of
  the form that the table shows. A value that differs from a listed value only in letter case is refused.
- No value is shortened or replaced. If a policy can rest on the claim, a value that breaks its format stops the token, with an error that
  names the field. A claim for audit is left out instead, since a relying party does not need it; ` + "`Event.Omitted`" + ` names it for ` + "`Config.Audit`" + `.
  Such a claim stops the token only if the profile's subject names it.
- Names, e-mail addresses, tags and refs can pass to another owner. A trust policy should match a ` + "`*_uid`" + `, a
  ` + "`repository_id`" + `, or an identifier that the platform never assigns twice. No policy should rest on a claim that is *left out* below: a user
  who chooses the value can make it too long.
- The order of the members is: ` + "`iss`" + `, ` + "`sub`" + `, ` + "`aud`" + `; the table, in the order below; the host's own claims; the profile's claims; ` + "`iat`" + `, ` + "`nbf`" + `, ` + "`exp`" + `, ` + "`jti`" + `.

## Registered claims

| claim | type | value |
| --- | --- | --- |
| ` + "`iss`" + ` | string | ` + "`Config.URL`" + `, byte for byte; ` + "`{account_id}`" + ` in it is replaced by the account's identifier |
| ` + "`sub`" + ` | string | the subject, see below |
| ` + "`aud`" + ` | string | ` + "`Scope.Audience`" + `: one audience, never a list |
| ` + "`iat`" + ` | integer | the time of minting minus 5 seconds (` + "`Config.BackdateIssuedAt`" + `), in seconds since 1970 |
| ` + "`nbf`" + ` | integer | the time of minting minus 60 seconds (` + "`Config.BackdateNotBefore`" + `), for verifiers whose clock is slow |
| ` + "`exp`" + ` | integer | ` + "`iat`" + ` plus the profile's lifetime, 15 minutes by default; never later than the end of the signing key |
| ` + "`jti`" + ` | string | 128 random bits in base64url, new for each token |

The header has ` + "`alg`" + `, ` + "`kid`" + ` and ` + "`typ: JWT`" + `, and no other members.

## Subject

The subject is made from a template. Each profile may choose its template. The default is

    ` + oidctoken.DefaultSubject + `

- ` + "`{claim}`" + ` is replaced by the value of a claim of the table, or of a host-defined claim. All bytes except ` + "`A-Z a-z 0-9 - . _ ~`" + ` are percent-encoded.
- ` + "`[...]`" + ` begins with a label and names claims of one entity. It is left out if all these claims are unknown. It is an error if only some of
  them are known, or if a claim outside brackets is unknown. A host-defined claim is an entity of its own.
- Everything else is a label, which is copied.
- Two scopes that differ in a claim that the template names have different subjects. A template that cannot guarantee this is refused.
  So a value must be followed by a label that begins with a delimiter, such as ` + "`:`" + ` or ` + "`/`" + `. The label of a pair of brackets must differ from the
  beginning of everything that may follow them. A template must name ` + "`{account_id}`" + ` or ` + "`{account_uid}`" + ` outside brackets, unless the
  issuer's URL contains the account.
- The subject is ASCII and has at most 255 bytes, or the profile's limit. A longer subject is refused; it is never cut.

A subject with immutable ids stays the same if something is renamed, and never matches something new with an old name:

    account/{account_id}@{account_uid}[:org/{organization_id}@{organization_uid}][:project/{project_id}@{project_uid}]

## The table

The headings are the entities. If a value breaks its format, the token is *refused* or the claim is *left out*, as the column *if it does not fit* shows.
`

const referenceTail = `
## Host-defined claims

A host may add its own claims with ` + "`Scope.Extra`" + `. Their names begin with ` + "`Config.ExtraPrefix`" + `, and their values are text, as above. A profile
may compute more claims from the table, in the form that its relying party reads, such as the session tags of AWS. Neither may have the
name of a claim of this page, or a name that differs from it only in letter case. The two must not have the same name either.

A subject template can name a host-defined claim like a claim of the table, also in brackets: ` + "`[:cell/{acme_cell}]`" + `. A template cannot
contain a name that has ` + "`[`" + `, ` + "`]`" + ` or ` + "`}`" + `.

## The matrix

` + "`matrix`" + ` holds one combination as ` + "`axis=value`" + `, sorted by axis and separated by commas: ` + "`os=linux,zone=eu-west%2F1`" + `. Axes and values are
percent-encoded as in a subject. ` + "`MatrixText`" + ` returns this text.
`
