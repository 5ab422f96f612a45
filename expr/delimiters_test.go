package expr_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/expr"
)

// A delimiter that cannot begin an expression is text in every place.
func TestDelimiterIsText(t *testing.T) {
	t.Parallel()
	for _, delimiter := range []struct {
		delimiters  expr.Delimiters
		open, close string
	}{{expr.Angle, "<+", ">"}, {expr.Braces, "${{", "}}"}} {
		for _, after := range []string{
			"", " ", "\n\t\r ", "5", "3)", " 3", ">", " >", "}}", " }}", "}", "-x", "+x", "=", "==x", ")", "]x", "[0]", ".x", ",", ":", "?", "&", "|", "*", "/",
			"$2", "$x", " $(id)", "\\", `\n`, `\'`, "#", "@", "%s", "^", "~", "`", ";", "{x}", "<", "< x", "\x00", "\x7f",
		} {
			text := delimiter.open + after
			for _, around := range [][2]string{{"", ""}, {"<<", ""}, {"a ", "\n"}, {"<", delimiter.open}, {delimiter.open + "5", ""}} {
				text := around[0] + text + around[1]
				if begins(text) { // together with the text around it, it begins an expression
					continue
				}
				var h host
				env := h.env()
				env.Delimiters, env.Strict = delimiter.delimiters, true
				if got, err := expr.Expand(t.Context(), text, env); err != nil || got != text {
					t.Errorf("Expand(%q) = %q, %v", text, got, err)
				}
				// It is text in a string of an expression too.
				if strings.ContainsAny(text, `'\`) || strings.HasSuffix(text, delimiter.open) || strings.HasSuffix(strings.TrimRight(text, " \r\n\t"), delimiter.open) {
					continue
				}
				if got, err := expr.Expand(t.Context(), delimiter.open+"'"+text+"'"+delimiter.close, env); err != nil || got != text {
					t.Errorf("Expand(%q) in a string = %q, %v", text, got, err)
				}
			}
		}
	}
}

// begins reports whether a text has a delimiter that can begin an expression.
func begins(text string) bool {
	for i := range len(text) {
		for _, open := range []string{"<+", "${{"} {
			rest, found := strings.CutPrefix(text[i:], open)
			rest = strings.TrimLeft(rest, " \t\r\n")
			if !found || rest == "" {
				continue
			}
			c := rest[0]
			if c >= 0x80 || strings.ContainsRune(`_('"!`, rune(c)) || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
				strings.HasPrefix(rest, `\"`) || strings.HasPrefix(rest, "<+") || strings.HasPrefix(rest, "${{") {
				return true
			}
		}
	}
	return false
}

// A delimiter that begins an expression without closing it is an error. The error tells how to
// write the delimiter as text.
func TestDelimiterBegins(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"a", "Z", "_", "é", "\xff", `"`, `'`, `\"`, "(", "!", "<+", " a", "\r\n\ta", " <+"} {
		got := mustFail(t, "é\n <+"+after, expr.Env{})
		if got.Line != 2 || !strings.Contains(got.Reason, `to write <+ as text, write <\+`) {
			t.Errorf("%q: %+v", after, got)
		}
		got = mustFail(t, "é\n ${{"+strings.ReplaceAll(after, "<+", "${{"), expr.Env{Delimiters: expr.Braces})
		if got.Line != 2 || !strings.Contains(got.Reason, `to write ${{ as text, write $\{{`) {
			t.Errorf("%q: %+v", after, got)
		}
	}
}

func TestEscapes(t *testing.T) {
	t.Parallel()
	const both = expr.Angle | expr.Braces
	for _, tt := range []struct {
		name       string
		delimiters expr.Delimiters
		text, want string
	}{
		{"alone", 0, `<\+`, `<+`},
		{"of an expression", 0, `<\+stage.name>`, `<+stage.name>`},
		{"beside an expression", 0, `<\+<+stage.name><\+`, `<+deploy<+`},
		{"several", 0, `<\+<\+ <<\+`, `<+<+ <<+`},
		{"an expression makes no escape", 0, `<<+'\\'>+stage.name>`, `<\+stage.name>`},
		{"a value makes no escape", 0, `<+'<'>\+`, `<\+`},
		{"two backslashes", 0, `<\\+stage.name>`, `<\\+stage.name>`},
		{"no plus", 0, `<\ +`, `<\ +`},
		{"in a string", 0, `<+"a<\+stage.name>" + 'b<\+' + \"c<\+\">`, `a<+stage.name>b<+c<+`},
		{"in a string with an expression", 0, `<+"<\+<+stage.name><\+">`, `<+deploy<+`},
		{"as an argument", 0, `<+path.join("<\+x>")>`, `join[<+x>]`},
		{"the backslash itself", 0, `<+'<\\+'>`, `<\+`},
		{"in JSON", 0, `<+\"<\\+\">`, `<\+`},
		{"in what passes", 0, `<+vault.x("<\+")>`, `<+vault.x("<\+")>`},
		{"in a suffix", 0, `<+input>.default(<\+a)`, `<+input>.default(<\+a)`},
		{"in a nested string", 0, `<+true ? <+"<\+"> : "">`, `<+`},
		{"braces that are not chosen", 0, `$\{{ x }}`, `$\{{ x }}`},
		{"braces", expr.Braces, `$\{{ stage.name }} ${{ "$\{{" }}`, `${{ stage.name }} ${{`},
		{"angle that is not chosen", expr.Braces, `<\+stage.name> ${{ "<\+" }}`, `<\+stage.name> <\+`},
		{"both", both, `<\+ $\{{ <+"<\+$\{{"> ${{ "$\{{<\+" }}`, `<+ ${{ <+${{ ${{<+`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			env := h.env()
			env.Delimiters = tt.delimiters
			got, err := expr.Expand(t.Context(), tt.text, env)
			if err != nil || got != tt.want {
				t.Errorf("Expand(%q) = %q, %v; want %q", tt.text, got, err, tt.want)
			}
			key := expr.NewPlanKey()
			for path, fn := range env.Functions {
				fn.Planned = !fn.Secret
				env.Functions[path] = fn
			}
			planned := mustPlan(t, tt.text, env, key, place...)
			if got, err := expr.Resolve(t.Context(), planned, env, key, place...); err != nil || got != tt.want {
				t.Errorf("Plan and Resolve = %q, %v; want %q", got, err, tt.want)
			}
		})
	}
}

// A fault in a plan has its place in the source, where escapes are longer than their results.
func TestPlanFaultBehindEscapes(t *testing.T) {
	t.Parallel()
	var h host
	env := h.env()
	env.Variables["v"] = func(path string) (string, bool) { return "oidctoken-", path == "x" }
	for _, tt := range []struct {
		text   string
		column int
	}{
		{`<+v.x>placeholder`, 1},
		{`<\+<\+ <+v.x>placeholder`, 8},
		{`<\+ <+stage.name> <\+<+v.x>placeholder`, 22},
	} {
		_, err := expr.Plan(t.Context(), tt.text, env, expr.NewPlanKey(), place...)
		var e *expr.Error
		if !errors.As(err, &e) || e.Column != tt.column {
			t.Errorf("Plan(%q): %v, want column %d", tt.text, err, tt.column)
		}
	}
	// If the planned text is too long, the fault is at the place in the source that exceeds the
	// limit.
	value := strings.Repeat("x", expr.MaxResult)
	env.Variables["v"] = func(string) (string, bool) { return value, true }
	values := strings.Repeat("<+v.x>", expr.MaxText/expr.MaxResult-1)
	rest := `<\+<\+` + strings.Repeat("y", expr.MaxResult-4)
	if _, err := expr.Plan(t.Context(), values+rest, env, expr.NewPlanKey(), place...); err != nil {
		t.Errorf("at the limit: %v", err)
	}
	_, err := expr.Plan(t.Context(), values+rest+"z", env, expr.NewPlanKey(), place...)
	var e *expr.Error
	if !errors.As(err, &e) || e.Column != len(values+rest)+1 {
		t.Errorf("above the limit: %v, want column %d", err, len(values+rest)+1)
	}
}

func TestBraces(t *testing.T) {
	t.Parallel()
	const both = expr.Angle | expr.Braces
	for _, tt := range []struct {
		name       string
		delimiters expr.Delimiters
		text, want string
	}{
		{"a variable", expr.Braces, `a ${{ stage.name }} b`, `a deploy b`},
		{"no white space", expr.Braces, `${{stage.name}}`, `deploy`},
		{"lines", expr.Braces, "${{\r\n\tstage.name\n}}", `deploy`},
		{"snake_case", expr.Braces, `${{ secrets.get_jwt("c") }}`, `getJWT[c]`},
		{"camelCase", expr.Braces, `${{ secrets.getJWT("c") }}`, `getJWT[c]`},
		{"a field", expr.Braces, `${{ secrets.get_aws_credentials("c").access_key_id }}`, `getAWSCredentials[c].accessKeyId`},
		{"a field in camelCase", expr.Braces, `${{ secrets.get_aws_credentials("c").accessKeyId }}`, `getAWSCredentials[c].accessKeyId`},
		{"snake_case in angle", expr.Angle, `<+secrets.get_gcp_access_token("c", 's')>`, `getGCPAccessToken[c|s]`},
		{"a greater sign ends nothing", expr.Braces, `${{ path.join("a>b") }}>`, `join[a>b]>`},
		{"braces in a string", expr.Braces, `${{ path.join("}}") }}`, `join[}}]`},
		{"in JSON", expr.Braces, `{\"t\":\"${{ path.join(\"c\") }}\"}`, `{\"t\":\"join[c]\"}`},
		{"adjacent", expr.Braces, `${{ stage.name }}${{ stage.name }}}}`, `deploydeploy}}`},
		{"nested", expr.Braces, `${{ path.join(${{ ${{ stage.name }} }}) }}`, `join[deploy]`},
		{"no white space nested", expr.Braces, `${{${{stage.name}}}}`, `deploy`},
		{"in a string nested", expr.Braces, `${{ "p_${{ stage.name }}" }}`, `p_deploy`},
		{"a choice", expr.Braces, `${{ stage.variables.yes ? "a" : secrets.get_jwt("b") }}`, `a`},
		{"an unknown root passes", expr.Braces, `${{ github.event["}}"].x > 3 }}`, `${{ github.event["}}"].x > 3 }}`},
		{"input passes", expr.Braces, `${{ input }}.default(${{ stage.name }})`, `${{ input }}.default(${{ stage.name }})`},
		{"getValue passes", expr.Braces, `${{ secrets.get_value("a") }}${{ secrets.getValue("a") }}`, `${{ secrets.get_value("a") }}${{ secrets.getValue("a") }}`},
		{"get_value passes in angle", expr.Angle, `<+secrets.get_value("a")>`, `<+secrets.get_value("a")>`},
		{"angle is text", expr.Braces, `<+stage.name> <+`, `<+stage.name> <+`},
		{"angle is text in a string", expr.Braces, `${{ "<+stage.name>" }}`, `<+stage.name>`},
		{"braces are text", expr.Angle, `${{ stage.name }} ${{`, `${{ stage.name }} ${{`},
		{"braces are text in a string", expr.Angle, `<+"${{ stage.name }}">`, `${{ stage.name }}`},
		{"braces are text by default", 0, `${{ secrets.getJWT("c") }}`, `${{ secrets.getJWT("c") }}`},
		{"a shell's braces", expr.Braces, `${x} ${{} ${ {x}} $${x}`, `${x} ${{} ${ {x}} $${x}`},
		{"both, side by side", both, `<+stage.name>${{ stage.name }}<+stage.name>`, `deploydeploydeploy`},
		{"braces in angle", both, `<+path.join(${{ stage.name }}, "${{ stage.name }}")>`, `join[deploy|deploy]`},
		{"angle in braces", both, `${{ path.join(<+stage.name>, "<+stage.name>") }}`, `join[deploy|deploy]`},
		{"each is closed by its own", both, `${{ path.join("a", <+stage.name>) }}>`, `join[a|deploy]>`},
		{"adjacent in an expression", both, `<+ ${{ stage.name }}<+stage.name> >`, `deploydeploy`},
		{"angle is not evaluated in braces that pass", both, `${{ github.x <+secrets.getJWT("c")> }}`, `${{ github.x <+secrets.getJWT("c")> }}`},
		{"braces are not evaluated in angle that passes", both, `<+vault.x(${{ secrets.get_jwt("c") }})>`, `<+vault.x(${{ secrets.get_jwt("c") }})>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			env := h.env()
			env.Delimiters = tt.delimiters
			got, err := expr.Expand(t.Context(), tt.text, env)
			if err != nil || got != tt.want {
				t.Errorf("Expand(%q) = %q, %v; want %q", tt.text, got, err, tt.want)
			}
			if err == nil && !strings.Contains(tt.want, "[") && h.calls != nil {
				t.Errorf("unexpected calls %q", h.calls)
			}
		})
	}
}

func TestBracesAtFault(t *testing.T) {
	t.Parallel()
	const both = expr.Angle | expr.Braces
	for _, tt := range []struct {
		name       string
		delimiters expr.Delimiters
		text       string
		column     int
		function   string
		reason     string
	}{
		{"not closed", expr.Braces, `a ${{ secrets.get_jwt("c") }`, 3, "secrets.get_jwt", "the expression that begins here is not closed"},
		{"not closed by the other's", both, `a ${{ secrets.get_jwt("c")>`, 3, "secrets.get_jwt", "the expression that begins here is not closed"},
		{"angle not closed by the other's", both, `<+stage.name }}`, 1, "stage.name", "the expression that begins here is not closed"},
		{"ordering", expr.Braces, `${{ stage.name > "a" }}`, 16, "stage.name", "there are no ordering operators"},
		{"a single brace", expr.Braces, `${{ stage.name } }}`, 16, "stage.name", `unexpected '}'`},
		{"unknown function in snake_case", expr.Braces, `${{ secrets.get_jwtt("c") }}`, 5, "secrets.get_jwtt", "unknown function; the nearest is secrets.get_jwt"},
		{"unknown function in camelCase", expr.Braces, `${{ secrets.getJWTT("c") }}`, 5, "secrets.getJWTT", "unknown function; the nearest is secrets.getJWT"},
		{"angle in braces that is not chosen", expr.Braces, `${{ path.join(<+stage.name>) }}`, 15, "path.join", "there are no ordering operators"},
		{"braces in angle that are not chosen", expr.Angle, `<+path.join(${{ stage.name }})>`, 14, "path.join", `unexpected '{'`},
		{"a secret", expr.Braces, `${{ path.join(secrets.get_jwt("c")) }}`, 15, "secrets.get_jwt", "the result is a secret"},
		{"a delimiter of nothing", expr.Braces, `${{ path.join(${{ }}) }}`, 15, "path.join", "${{ does not begin an expression here"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h host
			env := h.env()
			env.Delimiters = tt.delimiters
			got := mustFail(t, tt.text, env)
			wantError(t, expr.Error{Line: 1, Column: tt.column, Function: tt.function, Reason: tt.reason}, got)
			if h.calls != nil {
				t.Errorf("unexpected calls %q", h.calls)
			}
		})
	}
}

func TestParseForDelimiters(t *testing.T) {
	t.Parallel()
	var h host
	env := h.env()
	tmpl, err := expr.Braces.Parse("${{ stage.name }}")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tmpl.Expand(t.Context(), env); err == nil {
		t.Error("a Template for ${{ is expanded with an Env for <+")
	}
	if err := tmpl.Check(env); err == nil {
		t.Error("a Template for ${{ is checked with an Env for <+")
	}
	env.Delimiters = expr.Braces
	if got, err := tmpl.Expand(t.Context(), env); err != nil || got != "deploy" {
		t.Errorf("Expand = %q, %v", got, err)
	}
	for _, d := range []expr.Delimiters{0, expr.Angle} {
		tmpl, err := d.Parse("<+stage.name>")
		if err != nil {
			t.Fatal(err)
		}
		for _, other := range []expr.Delimiters{0, expr.Angle} {
			env.Delimiters = other
			if got, err := tmpl.Expand(t.Context(), env); err != nil || got != "deploy" {
				t.Errorf("Expand = %q, %v", got, err)
			}
		}
	}
	env.Delimiters = 4
	if _, err := env.Delimiters.Parse(""); err == nil {
		t.Error("unknown delimiters are parsed")
	}
	if _, err := expr.Expand(t.Context(), "", env); err == nil {
		t.Error("unknown delimiters are expanded")
	}
	if _, err := expr.Resolve(t.Context(), "", env, expr.NewPlanKey(), place...); err == nil {
		t.Error("unknown delimiters are resolved")
	}
}
