package oteloidc_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/oteloidc"
)

func TestCache(t *testing.T) {
	o := newTelemetry()
	stats := oteloidc.CacheStats{Entries: 2, Bytes: 2048, Hits: 10, Misses: 3}
	registration := must(o.Cache("credentials", func() oteloidc.CacheStats { return stats }))
	more := must(o.Cache("credentials", func() oteloidc.CacheStats { return oteloidc.CacheStats{Entries: 100} }))
	must(o.Cache("tokens", func() oteloidc.CacheStats { return oteloidc.CacheStats{Hits: 1} }))
	check := func(what string, entries, bytes, hits, misses int) {
		t.Helper()
		want := map[string]any{
			"cache.entries{cache=credentials}":                   entries,
			"cache.size{cache=credentials}":                      bytes,
			"cache.lookups{cache=credentials,cache.result=hit}":  hits,
			"cache.lookups{cache=credentials,cache.result=miss}": misses,
			"cache.entries{cache=tokens}":                        0,
			"cache.size{cache=tokens}":                           0,
			"cache.lookups{cache=tokens,cache.result=hit}":       1,
			"cache.lookups{cache=tokens,cache.result=miss}":      0,
		}
		if diff := cmp.Diff(want, o.series("")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	check("two of one name", 102, 2048, 10, 3)
	stats.Entries, stats.Hits = 1, 11
	check("another time", 101, 2048, 11, 3)
	if err := registration.Unregister(); err != nil {
		t.Fatal(err)
	}
	check("one of them gone", 100, 0, 0, 0)
	if err := more.Unregister(); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"cache.entries{cache=tokens}":                   0,
		"cache.size{cache=tokens}":                      0,
		"cache.lookups{cache=tokens,cache.result=hit}":  1,
		"cache.lookups{cache=tokens,cache.result=miss}": 0,
	}
	if diff := cmp.Diff(want, o.series("")); diff != "" {
		t.Errorf("both of them gone (-want +got):\n%s", diff)
	}
}
