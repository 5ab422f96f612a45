package broker

import (
	"net"
	"slices"
	"strings"
)

// The variables that exclude hosts from proxies. Some programs read only one of them. Programs
// that read both disagree on which has precedence.
const (
	upperNoProxy = "NO_PROXY"
	lowerNoProxy = "no_proxy"
)

// NoProxy returns env with a NO_PROXY and a no_proxy that keep requests to the step's endpoint,
// and its secret, away from every proxy. They list the hosts in either variable of env and the
// hosts of the endpoint. env is the complete environment of the step's command as "name=value",
// including Environ. NoProxy does not change env. It returns a copy, which is equal to env if
// nothing was delivered.
//
//	command.Env = step.NoProxy(append(env, step.Environ()...))
func (s *Step) NoProxy(env []string) []string {
	s.mu.Lock()
	e := s.endpoint
	s.mu.Unlock()
	if e == nil {
		return slices.Clone(env)
	}
	var out, hosts []string
	for _, variable := range env {
		name, value, _ := strings.Cut(variable, "=")
		if name != upperNoProxy && name != lowerNoProxy {
			out = append(out, variable)
			continue
		}
		hosts = append(hosts, strings.Split(value, ",")...)
	}
	upper, lower := noProxy(append(hosts, e.unproxied()...))
	return append(out, upperNoProxy+"="+upper, lowerNoProxy+"="+lower)
}

// unproxied returns the hosts of the endpoint's URLs, and the other host name that some
// libraries compare.
func (e *endpoint) unproxied() []string {
	host, _, _ := net.SplitHostPort(e.host) // a listener's address has a port
	return []string{host, "localhost"}
}

// noProxy joins hosts without duplicates. Programs that read no_proxy first, such as curl and
// Python's, accept "*" for every host only if it stands alone. Node.js clients of Google read
// NO_PROXY first and do not know "*".
func noProxy(hosts []string) (upper, lower string) {
	var unique []string
	for _, host := range hosts {
		host = strings.TrimSpace(host)
		if host != "" && !slices.Contains(unique, host) {
			unique = append(unique, host)
		}
	}
	upper = strings.Join(unique, ",")
	if slices.Contains(unique, "*") {
		return upper, "*"
	}
	return upper, upper
}
