package broker

import (
	"reflect"
	"sync"

	"github.com/oidctoken/oidctoken/exchange"
)

// exchangers keeps the Exchanger of each connector, for hosts that make a new Exchanger at each
// lookup, for example from a database row. The zero value is empty.
type exchangers struct {
	mu      sync.Mutex
	current map[ConnectorKey]current
}

// current is the Exchanger that is used for all lookups with the same version or configuration.
type current struct {
	version   string
	exchanger exchange.Exchanger
}

// of returns c with the Exchanger of an earlier lookup, if c's Exchanger is the same. Otherwise
// replaced reports whether there was another one. At most limit connectors are remembered.
func (x *exchangers) of(key ConnectorKey, c *Connector, limit int) (_ *Connector, replaced bool) {
	_, configured := c.Exchanger.(exchange.Configured)
	if c.Exchanger == nil || c.Version == "" && !configured {
		return c, false
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	last, known := x.current[key]
	if known && last.is(c) {
		same := *c
		same.Exchanger = last.exchanger
		return &same, false
	}
	for other := range x.current {
		if known || len(x.current) < limit {
			break
		}
		delete(x.current, other) // an arbitrary one; its connector needs one more exchange
	}
	if x.current == nil {
		x.current = make(map[ConnectorKey]current)
	}
	x.current[key] = current{c.Version, c.Exchanger}
	return c, known
}

// is reports whether a credential of last is valid for c. It trusts the host's Version, but
// also compares the parts that must not change without a new Version.
func (last current) is(c *Connector) bool {
	if last.version != c.Version || reflect.TypeOf(last.exchanger) != reflect.TypeOf(c.Exchanger) || last.exchanger.Audience() != c.Exchanger.Audience() {
		return false
	}
	if c.Version != "" {
		return true
	}
	return last.exchanger.(exchange.Configured).SameConfig(c.Exchanger)
}

// forget drops the Exchanger of a connector, so that the next lookup counts as the first one.
func (x *exchangers) forget(key ConnectorKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.current, key)
}
