package main_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The forms of the language, in each place where a text stands.
func TestExpressions(t *testing.T) {
	const variables = "variables: {conn: mine, on: 'true', region: eu, tricky: '<+secrets.getJWT(\"mine\")>'}\n"
	for _, tt := range []struct{ name, text, want string }{
		{"none", "plain $ text", "plain $ text"},
		{"of the pipeline", "<+pipeline.variables.region>", "eu"},
		{"of the stage", "<+ stage.variables.zone >", "z1"},
		{"adjacent", "<+pipeline.variables.region>-<+stage.variables.zone><+stage.variables.zone>", "eu-z1z1"},
		{"ternary", `<+<+pipeline.variables.on> == "true" ? "yes" : secrets.getJWT("no_such")>`, "yes"},
		{"concat", `<+"p_".concat(<+pipeline.variables.region>)>`, "p_eu"},
		{"an author's value is read", "<+pipeline.variables.tricky>", "JWT of mine for https://mine.example.com"},
		{"escape", `<\+secrets.getJWT("mine")>`, `<+secrets.getJWT("mine")>`},
		{"shift", "bc <<<+5; $1<+3; s/<+>//", "bc <<<+5; $1<+3; s/<+>//"},
		{"input", "<+input>.default(1)", "<+input>.default(1)"},
		{"value", `<+secrets.getValue("x > y")>`, `<+secrets.getValue("x > y")>`},
		{"unknown root", `<+ other.thing( <+stage.variables.zone> ) >`, `<+ other.thing( <+stage.variables.zone> ) >`},
		{"JWT", `<+secrets.getJWT("mine")>`, "JWT of mine for https://mine.example.com"},
		{"JWT in quotes", `<+secrets.getJWT('mine')>`, "JWT of mine for https://mine.example.com"},
		{"JWT in JSON", `{\"t\":\"<+secrets.getJWT(\"mine\")>\"}`, `{\"t\":\"JWT of mine for https://mine.example.com\"}`},
		{"JWT by variable", `<+secrets.getJWT(<+pipeline.variables.conn>)>`, "JWT of mine for https://mine.example.com"},
		{"JWT by quoted variable", `<+secrets.getJWT("<+pipeline.variables.conn>")>`, "JWT of mine for https://mine.example.com"},
		{"JWT by sum", `<+secrets.getJWT("mi" + "ne")>`, "JWT of mine for https://mine.example.com"},
		{"JWT for an audience", `<+secrets.getJWT("account.vault", "https://other.example.com")>`, "JWT of vault for https://other.example.com"},
		{"access token", `<+secrets.getGCPAccessToken("account.gcp_prod")>`, "access token"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := "'" + strings.ReplaceAll(tt.text, "'", "''") + "'"
			file, out := step(t, `cat "$STEP_DIR/f" >"$OUT/file"; printf %s "$TEXT" >"$OUT/env"
cat >"$OUT/run" <<'END'
`+tt.text+`
END`, "  TEXT: "+text, "files: {f: "+text+"}")
			file = variables + strings.Replace(file, "  type: CI\n", "  type: CI\n  variables: {zone: z1}\n", 1)
			if r := run(t, file); r.code != 0 || r.stdout != "" {
				t.Fatalf("%+v", r)
			}
			var got []string
			for _, name := range []string{"env", "file", "run"} {
				got = append(got, describe(t, strings.TrimSuffix(read(t, out, name), "\n")))
			}
			if diff := cmp.Diff([]string{tt.want, tt.want, tt.want}, got); diff != "" {
				t.Errorf("env, file, run (-want +got):\n%s", diff)
			}
		})
	}
}

// A value of -set comes from a user, so it is text.
func TestUsersValues(t *testing.T) {
	const variables = "variables: {v: '<+secrets.getJWT(\"mine\")>'}\n"
	for _, tt := range []struct{ name, set, want string }{
		{"of the pipeline", "variables.v", "<+pipeline.variables.v>"},
		{"of the stage", "stages[build].variables.w", "<+stage.variables.w>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			const value = `<+secrets.getJWT("mine")>`
			file, out := step(t, `printf %s "$TEXT" >"$OUT/env"`, "  TEXT: "+tt.want)
			file = variables + strings.Replace(file, "  type: CI\n", "  type: CI\n  variables: {w: x}\n", 1)
			if r := run(t, file, "-set", tt.set+"="+value); r.code != 0 || r.stdout != "" {
				t.Fatalf("%+v", r)
			}
			if got := read(t, out, "env"); got != value {
				t.Errorf("got %q, want %q", got, value)
			}
			r := run(t, file+"expressions: {strict: true}\n", "-set", tt.set+"="+value)
			if reasons := r.reasons(); r.code != 2 || len(reasons) != 1 || !strings.Contains(reasons[0], "env.TEXT: ") {
				t.Errorf("strict: %+v", r)
			}
		})
	}
}

