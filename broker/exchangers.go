package broker

import (
	"reflect"
	"sync"

	"github.com/oidctoken/oidctoken/exchange"
)

// exchangers recognizes the Exchanger of a connector that the host makes anew for
// each lookup, as from the row of a database. The zero value is empty.
type exchangers struct {
	mu      sync.Mutex
	current map[ConnectorKey]current
}

// current is the Exchanger that stands for all of one version or configuration.
type current struct {
	version   string
	exchanger exchange.Exchanger
}

// of returns c with the Exchanger of an earlier lookup, if c's is the same. Else
// replaced reports whether there was another. It remembers at most so many
// connectors.
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
		delete(x.current, other) // whichever: it costs that connector an exchange
	}
	if x.current == nil {
		x.current = make(map[ConnectorKey]current)
	}
	x.current[key] = current{c.Version, c.Exchanger}
	return c, known
}

// is reports whether a credential of last is one of c. A version is the host's
// word; what it cannot change without a new version is looked at all the same.
func (last current) is(c *Connector) bool {
	if last.version != c.Version || reflect.TypeOf(last.exchanger) != reflect.TypeOf(c.Exchanger) || last.exchanger.Audience() != c.Exchanger.Audience() {
		return false
	}
	if c.Version != "" {
		return true
	}
	return last.exchanger.(exchange.Configured).SameConfig(c.Exchanger)
}

// forget makes the next lookup of a connector the first one.
func (x *exchangers) forget(key ConnectorKey) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.current, key)
}
