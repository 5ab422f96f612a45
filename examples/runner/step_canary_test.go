package main_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// canaryOut makes the test binary act as a step's command: it prints every
// secret of the step, and writes a list of them to the directory of that name.
const canaryOut = "CANARY_OUT"

// Before TestMain, which would build the runner again.
func init() {
	if dir := os.Getenv(canaryOut); dir != "" {
		if err := printCanaries(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
}

// printCanaries prints all secrets of a step. It writes text in pieces of any
// size, to either stream in turn.
func printCanaries(dir string) error {
	canaries, err := collectCanaries()
	if err != nil {
		return err
	}
	b, err := json.Marshal(canaries)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "canaries"), b, 0o600); err != nil {
		return err
	}
	r := rand.New(rand.NewPCG(1, 2))
	rest := [2]string{}
	for i, pieces := range noisyOutput(canaries) {
		var b strings.Builder
		for _, p := range pieces {
			b.WriteString(p.text)
		}
		rest[i] = b.String()
	}
	for rest[0] != "" || rest[1] != "" {
		i := r.IntN(2)
		most := []int{3, 200, 5000}[r.IntN(3)]
		n := min(len(rest[i]), 1+r.IntN(most))
		if _, err := [2]*os.File{os.Stdout, os.Stderr}[i].WriteString(rest[i][:n]); err != nil {
			return err
		}
		rest[i] = rest[i][n:]
	}
	return nil
}

// collectCanaries returns the secrets of the step: from expressions, and from
// the endpoint of the delivered connector, whose bearer is a secret, too.
func collectCanaries() ([]string, error) {
	var canaries []string
	for _, v := range os.Environ() {
		if name, value, _ := strings.Cut(v, "="); strings.HasPrefix(name, "CANARY_") && name != canaryOut {
			canaries = append(canaries, value)
		}
	}
	bearer := os.Getenv("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
	request, err := http.NewRequest("GET", os.Getenv("ACTIONS_ID_TOKEN_REQUEST_URL")+"&audience=https://endpoint.example.com", nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+bearer)
	client := &http.Client{Timeout: 30 * time.Second}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var token struct{ Value string }
	if err := json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&token); err != nil {
		return nil, err
	}
	return append(canaries, bearer, token.Value), nil
}

// piece is a piece of a stream: ordinary text, or else a form of a canary.
type piece struct {
	text    string
	form    string // its name; empty for ordinary text
	canary  int
	segment bool // it is a segment of a JWT
}

// noisyOutput returns the output of the step to stdout and stderr: each form of
// each canary, within some megabytes of ordinary text.
func noisyOutput(canaries []string) (streams [2][]piece) {
	r := rand.New(rand.NewPCG(3, 4))
	for i, canary := range canaries {
		forms := formsOf(canary, false)
		if jwt := strings.Split(canary, "."); len(jwt) == 3 {
			forms = append(forms, formsOf(jwt[1], true)...)
			forms = append(forms, formsOf(jwt[2], true)...)
		}
		for k, p := range forms {
			s := &streams[(i+k)%2]
			p.canary = i
			*s = append(*s, piece{text: ordinaryText(r) + fmt.Sprintf("value %d, %s:\n", i, p.form)}, p, piece{text: "\n" + endOfForm})
		}
	}
	return streams
}

const endOfForm = "(end of the value)\n"

// ordinaryText is lines that builds print, some of which look much like secrets.
func ordinaryText(r *rand.Rand) string {
	var b strings.Builder
	random := make([]byte, 57)
	for range r.IntN(30) {
		for i := range random {
			random[i] = byte(r.Uint32())
		}
		switch r.IntN(5) {
		case 0:
			fmt.Fprintf(&b, "2026-01-02T15:04:05.%06dZ INFO fetched https://repo.example.com/commons-%d.jar?x=%%2F%d (%d kB)\n", r.IntN(1e6), r.IntN(20), r.IntN(9), r.IntN(5000))
		case 1:
			fmt.Fprintf(&b, "sha256:%x: pull complete\r\n", random[:32])
		case 2:
			fmt.Fprintf(&b, "%s\n", base64.StdEncoding.EncodeToString(random)) // a line of a wrapped file
		case 3:
			fmt.Fprintf(&b, `{"level":"info","id":"%x-%x","msg":"it's \"done\"\n"}`+"\n", random[:4], random[4:6])
		case 4:
			fmt.Fprintf(&b, "The quick brown fox (%d) isn't *** yet.\n", r.IntN(100))
		}
	}
	return b.String()
}

