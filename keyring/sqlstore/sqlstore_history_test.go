//go:build unix

package sqlstore_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"math"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
)

func newKey() string {
	key := make([]byte, 32)
	rand.Read(key)
	return base64.StdEncoding.EncodeToString(key)
}

// readJournal reads the journal of a replica. A killed replica may have written
// half of its last line. Such a line is ignored: the operation did not begin,
// or its result is unknown.
func readJournal(t *testing.T, path string) (entries []entry) {
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range bytes.Lines(b) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		entries = append(entries, e)
	}
	return entries
}

// checkHistory checks what replicas did.
func checkHistory(t *testing.T, entries []entry, start time.Time) {
	checkLinearizable(t, entries)
	documents := stored(t, entries)
	keys := checkKeys(t, documents, start, lastTime(entries))
	checkSignatures(t, entries, keys)
}

func lastTime(entries []entry) (last int64) {
	for _, e := range entries {
		last = max(last, e.Until)
	}
	return last
}

// register is a store as it should be: a value, and swaps that compare.
var register = porcupine.Model{
	Init: func() any { return "none" },
	Step: func(state, input, output any) (bool, any) {
		in, out := input.(entry), output.(string)
		if in.Kind == "load" {
			return out == state, state
		}
		isSame := in.Old == state
		switch out {
		case "ok":
			return isSame, in.New
		case "conflict":
			return !isSame, state
		}
		if isSame { // who was killed does not know
			return true, in.New
		}
		return true, state
	},
}

// checkLinearizable looks for one order of all operations that explains what
// each replica saw.
func checkLinearizable(t *testing.T, entries []entry) {
	calls := make(map[string]entry)
	var operations []porcupine.Operation
	for _, e := range entries {
		if e.Kind != "load" && e.Kind != "swap" {
			continue
		}
		call, isReturn := calls[e.ID]
		if !isReturn {
			calls[e.ID] = e
			continue
		}
		delete(calls, e.ID)
		operations = append(operations, porcupine.Operation{Input: call, Call: call.At, Output: e.Result, Return: e.At})
	}
	open := 0
	for _, call := range calls {
		if call.Kind == "swap" { // it may be done at any time, or never
			open++
			operations = append(operations, porcupine.Operation{Input: call, Call: call.At, Output: "unknown", Return: math.MaxInt64})
		}
	}
	result := porcupine.CheckOperationsTimeout(register, operations, time.Minute)
	t.Logf("%d operations, %d of which nobody knows how they ended: %s", len(operations), open, result)
	if result != porcupine.Ok {
		t.Errorf("the history of the store is not linearizable: %s", result)
	}
}

// document is the part of a stored document that the test reads.
type document struct {
	Generation int
	Keys       []key
}

type key struct {
	Kid, Alg                             string
	Created, Published, Activate, Retire int64
}

// stored returns the documents that were, in order.
func stored(t *testing.T, entries []entry) (documents []document) {
	contents := make(map[string][]byte)
	successor := make(map[string]string)
	seen := make(map[string]bool) // documents that some replica found
	for _, e := range entries {
		switch {
		case e.Kind == "swap" && e.Document != nil:
			contents[e.New] = e.Document
		case e.Kind == "swap" && e.Result == "ok":
			if other := successor[e.Old]; other != "" && other != e.New {
				t.Errorf("%s was replaced twice: by %s and %s", e.Old, other, e.New)
			}
			successor[e.Old] = e.New
		case e.Kind == "load" && e.Result != "":
			seen[e.Result] = true
		}
	}
	// A swap with an unknown result succeeded if a later load found its document.
	for _, e := range entries {
		if e.Kind == "swap" && seen[e.New] {
			successor[e.Old] = e.New
		}
	}
	for at := successor["none"]; at != ""; at = successor[at] {
		var d document
		if err := json.Unmarshal(contents[at], &d); err != nil {
			t.Fatalf("document %s: %v", at, err)
		}
		if d.Generation != len(documents)+1 {
			t.Fatalf("generation %d comes as number %d", d.Generation, len(documents)+1)
		}
		documents = append(documents, d)
	}
	return documents
}

