package mask_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/internal/mask"
)

// D07
func TestHeldBack(t *testing.T) {
	const secret = "secret-value\nof two lines"
	for _, tt := range []struct {
		name   string
		writes []string
		want   []string // the output after each write, and after Close
	}{
		{"ordinary line", []string{"ordinary line\n"}, []string{"ordinary line\n", "ordinary line\n"}},
		{"start of the secret", []string{"a secret-", "value\nof two line", "s."}, []string{"a ", "a ", "a ***.", "a ***."}},
		{"start of something else", []string{"a secret-", "ary\n"}, []string{"a ", "a secret-ary\n", "a secret-ary\n"}},
		{"line that begins like the secret", []string{"secret-\n"}, []string{"secret-\n", "secret-\n"}},
		{"first line of the secret", []string{"secret-value\r", "\n", "of two"}, []string{"", "", "", "secret-value\r\nof two"}},
		{"cut off", []string{"secret-value\nof two line"}, []string{"", "secret-value\nof two line"}},
		{"start within a start", []string{"secret-secret-value\nof t", "wo lines"}, []string{"secret-", "secret-***", "secret-***"}},
		{"touching", []string{secret, secret + "."}, []string{"***", "***.", "***."}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			w := newSet(secret).Writer(&out)
			var got []string
			for _, text := range tt.writes {
				if _, err := io.WriteString(w, text); err != nil {
					t.Fatal(err)
				}
				got = append(got, out.String())
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, append(got, out.String())); diff != "" {
				t.Errorf("output after each write (-want +got):\n%s", diff)
			}
		})
	}
}

// D07
func TestOrdinaryTextIsUnchanged(t *testing.T) {
	set := thousandTokens()
	r := rand.New(rand.NewPCG(9, 10))
	noise := make([]byte, 64<<10)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	for name, text := range map[string]string{
		"logs":           string(logText(r, 256<<10)),
		"logs with CRLF": strings.ReplaceAll(string(logText(r, 64<<10)), "\n", "\r\n"),
		"noise":          string(noise),
		"base64":         base64.StdEncoding.EncodeToString(noise),
		"wrapped base64": wrap(base64.StdEncoding.EncodeToString(noise), 76, "\r\n"),
		"hexadecimal":    fmt.Sprintf("%x", noise),
		"JSON":           fmt.Sprintf("%q", noise),
		"another token":  fakeJWT(r),
		"breaks":         strings.Repeat("\r", 999) + strings.Repeat("\n", 999) + strings.Repeat("\r\r\n", 999),
	} {
		t.Run(name, func(t *testing.T) {
			if got := writeChunks(t, set, text, []int{1, 100, 4096}); got != text {
				t.Errorf("output differs from %d bytes of input: %s", len(text), cmp.Diff(text, got))
			}
		})
	}
}

// D07
func TestLinesAreNotDelayed(t *testing.T) {
	set := thousandTokens()
	set.Add("-----BEGIN SECRET-----\n" + wrap(randomText(rand.New(rand.NewPCG(1, 1)), 300), 64, "\n") + "\n-----END SECRET-----\n")
	var out bytes.Buffer
	w := set.Writer(&out)
	for line := range strings.Lines(string(logText(rand.New(rand.NewPCG(11, 12)), 64<<10))) {
		if !strings.HasSuffix(line, "\n") {
			break // the text ends in the middle of a line
		}
		out.Reset()
		if _, err := io.WriteString(w, line); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(line, out.String()); diff != "" {
			t.Errorf("output after the line (-want +got):\n%s", diff)
		}
	}
}