// formsOf returns a secret as programs print it. It shares nothing with the masks.
func formsOf(secret string, segment bool) []piece {
	var all []piece
	add := func(form, text string) { all = append(all, piece{form: form, text: text, segment: segment}) }
	lower := regexp.MustCompile(`%[0-9A-F]{2}`)
	var plain bytes.Buffer
	encoder := json.NewEncoder(&plain)
	encoder.SetEscapeHTML(false)
	quoted, err := json.Marshal(secret)
	if err == nil {
		err = encoder.Encode(secret)
	}
	if err != nil {
		panic(err) // of a string
	}
	add("exact", secret)
	add("JSON", strings.Trim(string(quoted), `"`))
	add("JSON without HTML", strings.Trim(strings.TrimSpace(plain.String()), `"`))
	add("query", url.QueryEscape(secret))
	add("query, lower case", lower.ReplaceAllStringFunc(url.QueryEscape(secret), strings.ToLower))
	add("path", url.PathEscape(secret))
	add("single quotes", strings.ReplaceAll(secret, `'`, `'\''`))
	add("backslashes", regexp.MustCompile(`[^A-Za-z0-9_./:@%+=,-]`).ReplaceAllString(secret, `\$0`))
	add("hexadecimal", hex.EncodeToString([]byte(secret)))
	add("hexadecimal, upper case", strings.ToUpper(hex.EncodeToString([]byte(secret))))
	add("hexadecimal, lines of 60", lines(hex.EncodeToString([]byte(secret)), 60, "\n"))
	for offset := range 3 {
		before := []byte("xy"[:offset])
		for name, encoding := range map[string]*base64.Encoding{
			"base64": base64.StdEncoding, "base64 without padding": base64.RawStdEncoding,
			"base64url": base64.URLEncoding, "base64url without padding": base64.RawURLEncoding,
		} {
			encoded := encoding.EncodeToString(append(before, secret...))
			add(fmt.Sprintf("%s, offset %d", name, offset), encoded)
			for _, width := range []int{64, 76} {
				add(fmt.Sprintf("%s, offset %d, lines of %d", name, offset, width), lines(encoded, width, "\n"))
			}
			add(fmt.Sprintf("%s, offset %d, MIME", name, offset), lines(encoded, 76, "\r\n"))
		}
	}
	slices.SortFunc(all, func(a, b piece) int { return strings.Compare(a.form, b.form) }) // from the map
	return all
}

func lines(s string, width int, end string) string {
	var b strings.Builder
	for ; len(s) > width; s = s[width:] {
		b.WriteString(s[:width] + end)
	}
	return b.String() + s
}

// canaryFile returns a pipeline whose one step is given forty secrets and more: tokens
// of twelve connectors for two audiences each, credentials of ten connectors of
// three clouds, and an endpoint.
func canaryFile(program, out string) string {
	var connectors, env strings.Builder
	n := 0
	give := func(format string, args ...any) {
		fmt.Fprintf(&env, "      CANARY_%02d: '<+secrets."+format+">'\n", append([]any{n}, args...)...)
		n++
	}
	for i := range 12 {
		fmt.Fprintf(&connectors, "- {id: jwt%d, oidc: {audiences: ['https://a%[1]d.example.com', 'https://b%[1]d.example.com']}}\n", i)
		give(`getJWT("jwt%d")`, i)
		give(`getJWT("jwt%d", "https://b%[2]d.example.com")`, i)
	}
	for i := range 4 {
		fmt.Fprintf(&connectors, "- {id: account.gcp%d, gcp: {provider: projects/%[1]d23/locations/global/workloadIdentityPools/ci/providers/acme}}\n", i+1)
		give(`getGCPAccessToken("account.gcp%d")`, i+1)
	}
	for i := range 3 {
		fmt.Fprintf(&connectors, "- {id: org.aws%d, aws: {roleARN: 'arn:aws:iam::12345678901%[1]d:role/deployer', region: eu-west-1}}\n", i)
		for _, field := range []string{"accessKeyId", "secretAccessKey", "sessionToken"} {
			give(`getAWSCredentials("org.aws%d").%s`, i, field)
		}
		fmt.Fprintf(&connectors, "- {id: account.azure%d, azure: {tenantID: 00000000-0000-0000-0000-00000000000%[1]d, clientID: 11111111-1111-1111-1111-11111111111%[1]d, scope: 'https://vault.azure.net/.default'}}\n", i)
		give(`getAzureAccessToken("account.azure%d")`, i)
	}
	connectors.WriteString("- {id: endpoint, oidc: {audiences: ['https://endpoint.example.com']}}\n")
	return "account: acme\norganization: payments\nproject: ledger\nconnectors:\n" + connectors.String() +
		"stages:\n- id: build\n  type: CI\n  steps:\n  - id: print\n    connectors: [endpoint]\n    run: '\"$PROGRAM\"'\n    env:\n" +
		"      PROGRAM: '" + program + "'\n      " + canaryOut + ": '" + out + "'\n" + env.String()
}