// checkKeys checks that one key was made per period, and returns each as it was
// last.
func checkKeys(t *testing.T, documents []document, start time.Time, last int64) map[string]key {
	keys := make(map[string]key)
	made := make(map[string]int)
	for _, d := range documents {
		for _, k := range d.Keys {
			if _, known := keys[k.Kid]; !known {
				made[k.Alg]++
			}
			keys[k.Kid] = k
		}
	}
	const period = 48 * 60 * 60
	periods := int(last-start.Unix()) / period
	t.Logf("%d documents, %v keys in %d periods and a part", len(documents), made, periods)
	for _, alg := range algorithms {
		// That of each period that has begun, and the next one or two.
		if n := made[alg]; n < periods+2 || n > periods+3 {
			t.Errorf("%d keys were made for %s in %d periods and a part", n, alg, periods)
		}
		activations := make(map[int64]string)
		for _, k := range keys {
			if k.Alg != alg || k.Published == 0 {
				continue
			}
			slot := (k.Activate - start.Unix() + period/2) / period
			if other := activations[slot]; other != "" {
				t.Errorf("%s and %s are for the same period", other, k.Kid)
			}
			activations[slot] = k.Kid
		}
	}
	return keys
}

// checkSignatures checks that every signature was made with a key in its time,
// after it had been published for long enough.
func checkSignatures(t *testing.T, entries []entry, keys map[string]key) {
	const lead, skew = 13 * 60 * 60, 60 * 60
	signatures, failures := 0, make(map[string]int)
	for _, e := range entries {
		if e.Kind == "fail" {
			failures[e.Result]++
		}
		if e.Kind != "sign" {
			continue
		}
		signatures++
		k, known := keys[e.KeyID]
		isFirst := k.Activate == k.Published
		switch {
		case !known || k.Published == 0:
			t.Errorf("%s signed, which was never published", e.KeyID)
		case k.Alg != e.Result:
			t.Errorf("%s signed %s, and is for %s", e.KeyID, e.Result, k.Alg)
		case e.Until < k.Activate || e.Time > k.Retire+skew:
			t.Errorf("%s signed at %s, and its time is %s to %s", e.KeyID, at(e.Time), at(k.Activate), at(k.Retire))
		case !isFirst && e.Until < k.Published+lead:
			t.Errorf("%s signed at %s, and was published at %s", e.KeyID, at(e.Time), at(k.Published))
		}
	}
	t.Logf("%d signatures; failures: %v", signatures, failures)
	if signatures == 0 {
		t.Error("nothing was signed")
	}
	for reason, n := range failures {
		if n > signatures/10 {
			t.Errorf("%d times: %s", n, reason)
		}
	}
}

func at(seconds int64) string { return strconv.FormatInt(seconds, 10) }

// The model refuses wrong behaviour of a store.
func TestRegister(t *testing.T) {
	swap := func(old, replacement, result string, call, end int64) porcupine.Operation {
		return porcupine.Operation{Input: entry{Kind: "swap", Old: old, New: replacement}, Output: result, Call: call, Return: end}
	}
	load := func(result string, call, end int64) porcupine.Operation {
		return porcupine.Operation{Input: entry{Kind: "load"}, Output: result, Call: call, Return: end}
	}
	for _, tt := range []struct {
		name       string
		operations []porcupine.Operation
		want       bool
	}{
		{"one after the other", []porcupine.Operation{load("none", 0, 1), swap("none", "a", "ok", 2, 3), load("a", 4, 5)}, true},
		{"at once", []porcupine.Operation{swap("none", "a", "ok", 0, 9), swap("none", "b", "conflict", 1, 2), load("a", 3, 4)}, true},
		{"a lost update", []porcupine.Operation{swap("none", "a", "ok", 0, 1), swap("none", "b", "ok", 2, 3)}, false},
		{"both succeed at once", []porcupine.Operation{swap("none", "a", "ok", 0, 9), swap("none", "b", "ok", 1, 8)}, false},
		{"a stale load", []porcupine.Operation{swap("none", "a", "ok", 0, 1), load("none", 2, 3)}, false},
		{"a conflict for no reason", []porcupine.Operation{swap("none", "a", "conflict", 0, 1)}, false},
		{"who was killed did it", []porcupine.Operation{swap("none", "a", "unknown", 0, math.MaxInt64), load("none", 1, 2), load("a", 3, 4)}, true},
		{"who was killed did it and undid it", []porcupine.Operation{swap("none", "a", "unknown", 0, math.MaxInt64), load("a", 1, 2), load("none", 3, 4)}, false},
	} {
		if got := porcupine.CheckOperations(register, tt.operations); got != tt.want {
			t.Errorf("%s: linearizable is %v, want %v", tt.name, got, tt.want)
		}
	}
}