// After a Writer has written some output, equal output needs no more memory.
func TestWritesDoNotAllocate(t *testing.T) {
	set, r := thousandTokens(), rand.New(rand.NewPCG(17, 18))
	token := fakeJWT(r)
	set.Add(token)
	text := string(logText(r, 32<<10)) + token + wrap(base64.StdEncoding.EncodeToString([]byte(token)), 76, "\r\n") + token[:1000]
	w := set.Writer(io.Discard)
	for _, size := range []int{1, 100, 4 << 10} {
		allocs := testing.AllocsPerRun(10, func() { // AllocsPerRun runs it once more, before it counts
			for rest := []byte(text); len(rest) > 0; {
				n := min(size, len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
		})
		if allocs > 1 { // one for []byte(text)
			t.Errorf("%d bytes in writes of %d: %v allocations, want 0", len(text), size, allocs-1)
		}
	}
}

func TestFlush(t *testing.T) {
	const secret = "secret-value-1234"
	set := newSet(secret)
	var out strings.Builder
	w := set.Writer(&out)
	for _, step := range []struct{ write, want string }{
		{"a secr", "a secr"},
		{"et-val", "a secr"}, // may still become the secret
		{"ue-1234.", "a secr***."},
		{"b secret-", "a secr***.b secret-"},
		{"ary", "a secr***.b secret-ary"},
	} {
		if _, err := io.WriteString(w, step.write); err != nil {
			t.Fatal(err)
		}
		if step.write != "et-val" {
			if err := w.Flush(); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(step.want, out.String()); diff != "" {
			t.Errorf("output after %q (-want +got):\n%s", step.write, diff)
		}
	}
}

func TestClose(t *testing.T) {
	var out strings.Builder
	w := newSet("secret-value").Writer(&out)
	if _, err := io.WriteString(w, "secret-"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := w.Close(); err != nil {
			t.Errorf("Close = %v", err)
		}
	}
	if n, err := io.WriteString(w, "value"); n != 0 || err == nil {
		t.Errorf("Write after Close = %d, %v, want 0 and an error", n, err)
	}
	if diff := cmp.Diff("secret-", out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func TestErrorsLast(t *testing.T) {
	errBroken := errors.New("broken pipe")
	for _, tt := range []struct{ err, want error }{{errBroken, errBroken}, {nil, io.ErrShortWrite}} {
		w := newSet("secret-value").Writer(&limitedWriter{n: 100, err: tt.err})
		if n, err := w.Write(make([]byte, 100)); n != 100 || err != nil {
			t.Errorf("Write = %d, %v, want 100, nil", n, err)
		}
		for _, call := range []func() (int, error){
			func() (int, error) { return w.Write(make([]byte, 100)) },
			func() (int, error) { return w.Write(make([]byte, 100)) },
			func() (int, error) { return 0, w.Flush() },
			func() (int, error) { return 0, w.Close() },
		} {
			if n, err := call(); n != 0 || !errors.Is(err, tt.want) {
				t.Errorf("call = %d, %v, want 0, %v", n, err, tt.want)
			}
		}
	}
}

func TestAddWhileWriting(t *testing.T) {
	const early, late = "early-secret", "early-second-one"
	var out strings.Builder
	set := newSet(early)
	w := set.Writer(&out)
	write := func(s string) {
		t.Helper()
		if _, err := io.WriteString(w, s); err != nil {
			t.Fatal(err)
		}
	}
	write(late + " early-se")
	set.Add(late)
	write("cond-one " + early + " " + late)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(late+" *** *** ***", out.String()); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

// D07
func TestConcurrency(t *testing.T) {
	const writers, tokens = 4, 50
	var set mask.Set
	var wg sync.WaitGroup
	for i := range uint64(writers) {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(i, 0))
			var out bytes.Buffer
			w := set.Writer(&out)
			for range tokens {
				token := fakeJWT(r)
				set.Add(token)
				if _, err := fmt.Fprintf(w, "a line, %s, another\n", token); err != nil {
					t.Error(err)
				}
			}
			if diff := cmp.Diff(strings.Repeat("a line, ***, another\n", tokens), out.String()); diff != "" {
				t.Errorf("output (-want +got):\n%s", diff)
			}
		})
	}
	wg.Wait()
}

// D06
func TestNothingPrintsSecrets(t *testing.T) {
	const secret = "top-secret-value"
	set := newSet(secret)
	w := set.Writer(io.Discard)
	if _, err := io.WriteString(w, secret[:len(secret)-1]); err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{set, w} {
		var printed bytes.Buffer
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&printed, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&printed, nil)).Info("m", "v", v)
		slog.New(slog.NewJSONHandler(&printed, nil)).Info("m", "v", v)
		if err := json.NewEncoder(&printed).Encode(v); err != nil {
			t.Fatal(err)
		}
		for _, form := range []string{"secret", fmt.Sprintf("%x", "secret"), strings.Trim(fmt.Sprint([]byte("secret")), "[]")} {
			if strings.Contains(printed.String(), form) {
				t.Errorf("%T prints as\n%s", v, &printed)
			}
		}
	}
}

// D07
func TestMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	set := thousandTokens()
	runtime.GC()
	runtime.ReadMemStats(&after)
	const limit = 64 << 20
	if got := int64(after.HeapAlloc) - int64(before.HeapAlloc); got > limit {
		t.Errorf("1,000 tokens take %d bytes, want at most %d", got, limit)
	}
	runtime.KeepAlive(set)
}
