package tokenhttp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/tokenhttp"
)

// reason returns the text of an error of Kind Malformed; "" for nil.
func reason(t *testing.T, err error) string {
	t.Helper()
	if err == nil {
		return ""
	}
	var e *tokenhttp.Error
	if !errors.As(err, &e) || e.Kind != tokenhttp.Malformed || e.Temporary() {
		t.Errorf("%#v, want an *Error of Kind Malformed, not temporary", err)
	}
	return err.Error()
}

// X03: the form of a token, since it is put into headers, files and
// environments.
func TestCheckToken(t *testing.T) {
	const bytes = "the token has a byte that is not visible ASCII"
	for _, tt := range []struct{ name, token, want string }{
		{"JWT", newAssertion(), ""},
		{"all that is visible", visible(), ""},
		{"16 KiB", strings.Repeat("x", 16<<10), ""},
		{"empty", "", "the token is empty"},
		{"more than 16 KiB", strings.Repeat("x", 16<<10+1), "the token is longer than 16 KiB"},
		{"CR", "a\rb", bytes},
		{"LF at the end", "ab\n", bytes},
		{"NUL", "a\x00b", bytes},
		{"space", "a b", bytes},
		{"tab", "a\tb", bytes},
		{"DEL", "a\x7fb", bytes},
		{"not ASCII", "aéb", bytes},
		{"not UTF-8", "a\xffb", bytes},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := reason(t, tokenhttp.CheckToken(tt.token)); got != tt.want {
				t.Errorf("CheckToken = %q, want %q", got, tt.want)
			}
		})
	}
}

func visible() string {
	var b strings.Builder
	for c := byte('!'); c <= '~'; c++ {
		b.WriteByte(c)
	}
	return b.String()
}

// X04: expires_in is a whole number of seconds, in bounds, or an error.
func TestExpiresIn(t *testing.T) {
	const missing, shape, bounds = "expires_in is missing", "expires_in is not a whole number of seconds", "expires_in is not from 1 s to 24 h"
	for _, tt := range []struct {
		raw  string
		want time.Duration
		err  string
	}{
		{"1", time.Second, ""},
		{"3600", time.Hour, ""},
		{"86400", 24 * time.Hour, ""},
		{"", 0, missing},
		{"null", 0, shape},
		{`"3600"`, 0, shape},
		{"3600.0", 0, shape},
		{"36e2", 0, shape},
		{"-3600", 0, shape},
		{"-0", 0, shape},
		{"true", 0, shape},
		{"[3600]", 0, shape},
		{" 3600", 0, shape},
		{"0", 0, bounds},
		{"03600", 0, bounds},
		{"86401", 0, bounds},
		{"4294967297", 0, bounds},
		{"9223372036854775807", 0, bounds},
		{"18446744073709551617", 0, bounds},
		{strings.Repeat("9", 100_000), 0, bounds},
		{"1" + strings.Repeat("0", 30) + "e-30", 0, bounds},
	} {
		got, err := tokenhttp.ExpiresIn(json.RawMessage(tt.raw))
		if got != tt.want || reason(t, err) != tt.err {
			t.Errorf("ExpiresIn(%.40s) = %v, %v; want %v, %q", tt.raw, got, err, tt.want, tt.err)
		}
	}
}

type tokenAnswer struct {
	AccessToken string          `json:"access_token"`
	ExpiresIn   json.RawMessage `json:"expires_in"`
	Detail      struct {
		Codes []int `json:"codes"`
	} `json:"detail"`
}