// masked matches the rest of a masked form: at either end, the bytes that a
// secret's encoding shares with its neighbours.
var masked = regexp.MustCompile(`\A[A-Za-z0-9+/_-]{0,3}\*\*\*[A-Za-z0-9+/_-]{0,1}={0,2}\z`)

// D06 D07: a step prints all of its secrets, in every form, among megabytes of
// ordinary text. The output has all of the text and no part of the secrets.
func TestCanaries(t *testing.T) {
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := t.TempDir()
	r := finish(t, start(t, writeFile(t, canaryFile(program, out))))
	if r.code != 0 {
		t.Fatalf("exit code %d: %.1000s", r.code, r.stderr)
	}
	var canaries []string
	if err := json.Unmarshal([]byte(read(t, out, "canaries")), &canaries); err != nil {
		t.Fatal(err)
	}
	if n := len(slices.Compact(slices.Sorted(slices.Values(canaries)))); n < 40 {
		t.Fatalf("the step was given %d secrets, want at least 40", n)
	}
	windows := newCanaryWindows(canaries)
	logged := [2]string{r.stdout, strings.TrimPrefix(r.stderr, "--- build/print\n")}
	for i, pieces := range noisyOutput(canaries) {
		checkLogged(t, logged[i], pieces)
		t.Logf("%d bytes logged, with %d forms masked", len(logged[i]), strings.Count(logged[i], endOfForm))
		for canary, way := range windows.readable(logged[i]) {
			t.Errorf("canary %d is readable, %s", canary, way)
		}
		checkFormsReadable(t, windows, pieces)
	}
}

// checkLogged demands that ordinary text was passed on byte for byte, and that
// nothing is left of the forms in between.
func checkLogged(t *testing.T, logged string, pieces []piece) {
	t.Helper()
	for _, p := range pieces {
		if p.form == "" {
			rest, ok := strings.CutPrefix(logged, p.text)
			if !ok {
				t.Fatalf("logged is %.200q, want %.200q", logged, p.text)
			}
			logged = rest
			continue
		}
		end := strings.Index(logged, "\n"+endOfForm)
		if end < 0 {
			t.Fatalf("nothing ends in %.200q", logged)
		}
		if left := strings.NewReplacer("\r", "", "\n", "").Replace(logged[:end]); !masked.MatchString(left) {
			t.Errorf("of canary %d as %s (segment: %v) the log has %.100q", p.canary, p.form, p.segment, left)
		}
		logged = logged[end:]
	}
	if logged != "" {
		t.Errorf("the log ends in %.200q", logged)
	}
}

// checkFormsReadable requires that the test would notice each form: the secret
// is readable if the form is printed unmasked.
func checkFormsReadable(t *testing.T, windows *canaryWindows, pieces []piece) {
	t.Helper()
	isChecked := make(map[string]bool)
	for _, p := range pieces {
		if p.form == "" || p.segment || isChecked[p.form] {
			continue
		}
		isChecked[p.form] = true
		if _, ok := windows.readable(p.text)[p.canary]; !ok {
			t.Errorf("the test cannot read canary %d as %s", p.canary, p.form)
		}
	}
}
