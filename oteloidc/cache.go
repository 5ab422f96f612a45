package oteloidc

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/metric"
)

// CacheStats holds the current size of a cache and the number of its lookups so
// far. A CacheStats of package exchange converts to it.
type CacheStats struct {
	Entries int
	Bytes   int64 // 0 if it does not count them

	// Hits counts the lookups that found an entry, Misses all others. They never
	// decrease.
	Hits, Misses uint64
}

// Cache has the cache of that name observed whenever metrics are collected:
// stats is called then, from any goroutine, and must not block. The name is as
// of a service in [Telemetry.Signer]; what caches of one name hold is added up.
// Unregister ends that, before the cache is closed.
func (t *Telemetry) Cache(name string, stats func() CacheStats) (metric.Registration, error) {
	name = t.caches.of(name)
	held := newLabels(cacheKey.String(name))
	hit := newLabels(cacheKey.String(name), lookupResults.attribute("hit"))
	miss := newLabels(cacheKey.String(name), lookupResults.attribute("miss"))
	r, err := t.meter.RegisterCallback(func(_ context.Context, o metric.Observer) error {
		s := stats()
		o.ObserveInt64(t.entries, int64(s.Entries), held.observe...)
		o.ObserveInt64(t.bytes, s.Bytes, held.observe...)
		o.ObserveInt64(t.lookups, int64(s.Hits), hit.observe...)
		o.ObserveInt64(t.lookups, int64(s.Misses), miss.observe...)
		return nil
	}, t.entries, t.bytes, t.lookups)
	if err != nil {
		return nil, fmt.Errorf("oteloidc: cache: %w", err)
	}
	return r, nil
}