func TestDecodeJSON(t *testing.T) {
	const notJSON, notObject, twice, large = "the answer is not JSON", "the answer is not a JSON object", "the answer has a member twice", "the answer has too many members, or too long ones"
	nested := func(n int) string {
		return `{"x":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}`
	}
	for _, tt := range []struct{ name, body, want string }{
		{"what was asked for", ` {"access_token":"a","expires_in":3600,"detail":{"codes":[1,2]}}` + "\n", ""},
		{"a name of an inner object", `{"x":{"a":1,"b":{"c":1}},"a":2,"b":3,"c":4}`, ""},
		{"unknown members", `{"access_token":"a","x":{"access_token":1},"y":[{"y":1},{"y":1}]}`, ""},
		{"empty object", `{}`, ""},
		{"32 levels", nested(31), ""},
		{"1024 members, long array", members(1023) + `,"x":[` + strings.Repeat("1,", 5000) + "1]}", ""},
		{"name of 256 bytes", `{"` + strings.Repeat("x", 256) + `":1}`, ""},
		{"brackets and quotes in strings", `{"a":"}]{[,:\"\\","b}":["\\"],"c,\"":{}}`, ""},
		{"nothing", "", notJSON},
		{"blanks", " \n", notJSON},
		{"HTML", "<html>", notJSON},
		{"half", `{"access_token":"a`, notJSON},
		{"more after it", `{"access_token":"a"}{}`, notJSON},
		{"comma at the end", `{"access_token":"a",}`, notJSON},
		{"not UTF-8", "{\"access_token\":\"\xff\"}", notJSON},
		{"byte order mark", "\ufeff{}", notJSON},
		{"NaN", `{"expires_in":NaN}`, notJSON},
		{"null", "null", notObject},
		{"array", `[{"access_token":"a"}]`, notObject},
		{"string", `"access_token"`, notObject},
		{"member twice", `{"access_token":"a","access_token":"b"}`, twice},
		{"member twice, escaped", `{"access_token":"a","\u0061ccess_token":"b"}`, twice},
		{"member twice, in another case", `{"access_token":"a","Access_Token":"b"}`, twice},
		{"member twice, with a Kelvin sign", `{"access_token":"a","access_to` + "\u212a" + `en":"b"}`, twice},
		{"member twice, further down", `{"x":[{"detail":{"a":1,"a":2}}]}`, twice},
		{"33 levels", nested(32), "the answer is nested too deeply"},
		{"100,000 levels", nested(100_000), notJSON}, // encoding/json's own limit
		{"9,000 levels", nested(9_000), "the answer is nested too deeply"},
		{"1025 members", members(1025) + "}", large},
		{"name of 257 bytes", `{"` + strings.Repeat("x", 257) + `":1}`, large},
		{"wrong type", `{"access_token":12345678901234567890}`, "the answer's access_token has the wrong type"},
		{"wrong type further down", `{"detail":{"codes":["hunter2hunter2"]}}`, "the answer's detail.codes has the wrong type"},
		{"object where a string belongs", `{"access_token":{"hunter2hunter2":1}}`, "the answer's access_token has the wrong type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var v tokenAnswer
			if got := reason(t, tokenhttp.DecodeJSON([]byte(tt.body), &v)); got != tt.want {
				t.Errorf("DecodeJSON = %q, want %q", got, tt.want)
			}
		})
	}
	var got tokenAnswer
	if err := tokenhttp.DecodeJSON([]byte(`{"access_token":"a\u00e9","expires_in":3600,"detail":{"codes":[1,2]}}`), &got); err != nil {
		t.Fatal(err)
	}
	want := tokenAnswer{AccessToken: "aé", ExpiresIn: json.RawMessage("3600")}
	want.Detail.Codes = []int{1, 2}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("DecodeJSON (-want +got):\n%s", diff)
	}
	var number int
	if got := reason(t, tokenhttp.DecodeJSON([]byte(`{}`), &number)); got != "the answer does not have the expected members" {
		t.Errorf("DecodeJSON into an int = %q", got)
	}
}

// ownDecoder decodes itself: encoding/json does not use the name of its field.
type ownDecoder struct{ Use string }

func (o *ownDecoder) UnmarshalJSON(text []byte) error {
	var members map[string]string
	err := json.Unmarshal(text, &members)
	o.Use = members["use"]
	return err
}

// A member belongs to a field only if the names are equal byte for byte, on every
// level. encoding/json alone would also take the others.
func TestDecodeJSONExactNames(t *testing.T) {
	type inner struct {
		Code string `json:"code"`
	}
	type embedded struct {
		Kind string `json:"kind"`
	}
	type value struct {
		Value string `json:"value"`
	}
	type answer struct {
		embedded
		AccessToken string            `json:"access_token,omitempty"`
		Detail      *inner            `json:"detail"`
		List        []inner           `json:"list"`
		ByName      map[string]*value `json:"by_name"`
		Own         ownDecoder        `json:"own"`
		Untagged    string
		Raw         json.RawMessage `json:"raw"`
		Number      json.Number     `json:"number"`
	}
	for _, tt := range []struct {
		name, body string
		want       answer
	}{
		{"exact", `{"access_token":"a","detail":{"code":"b"},"list":[{"code":"c"}],"kind":"k","Untagged":"u","raw":{"Code":1},"number":7}`,
			answer{embedded{"k"}, "a", &inner{"b"}, []inner{{"c"}}, nil, ownDecoder{}, "u", json.RawMessage(`{"????":1}`), "7"}},
		{"escaped", `{"\u0061ccess\u005ftoken":"a"}`, answer{AccessToken: "a"}},
		{"upper case", `{"ACCESS_TOKEN":"a"}`, answer{}},
		{"title case", `{"Access_token":"a"}`, answer{}},
		{"long s", `{"acce\u017fs_token":"a"}`, answer{}},
		{"long s, as it is", `{"accesſ_token":"a"}`, answer{}},
		{"Kelvin sign", `{"access_to\u212aen":"a"}`, answer{}},
		{"field's own name", `{"AccessToken":"a"}`, answer{}},
		{"in an object", `{"detail":{"Code":"b"}}`, answer{Detail: &inner{}}},
		{"in a list", `{"list":[{"code":"b"},{"CODE":"c"}]}`, answer{List: []inner{{"b"}, {}}}},
		{"in a map", `{"by_name":{"x":{"Value":"b"}}}`, answer{ByName: map[string]*value{"x": {}}}},
		{"of what decodes itself", `{"own":{"use":"sig"}}`, answer{Own: ownDecoder{"sig"}}},
		{"embedded", `{"Kind":"k"}`, answer{}},
		{"untagged", `{"untagged":"u"}`, answer{}},
		{"wrong type under another name", `{"ACCESS_TOKEN":7,"access_token2":1}`, answer{}},
		{"the object itself", `{"Detail":{"code":"b"}}`, answer{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			body := []byte(tt.body)
			var got answer
			if err := tokenhttp.DecodeJSON(body, &got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(answer{})); diff != "" {
				t.Errorf("DecodeJSON (-want +got):\n%s", diff)
			}
			if string(body) != tt.body {
				t.Errorf("DecodeJSON changed the text to %s", body)
			}
		})
	}
}

