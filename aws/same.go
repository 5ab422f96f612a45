package aws

import (
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/internal/sameconfig"
)

var _ exchange.Configured = (*Exchanger)(nil)

// SameConfig reports whether other is an *Exchanger of this package with the same
// [Config], clocks aside. Two Transports are the same only if they are one.
func (e *Exchanger) SameConfig(other exchange.Exchanger) bool {
	o, ok := other.(*Exchanger)
	if !ok || o == nil {
		return false
	}
	a, b := e.config, o.config
	a.Now, b.Now = nil, nil
	return sameconfig.Equal(a, b)
}
