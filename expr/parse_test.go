package expr_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/expr"
)

// Each expression in the text is evaluated once, and no other function is called.
//
// E01
func TestExpand(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, text, want string
		calls            []string // nil means no calls
	}{
		{name: "empty", text: "", want: ""},
		{name: "no expression", text: "echo < a + b > c", want: "echo < a + b > c"},

		// Text and white space.
		{"alone", `<+secrets.getJWT("c")>`, "getJWT[c]", []string{"getJWT[c]"}},
		{"surrounded", `a <+secrets.getJWT("c")> b`, "a getJWT[c] b", []string{"getJWT[c]"}},
		{"adjacent", `<+stage.name><+stage.variables.tier>`, "deployprod", nil},
		{"adjacent inside", `<+<+stage.name> <+stage.variables.tier>>`, "deployprod", nil},
		{"white space", "<+ \t\r\n secrets . getJWT \n ( \"c\" , \"a\" ) >", "getJWT[c|a]", []string{"getJWT[c|a]"}},
		{"CRLF kept", "a\r\n<+stage.name>\r\nb\r\n", "a\r\ndeploy\r\nb\r\n", nil},
		{"comment", "# uses <+secrets.getJWT('c')>\ntrue", "# uses getJWT[c]\ntrue", []string{"getJWT[c]"}},
		{"invalid UTF-8 kept", "\xff\x00<+stage.name>\xfe", "\xff\x00deploy\xfe", nil},
		{"lone openers", "< + <- <=+ +> <", "< + <- <=+ +> <", nil},

		// Functions.
		{"optional argument", `<+secrets.getJWT("c", "https://x/>y")>`, "getJWT[c|https://x/>y]", []string{"getJWT[c|https://x/>y]"}},
		{"field", `<+secrets.getAWSCredentials("c").sessionToken>`, "getAWSCredentials[c].sessionToken", []string{"getAWSCredentials[c].sessionToken"}},
		{"field of an expression", `<+<+secrets.getAWSCredentials("c")> . accessKeyId>`, "getAWSCredentials[c].accessKeyId", []string{"getAWSCredentials[c].accessKeyId"}},
		{"no arguments", `<+path.join()>`, "join[]", []string{"join[]"}},
		{"empty argument", `<+path.join("")>`, "join[]", []string{"join[]"}},
		{"parentheses", `<+((path.join(("a"))))>`, "join[a]", []string{"join[a]"}},

		// Argument forms.
		{"double quotes", `<+path.join("id")>`, "join[id]", []string{"join[id]"}},
		{"single quotes", `<+path.join('id')>`, "join[id]", []string{"join[id]"}},
		{"JSON quotes", `{"k": "<+path.join(\"id\")>"}`, `{"k": "join[id]"}`, []string{"join[id]"}},
		{"expression", `<+path.join(<+stage.variables.conn>)>`, "join[account.gcp_prod]", []string{"join[account.gcp_prod]"}},
		{"quoted expression", `<+path.join("<+stage.variables.conn>")>`, "join[account.gcp_prod]", []string{"join[account.gcp_prod]"}},
		{"JSON-quoted expression", `<+path.join(\"<+stage.variables.conn>\")>`, "join[account.gcp_prod]", []string{"join[account.gcp_prod]"}},
		{"part of a string", `<+path.join('account.<+stage.variables.name>_x')>`, "join[account.gcp_prod_x]", []string{"join[account.gcp_prod_x]"}},
		{"plus", `<+path.join("p_" + <+stage.name>)>`, "join[p_deploy]", []string{"join[p_deploy]"}},
		{"plus without space", `<+path.join("p_"+<+stage.name>+'_s')>`, "join[p_deploy_s]", []string{"join[p_deploy_s]"}},
		{"concat", `<+path.join("p_".concat(<+stage.name>))>`, "join[p_deploy]", []string{"join[p_deploy]"}},
		{"concat of concat", `<+"a".concat("b").concat("c" + "d")>`, "abcd", nil},
		{"concat of a variable", `<+stage.name.concat("_x")>`, "deploy_x", nil},
		{"bare path", `<+path.join(stage.variables.conn)>`, "join[account.gcp_prod]", []string{"join[account.gcp_prod]"}},
		{"hyphen in a name", `<+stage.variables.my-conn>`, "hyphened", nil},
		{"the root itself", `<+stage>`, "the stage", nil},
		{"nested call", `<+path.join(<+path.join("in")>, "out")>`, "join[join[in]|out]", []string{"join[in]", "join[join[in]|out]"}},
		{"bare nested call", `<+path.join(path.join('in'))>`, "join[join[in]]", []string{"join[in]", "join[join[in]]"}},

		// Quotes and escapes.
		{"greater in quotes", `<+path.join(">", '>')>`, "join[>|>]", []string{"join[>|>]"}},
		{"other quotes in quotes", `<+path.join("it's", '"')>`, `join[it's|"]`, []string{`join[it's|"]`}},
		{"escaped quotes", `<+path.join("a\"b", 'a\'b', "\'")>`, `join[a"b|a'b|']`, []string{`join[a"b|a'b|']`}},
		{"escaped backslash", `<+path.join("a\\", '\\')>`, `join[a\|\]`, []string{`join[a\|\]`}},
		{"other backslashes", `<+path.join("C:\new \<+stage.name>")>`, `join[C:\new \deploy]`, []string{`join[C:\new \deploy]`}},
		{"escapes in JSON", `<+path.join(\"a\\\"b\\\\c\\d\\'e'f\")>`, `join[a"b\c\d'e'f]`, []string{`join[a"b\c\d'e'f]`}},
		{"JSON line feed kept", `<+path.join(\"a\nb\")>`, `join[a\nb]`, []string{`join[a\nb]`}},
		{"JSON in plain quotes", `<+path.join("\"")>`, `join["]`, []string{`join["]`}},
		{"greater in JSON quotes", `<+path.join(\">\")>`, "join[>]", []string{"join[>]"}},
		{"constant", `<+"a>b">`, "a>b", nil},
		{"empty string", `<+"">`, "", nil},

		// Choices and operators. Only the chosen branch is evaluated.
		{"first branch", `<+stage.variables.tier=="prod"?<+secrets.getJWT("a")>:<+secrets.getJWT("b")>>`, "getJWT[a]", []string{"getJWT[a]"}},
		{"second branch", `<+<+stage.variables.tier> != "prod" ? secrets.getJWT("a") : secrets.getJWT("b")>`, "getJWT[b]", []string{"getJWT[b]"}},
		{"last branch", `<+stage.name=="a"?"1":stage.name=="b"?"2":"3">`, "3", nil},
		{"choice in a branch", `<+true ? false ? "1" : "2" : "3">`, "2", nil},
		{"choice as an argument", `<+path.join(stage.variables.yes ? "y" : "n")>`, "join[y]", []string{"join[y]"}},
		{"not", `<+!stage.variables.yes ? "y" : "n">`, "n", nil},
		{"not not", `<+! !true>`, "true", nil},
		{"not of parentheses", `<+!(stage.name == "x") ? "y" : "n">`, "y", nil},
		{"comparison alone", `<+stage.name == 'deploy'> <+stage.name != 'deploy'>`, "true false", nil},
		{"and stops", `<+stage.variables.no && path.join("x") == "y" ? "y" : "n">`, "n", nil},
		{"or stops", `<+stage.variables.yes || path.join("x") == "y" ? "y" : "n">`, "y", nil},
		{"and goes on", `<+true && path.join("x") == "join[x]" && true>`, "true", []string{"join[x]"}},
		{"or goes on", `<+false || false || path.join("x") == "y">`, "false", []string{"join[x]"}},
		{"and binds before or", `<+true || false && false>`, "true", nil},
		{"equal binds before and", `<+"a" == "a" && "b" == "b">`, "true", nil},
		{"plus binds before equal", `<+"a" + "b" == "ab">`, "true", nil},
		{"not binds before equal", `<+!true == "false">`, "true", nil},
		{"parentheses bind first", `<+(true || false) && false>`, "false", nil},
		{"comparison of a comparison", `<+("a" == "b") == false>`, "true", nil},
		{"bytes are compared", `<+"A" == "a">`, "false", nil},

		// A result is never scanned again.
		{"result not scanned", `<+path.hostile()>`, `<+secrets.getJWT("x")>`, nil},
		{"variable not scanned", `<+stage.variables.hostile>`, `<+secrets.getJWT("stolen")>`, nil},
		{"argument not scanned", `<+path.join(stage.variables.hostile)>`, `join[<+secrets.getJWT("stolen")>]`, []string{`join[<+secrets.getJWT("stolen")>]`}},
		{"results make no expression", `<+"<"+"+">secrets.getJWT("c")>`, `<+secrets.getJWT("c")>`, nil},

		// Secrets may be placed.
		{"secret within secret's expression", `<+<+secrets.getJWT("c")>>`, "getJWT[c]", []string{"getJWT[c]"}},
		{"secret in a quoted string", `<+true ? "Bearer <+secrets.getJWT("c")>" : "">`, "Bearer getJWT[c]", []string{"getJWT[c]"}},
		{"secrets side by side", `<+<+secrets.getJWT("c")><+secrets.getJWT("d")>>`, "getJWT[c]getJWT[d]", []string{"getJWT[c]", "getJWT[d]"}},
		{"written twice, called twice", `<+secrets.getJWT("c")> <+secrets.getJWT("c")>`, "getJWT[c] getJWT[c]", []string{"getJWT[c]", "getJWT[c]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, calls, err := expand(t, tt.text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("Expand(%q) (-want +got):\n%s", tt.text, diff)
			}
			if diff := cmp.Diff(tt.calls, calls); diff != "" {
				t.Errorf("calls of %q (-want +got):\n%s", tt.text, diff)
			}
		})
	}
}