// members returns the beginning of an object of n members in all.
func members(n int) string {
	var b strings.Builder
	b.WriteString(`{"a0":1`)
	for i := 1; i < n; i++ {
		fmt.Fprintf(&b, `,"a%d":1`, i)
	}
	return b.String()
}

// X08: a hostile answer costs little beyond its own size.
func TestDecodeJSONAllocates(t *testing.T) {
	const size = 256 << 10
	list := func(element string) string {
		return `{"x":[` + strings.Repeat(element, size/len(element)) + `1]}`
	}
	for name, body := range map[string]string{
		"empty arrays": list("[],"), "empty objects": list("{},"), "numbers": list("1,"), "strings": list(`"",`), "objects": list(`{"a":1},`),
		"members": members(20_000) + "}", "one long string": `{"x":"` + strings.Repeat("x", size) + `"}`, "one long name": `{"` + strings.Repeat("x", size) + `":1}`,
		"names in another case": `{"x":[` + strings.Repeat(`{"ACCESS_TOKEN":1},`, 1000) + strings.Repeat("1,", size/2) + `1]}`,
		"a long token":          `{"access_token":"` + strings.Repeat("x", size) + `"}`,
	} {
		text := []byte(body)
		var v tokenAnswer
		before := totalAlloc()
		err := tokenhttp.DecodeJSON(text, &v)
		if used := totalAlloc() - before; used > 512<<10 {
			t.Errorf("%s: DecodeJSON = %v, %d KiB allocated, want at most 512", name, err, used>>10)
		}
	}
}

func FuzzExpiresIn(f *testing.F) {
	for _, s := range []string{"", "0", "3600", "86401", "-1", "1e3", `"1"`, "18446744073709551617", "null"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got, err := tokenhttp.ExpiresIn(json.RawMessage(raw))
		if (err == nil) != (got >= time.Second && got <= 24*time.Hour) {
			t.Fatalf("ExpiresIn(%q) = %v, %v", raw, got, err)
		}
		// Each accepted value has one spelling only.
		if err == nil && fmt.Sprint(int64(got/time.Second)) != raw {
			t.Fatalf("ExpiresIn(%q) = %v", raw, got)
		}
	})
}

func FuzzDecodeJSON(f *testing.F) {
	for _, s := range []string{"", "{}", `{"access_token":"a","expires_in":1}`, `{"a":1,"A":2}`, `{"a":[{"b":{}}]}`, "[[[", `{"detail":{"codes":[1,"x"]}}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var v tokenAnswer
		err := tokenhttp.DecodeJSON(body, &v)
		reason(t, err)
		if err != nil {
			return
		}
		// No name but the exact one counts.
		var exact map[string]json.RawMessage
		if json.Unmarshal(body, &exact) == nil && exact["access_token"] == nil && v.AccessToken != "" {
			t.Fatalf("DecodeJSON takes another name for access_token: %q", body)
		}
		// encoding/json accepts the object, too, and finds the same token: there is
		// no second one to choose from.
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil || members == nil {
			t.Fatalf("DecodeJSON accepts %q: %v", body, err)
		}
		found := 0
		for name := range members {
			if strings.EqualFold(name, "access_token") {
				found++
			}
		}
		if found > 1 {
			t.Fatalf("DecodeJSON accepts %d tokens: %q", found, body)
		}
	})
}
