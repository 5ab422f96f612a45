//go:build unix

package main

import (
	"os"
	"strings"
	"testing"
)

// TestMain runs the test binary as the client if it has clientFlag, as main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == clientFlag {
		main()
	}
	os.Exit(m.Run())
}

// run measures every part. The figures depend on the machine, but each row is printed,
// and the exit code matches the verdicts.
func TestRun(t *testing.T) {
	var out strings.Builder
	code, err := run([]string{"-rounds", "10", "-tries", "1", "-only", "ES256,EdDSA,handlers,cache"}, &out)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"one token, ES256\n", "one token, EdDSA\n", "raw hash and signature", "Issuer.Mint", "Prepared.Mint", "golang-jwt v5, struct",
		"go-jose v4 jwt, map", "go-jose v4 JWS, json.Marshal", "one request, in the handler\n", "one request, in a server\n",
		"P2 ES256 Prepared.Mint / raw: ", "P2 EdDSA Issuer.Mint / raw: ", "P3 ES256 Issuer.Mint / go-jose map: ",
		"P5 JWK Set, allocations in the handler: 0.000, at most 0.00: met", "P5 discovery / hello, server: ",
		"a cached credential, one of 10,000\n", "P4 Lease.Get, allocations: 0.000, at most 0.00: met", "one token of a cache, ES256\n",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in the output", want)
		}
	}
	want := exitMet
	switch {
	case strings.Contains(out.String(), ": MISSED\n"):
		want = exitMissed
	case strings.Contains(out.String(), ": inconclusive\n"):
		want = exitInconclusive
	}
	if code != want {
		t.Errorf("exit code %d, want %d for:\n%s", code, want, out.String())
	}
}

func TestBadArguments(t *testing.T) {
	for _, args := range [][]string{
		{"-only", "RS256"}, {"-only", "ES256,"}, {"-rounds", "9"}, {"-rounds", "x"}, {"-tries", "0"}, {"ES256"}, {"-unknown"},
	} {
		var out strings.Builder
		if code, err := run(args, &out); code != exitError || err == nil || out.Len() > 0 {
			t.Errorf("%q: exit code %d, error %v, output %q", args, code, err, out.String())
		}
	}
}

func TestChoose(t *testing.T) {
	for list, want := range map[string]string{"": "ES256 EdDSA handlers cache memory expr", "expr": "expr", "expr,ES256": "expr ES256"} {
		chosen, err := choose(list)
		if err != nil {
			t.Errorf("%q: %v", list, err)
		}
		var got []string
		for _, p := range chosen {
			got = append(got, p.name)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%q: %v, want %s", list, got, want)
		}
	}
}