// Functions are called only for expressions in the text itself, in its order. Expressions in
// variables, results, arguments and branches that are not chosen are not called.
//
// E04
func TestOnlyTheTextCalls(t *testing.T) {
	t.Parallel()
	text := `
A=<+secrets.getJWT("a")>
B=<+stage.variables.hostile>
C=<+path.hostile()>
D=<+stage.variables.no ? secrets.getJWT("not") : secrets.getJWT("d")>
E=<+unknown.f(<+secrets.getJWT("not")>)>
F=<+secrets.getGCPAccessToken("f")>
`
	got, calls, err := expand(t, text)
	if err != nil {
		t.Fatal(err)
	}
	want := `
A=getJWT[a]
B=<+secrets.getJWT("stolen")>
C=<+secrets.getJWT("x")>
D=getJWT[d]
E=<+unknown.f(<+secrets.getJWT("not")>)>
F=getGCPAccessToken[f]
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Expand (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"getJWT[a]", "getJWT[d]", "getGCPAccessToken[f]"}, calls); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

// A template may be expanded many times and by several goroutines.
func TestTemplateIsReusable(t *testing.T) {
	t.Parallel()
	tmpl, err := expr.Parse(`<+secrets.getJWT(stage.name)> <+unknown.x>`)
	if err != nil {
		t.Fatal(err)
	}
	for range 4 {
		t.Run("", func(t *testing.T) {
			t.Parallel()
			var h host
			for range 2 {
				got, err := tmpl.Expand(t.Context(), h.env())
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(`getJWT[deploy] <+unknown.x>`, got); diff != "" {
					t.Errorf("Expand (-want +got):\n%s", diff)
				}
			}
		})
	}
}
