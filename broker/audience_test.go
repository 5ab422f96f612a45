package broker_test

import (
	"bufio"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/oidctoken/oidctoken/broker"
)

const (
	vaultAudience = "https://vault.example.com" // the connector's default audience
	otherAudience = "https://other.example.com"
)

// send sends a raw request to the endpoint. It adds the Host, and the Authorization if the
// request has no such header.
func send(t *testing.T, endpoint http.Handler, head, body string) reply {
	t.Helper()
	text := strings.ReplaceAll(head, "\n", "\r\n") + "\r\nHost: 127.0.0.1:1\r\n"
	if !strings.Contains(head, "Authorization:") {
		text += "Authorization: Bearer SECRET\r\n"
	}
	r, err := http.ReadRequest(bufio.NewReader(strings.NewReader(text + "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	r = r.WithContext(t.Context())
	if body != "" {
		r.Body = io.NopCloser(strings.NewReader(body))
	}
	w := httptest.NewRecorder()
	endpoint.ServeHTTP(w, r)
	got := reply{Status: w.Code}
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	return got
}

// A request that names an audience gets a token for that audience or an error. It never gets
// one for the default audience.
func TestRequestedAudience(t *testing.T) {
	const form = "\nContent-Type: application/x-www-form-urlencoded"
	const other = "https%3A%2F%2Fother.example.com"
	const refused = ""
	endpoint := newEndpoint(t)
	for _, tt := range []struct{ name, head, body, want string }{
		{"no audience", "GET /token HTTP/1.1", "", vaultAudience},
		{"no audience, GitHub's URL", "GET /token?v=1 HTTP/1.1", "", vaultAudience},
		{"no audience, POST", "POST /token HTTP/1.1", "", vaultAudience},
		{"no audience, POST of an empty object", "POST /token HTTP/1.1", "{}", vaultAudience},
		{"no audience, POST of white space", "POST /token HTTP/1.1", "\n", vaultAudience},
		{"no audience, unknown parameters", "GET /token?api-version=7.1&x&_=1&audit=1&audio=2&user=claude HTTP/1.1", "", vaultAudience},
		{"no audience, escaped values", "GET /token?x=100%2525&y=%252541 HTTP/1.1", "", vaultAudience},
		{"no audience, an unknown form", "POST /token HTTP/1.1" + form, "grant_type=x", vaultAudience},
		{"no audience, empty parameters", "GET /token?&& HTTP/1.1", "", vaultAudience},
		{"no audience, usual headers", "GET /token HTTP/1.1\nAccept: */*\nX-Amz-Target: x\nX-Audit: 1", "", vaultAudience},

		{"appended with &", "GET /token?v=1&audience=" + other + " HTTP/1.1", "", otherAudience},
		{"appended with ?", "GET /token?v=1?audience=" + other + " HTTP/1.1", "", otherAudience},
		{"appended with ?, and more", "GET /token?v=1?x=1&audience=" + other + " HTTP/1.1", "", otherAudience},
		{"not escaped", "GET /token?audience=" + otherAudience + " HTTP/1.1", "", otherAudience},
		{"escaped name", "GET /token?%61udience=" + other + " HTTP/1.1", "", otherAudience},
		{"first", "GET /token?audience=" + other + "&api-version=2 HTTP/1.1", "", otherAudience},
		{"twice the same", "GET /token?audience=" + other + "&audience=" + other + " HTTP/1.1", "", otherAudience},
		{"in the query of a POST", "POST /token?audience=" + other + " HTTP/1.1", "{}", otherAudience},
		{"in the query of a POST without a body", "POST /token?v=1&audience=" + other + " HTTP/1.1", "", otherAudience},
		{"JSON", "POST /token HTTP/1.1\nContent-Type: application/json", `{"audience":"` + otherAudience + `"}`, otherAudience},
		{"JSON, curl -d", "POST /token HTTP/1.1" + form, ` {"audience":"` + otherAudience + `"}`, otherAudience},
		{"JSON, escaped name", "POST /token HTTP/1.1", `{"\u0061udience":"` + otherAudience + `"}`, otherAudience},
		{"JSON of a GET", "GET /token HTTP/1.1", `{"audience":"` + otherAudience + `"}`, otherAudience},
		{"JSON and query, the same", "POST /token?audience=" + other + " HTTP/1.1", `{"audience":"` + otherAudience + `"}`, otherAudience},
		{"form", "POST /token HTTP/1.1" + form, "audience=" + other, otherAudience},
		{"form, charset", "POST /token HTTP/1.1" + form + "; charset=utf-8", "x=1&audience=" + other, otherAudience},

		{"empty", "GET /token?audience= HTTP/1.1", "", refused},
		{"no value", "GET /token?audience HTTP/1.1", "", refused},
		{"empty, before another", "GET /token?audience=&audience=" + other + " HTTP/1.1", "", refused},
		{"two", "GET /token?audience=" + other + "&audience=x HTTP/1.1", "", refused},
		{"two, the second the default", "GET /token?audience=" + other + "&audience=" + vaultAudience + " HTTP/1.1", "", refused},
		{"query and JSON differ", "POST /token?audience=" + other + " HTTP/1.1", `{"audience":"` + vaultAudience + `"}`, refused},
		{"query and form differ", "POST /token?audience=" + other + " HTTP/1.1" + form, "audience=" + vaultAudience, refused},
		{"capital", "GET /token?Audience=" + other + " HTTP/1.1", "", refused},
		{"capitals, escaped", "GET /token?%41UDIENCE=" + other + " HTTP/1.1", "", refused},
		{"aud", "GET /token?aud=" + other + " HTTP/1.1", "", refused},
		{"audiences", "GET /token?audiences=" + other + " HTTP/1.1", "", refused},
		{"a list", "GET /token?audience[]=" + other + " HTTP/1.1", "", refused},
		{"a list of aud", "GET /token?aud%5B0%5D=" + other + " HTTP/1.1", "", refused},
		{"target_audience", "GET /token?target_audience=" + other + " HTTP/1.1", "", refused},
		{"tokenAud", "GET /token?tokenAud=" + other + " HTTP/1.1", "", refused},
		{"misspelled", "GET /token?audiance=" + other + " HTTP/1.1", "", refused},
		{"resource", "GET /token?resource=" + other + " HTTP/1.1", "", refused},
		{"targets", "GET /token?targets=" + other + " HTTP/1.1", "", refused},
		{"scope", "GET /token?scope=" + other + "/.default HTTP/1.1", "", refused},
		{"escaped twice", "GET /token?%2561udience=" + other + " HTTP/1.1", "", refused},
		{"a space before it", "GET /token?v=1&+audience=" + other + " HTTP/1.1", "", refused},
		{"another alphabet", "GET /token?%D0%B0udience=" + other + " HTTP/1.1", "", refused},
		{"HTML", "GET /token?v=1&amp;audience=" + other + " HTTP/1.1", "", refused},
		{"a semicolon before it", "GET /token?v=1;audience=" + other + " HTTP/1.1", "", refused},
		{"a semicolon after it", "GET /token?audience=" + other + ";v=1 HTTP/1.1", "", refused},
		{"appended with ? to another query", "GET /token?v=2?audience=" + other + " HTTP/1.1", "", refused},
		{"appended with ? and aud", "GET /token?v=1?aud=" + other + " HTTP/1.1", "", refused},
		{"an escaped &", "GET /token?v=1%26audience=" + other + " HTTP/1.1", "", refused},
		{"escaped as a whole", "GET /token?v=1%26audience%3D" + other + " HTTP/1.1", "", refused},
		{"escaped twice in a value", "GET /token?v=1%2526%2561ud%253D" + other + " HTTP/1.1", "", refused},
		{"escaped ten times in a value", "GET /token?v=%2525252525252525252561ud%253D" + other + " HTTP/1.1", "", refused},
		{"JSON in a parameter", "GET /token?q=%7B%22audience%22%3A%22x%22%7D HTTP/1.1", "", refused},
		{"bad escape of a value", "GET /token?x=%zz HTTP/1.1", "", refused},
		{"bad escape of a name", "GET /token?%zz=x HTTP/1.1", "", refused},
		{"in a header", "GET /token HTTP/1.1\nAudience: " + otherAudience, "", refused},
		{"in a header with a prefix", "GET /token HTTP/1.1\nX-Token-Aud: " + otherAudience, "", refused},
		{"JSON, capital", "POST /token HTTP/1.1", `{"Audience":"` + otherAudience + `"}`, refused},
		{"JSON, aud", "POST /token HTTP/1.1", `{"aud":"` + otherAudience + `"}`, refused},
		{"JSON, another member", "POST /token HTTP/1.1", `{"audience":"` + otherAudience + `","extra":"1"}`, refused},
		{"JSON, another member alone", "POST /token HTTP/1.1", `{"extra":"1"}`, refused},
		{"JSON, an empty name", "POST /token HTTP/1.1", `{"":""}`, refused},
		{"JSON, a number beside it", "POST /token HTTP/1.1", `{"audience":"` + otherAudience + `","extra":1}`, refused},
		{"JSON, twice", "POST /token HTTP/1.1", `{"audience":"` + otherAudience + `","audience":"` + otherAudience + `"}`, refused},
		{"JSON, nested", "POST /token HTTP/1.1", `{"spec":{"audiences":["` + otherAudience + `"]}}`, refused},
		{"JSON, a list", "POST /token HTTP/1.1", `{"audience":["` + otherAudience + `"]}`, refused},
		{"JSON, null", "POST /token HTTP/1.1", `{"audience":null}`, refused},
		{"JSON, empty", "POST /token HTTP/1.1", `{"audience":""}`, refused},
		{"JSON, null and no object", "POST /token HTTP/1.1", "null", refused},
		{"JSON, an array", "POST /token HTTP/1.1", `["` + otherAudience + `"]`, refused},
		{"JSON, a string", "POST /token HTTP/1.1", `"` + otherAudience + `"`, refused},
		{"JSON, more after it", "POST /token HTTP/1.1", `{}{"audience":"` + otherAudience + `"}`, refused},
		{"JSON, escaped for a form", "POST /token HTTP/1.1" + form, "%7B%22audience%22%3A%22x%22%7D", refused},
		{"JSON, UTF-16", "POST /token HTTP/1.1", "{\x00\"\x00", refused},
		{"compressed", "POST /token HTTP/1.1\nContent-Encoding: gzip" + form, "x=1", refused},
		{"a form in UTF-16", "POST /token HTTP/1.1" + form + "; charset=utf-16", "a\x00u\x00d\x00=\x00x\x00", refused},
		{"a form without its type", "POST /token HTTP/1.1", "audience=" + other, refused},
		{"plain text", "POST /token HTTP/1.1\nContent-Type: text/plain", otherAudience, refused},
		{"several parts", "POST /token HTTP/1.1\nContent-Type: multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"audience\"\r\n\r\nx\r\n--b--", refused},
		{"too long", "POST /token HTTP/1.1", strings.Repeat(" ", 4096) + `{"audience":"` + otherAudience + `"}`, refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := send(t, endpoint, tt.head, tt.body)
			switch {
			case tt.want == refused:
				if got.Status != 400 || got.Code != "invalid_request" {
					t.Errorf("got %d %s %s, want 400 invalid_request", got.Status, got.Code, audienceOf(got))
				}
			case audienceOf(got) != tt.want:
				t.Errorf("got %d %s, and a token for %q, want %q", got.Status, got.Message, audienceOf(got), tt.want)
			}
		})
	}
}

func audienceOf(got reply) string {
	if got.Value == "" {
		return ""
	}
	return payload(got.Value)["aud"].(string)
}

// newEndpoint returns an endpoint with one connector that allows two audiences.
func newEndpoint(t *testing.T) http.Handler {
	t.Helper()
	step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
	endpoint, err := step.Endpoint(t.Context(), "account.vault")
	if err != nil {
		t.Fatal(err)
	}
	return endpoint
}

// A body at the limit is accepted, and a longer one refused.
func TestRequestBodyBound(t *testing.T) {
	endpoint := newEndpoint(t)
	body := `{"audience":"` + otherAudience + `"}`
	for size, want := range map[int]int{4096: 200, 4097: 400} {
		padded := body + strings.Repeat(" ", size-len(body))
		if got := send(t, endpoint, "POST /token HTTP/1.1", padded); got.Status != want {
			t.Errorf("%d bytes: got %d, want %d", size, got.Status, want)
		}
	}
}

// The scheme of the Authorization ignores case (RFC 9110, section 11.1). The secret does not.
func TestAuthorization(t *testing.T) {
	endpoint := newEndpoint(t)
	for _, tt := range []struct {
		name, headers string
		want          int
	}{
		{"as documented", "Authorization: Bearer SECRET", 200},
		{"lower case", "Authorization: bearer SECRET", 200},
		{"upper case", "Authorization: BEARER SECRET", 200},
		{"several spaces", "Authorization: bearer   SECRET  ", 200},
		{"secret in lower case", "Authorization: Bearer secret", 401},
		{"secret in mixed case", "Authorization: Bearer SECREt", 401},
		{"part of the secret", "Authorization: Bearer SECRE", 401},
		{"more than the secret", "Authorization: Bearer SECRETS", 401},
		{"more after it", "Authorization: Bearer SECRET x", 401},
		{"no scheme", "Authorization: SECRET", 401},
		{"no space", "Authorization: BearerSECRET", 401},
		{"a tab", "Authorization: Bearer\tSECRET", 401},
		{"another scheme", "Authorization: token SECRET", 401},
		{"a longer scheme", "Authorization: Bearers SECRET", 401},
		{"no secret", "Authorization: Bearer", 401},
		{"empty", "Authorization:", 401},
		{"twice", "Authorization: Bearer SECRET\nAuthorization: Bearer SECRET", 401},
		{"another one after it", "Authorization: Bearer SECRET\nAuthorization: Bearer x", 401},
		{"another one before it", "Authorization: Bearer x\nAuthorization: Bearer SECRET", 401},
		{"in a list", "Authorization: Bearer x, Bearer SECRET", 401},
		{"for a proxy", "Proxy-Authorization: Bearer SECRET", 401},
	} {
		t.Run(tt.name, func(t *testing.T) {
			head := "GET /token HTTP/1.1\n" + tt.headers
			if got := send(t, endpoint, head, ""); got.Status != tt.want {
				t.Errorf("got %d, want %d", got.Status, tt.want)
			}
		})
	}
}

// A connector has one audience for its credentials. So the endpoint refuses a request for
// credentials that names an audience.
func TestCredentialsHaveNoAudience(t *testing.T) {
	step := newStep(t, start(t, endpointConfig(t, new(audits))), scope("payments", "ledger"))
	endpoint, err := step.Endpoint(t.Context(), "account.aws_prod")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		target, body string
		want         int
	}{
		{"/credentials", "", 200},
		{"/credentials?x=1", "", 200},
		{"/credentials?audience=https://aws.example.com", "", 400},
		{"/credentials?Audience=x", "", 400},
		{"/credentials", `{"audience":"x"}`, 400},
	} {
		if got := send(t, endpoint, "GET "+tt.target+" HTTP/1.1", tt.body); got.Status != tt.want {
			t.Errorf("%s %s: got %d, want %d", tt.target, tt.body, got.Status, tt.want)
		}
	}
}

// If any part of a request names an audience, the response is for that audience, or an error.
func FuzzParseAudience(f *testing.F) {
	for _, seed := range [][3]string{
		{"v=1", "", ""},
		{"v=1?audience=A", "", ""},
		{"v=1&AUD=A;x", "application/x-www-form-urlencoded", "audience=A"},
		{"%61udience=A%3Fb&audience=A?b", "", `{"audience":"A"}`},
		{"", "application/json", `{"Audience":{"aud":["A"]}}`},
		{"x=%2526audience%253DA", "", "{}"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, query, contentType, body string) {
		got, err := broker.ParseAudience(query, http.Header{"Content-Type": {contentType}}, []byte(body))
		if err != nil {
			if got != "" {
				t.Errorf("%q beside the error %v", got, err)
			}
			return
		}
		names := make(map[string]bool) // values of parameters and members named audience or aud
		collect(names, query)
		var document any
		switch {
		case json.Unmarshal([]byte(body), &document) == nil:
			collectJSON(names, document)
		case strings.HasPrefix(contentType, "application/x-www-form-urlencoded"):
			collect(names, strings.TrimSpace(body))
		}
		if len(names) == 0 != (got == "") || got != "" && !names[got] {
			t.Errorf("got %q; the request names %v", got, names)
		}
	})
}

// collect finds names in a query, with every separator.
func collect(names map[string]bool, text string) {
	for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune("&;", r) }) {
		name, value, _ := strings.Cut(part, "=")
		if before, after, found := strings.Cut(name, "?"); found && before != "" {
			name = after
		} else if _, rest, found := strings.Cut(value, "?"); found && isAudience(rest[:max(0, strings.IndexByte(rest, '='))]) && !isAudience(name) {
			name, value, _ = strings.Cut(rest, "=")
		}
		if isAudience(name) {
			decoded, _ := url.QueryUnescape(value) // ParseAudience refuses a value with an invalid escape
			names[decoded] = true
		}
	}
}

func collectJSON(names map[string]bool, document any) {
	switch document := document.(type) {
	case map[string]any:
		for name, value := range document {
			if isAudience(name) {
				text, _ := value.(string) // values of other types are refused
				names[text] = true
			}
			collectJSON(names, value)
		}
	case []any:
		for _, value := range document {
			collectJSON(names, value)
		}
	}
}

func isAudience(name string) bool {
	decoded, err := url.QueryUnescape(name)
	return err == nil && (strings.EqualFold(decoded, "audience") || strings.EqualFold(decoded, "aud"))
}