// A file chooses its delimiters, its strictness, and the roots of other
// languages.
func TestLanguage(t *testing.T) {
	const jwt = "JWT of mine for https://mine.example.com"
	for _, tt := range []struct {
		name, expressions, text string
		code                    int
		want                    string // the text, or a part of the reason
	}{
		{"braces by default", "{}", "x", 2, "expressions: is empty"},
		{"braces not chosen", "{strict: false}", `${{ secrets.getJWT("mine") }}`, 0, `${{ secrets.getJWT("mine") }}`},
		{"braces", `{delimiters: ["${{ }}"]}`, `${{ secrets.get_jwt("mine") }}`, 0, jwt},
		{"angle not chosen", `{delimiters: ["${{ }}"]}`, `<+secrets.getJWT("mine")>`, 0, `<+secrets.getJWT("mine")>`},
		{"both", `{delimiters: ["<+ >", "${{ }}"]}`, `<+pipeline.variables.v>${{ pipeline.variables.v }}`, 0, "11"},
		{"no delimiters", `{delimiters: ["{{ }}"]}`, "x", 2, `f.yaml:22: expressions.delimiters[0]: is neither "<+ >" nor "${{ }}"`},
		{"line break inside braces", `{delimiters: ["${{ }}"]}`, "${{\n pipeline.variables.v\n}}", 0, "1"},
		{"near miss", "{strict: false}", `<+secret.getJWT("mine")>`, 2, "secrets"},
		{"near miss of a variable's root", "{strict: false}", "<+piepline.variables.v>", 2, "pipeline"},
		{"somebody else's root", "{foreignRoots: [secret]}", `<+secret.getJWT("mine")>`, 0, `<+secret.getJWT("mine")>`},
		{"strict", "{strict: true}", "<+input>", 2, "input"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			text := `"` + strings.NewReplacer(`"`, `\"`, "\n", `\n`).Replace(tt.text) + `"`
			file, out := step(t, `printf %s "$TEXT" >"$OUT/env"`, "  TEXT: "+text)
			file += "expressions: " + tt.expressions + "\nvariables: {v: 1}\n"
			r := run(t, file)
			if tt.code != 0 {
				if reasons := r.reasons(); r.code != tt.code || len(reasons) != 1 || !strings.Contains(reasons[0], tt.want) {
					t.Errorf("%+v, want the exit code %d and %q", r, tt.code, tt.want)
				}
				return
			}
			if r.code != 0 {
				t.Fatalf("%+v", r)
			}
			if got := describe(t, read(t, out, "env")); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// describe returns text with its token, if it has one, replaced by what that is.
func describe(t *testing.T, text string) string {
	if strings.HasPrefix(text, "ya29.") {
		return "access token"
	}
	i := strings.Index(text, "eyJ")
	if i < 0 {
		return text
	}
	jwt := text[i:]
	if end := strings.IndexAny(jwt, "\\\"}"); end >= 0 {
		jwt = jwt[:end]
	}
	c := claims(t, jwt)
	return strings.Replace(text, jwt, "JWT of "+c["connector_id"].(string)+" for "+c["aud"].(string), 1)
}

// The paths that expressions give are files of the step, without a newline, and
// one token is one, however often it is written.
func TestFileExpressions(t *testing.T) {
	file, _ := step(t, `for f in "$JWT" "<+secrets.getJWTFile("mine")>" "$ADC"; do
  case $f in "$STEP_DIR/.oidctoken/"*) ;; *) echo "$f";; esac
done
[ "$(cat "$JWT")" = "$(cat "$STEP_DIR/copy")" ] && [ "$(cat "$STEP_DIR/copy")" = '<+secrets.getJWT("mine")>' ] || echo several tokens
[ "$(wc -l <"$JWT")" -eq 0 ] || echo lines
grep -q external_account "$ADC" && echo fine`,
		`  JWT: <+secrets.getJWTFile("mine")>`, `  ADC: <+secrets.getGCPCredentialsFile("account.gcp_prod")>`,
		`files: {copy: '<+secrets.getJWT("mine")>'}`)
	if r := run(t, file); r.code != 0 || r.stdout != "fine\n" {
		t.Errorf("%+v", r)
	}
}

// Comments are evaluated like everything else.
func TestComment(t *testing.T) {
	file, out := step(t, "# <+secrets.getJWT(\"mine\")>\ngrep -c '# eyJ' \"$STEP_DIR/.oidctoken/run.sh\" >\"$OUT/count\"")
	if r := run(t, file); r.code != 0 || read(t, out, "count") == "0\n" {
		t.Errorf("%+v", r)
	}
}
