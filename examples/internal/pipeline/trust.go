package pipeline

import (
	"slices"
	"strings"
)

// Trust states which tokens the stand-in of a connector's cloud admits, as an
// administrator of that cloud would. The zero value admits every token of the
// file's account.
type Trust struct {
	Mapping   map[string]string `key:"mapping"`   // gcp: the provider's attribute mapping; empty maps google.subject to assertion.sub
	Condition string            `key:"condition"` // gcp: the provider's attribute condition; empty means no condition

	StringEquals map[string][]string `key:"stringEquals"` // aws: conditions of the role's trust policy, for sub and aud
	StringLike   map[string][]string `key:"stringLike"`   // aws: the same, with * and ?

	Subject string `key:"subject"` // azure: the subject of the application's federated credential
}

// trustKeys are the keys of trust that a connector of a cloud can have.
var trustKeys = map[string][]string{
	"gcp":   {"mapping", "condition"},
	"aws":   {"stringEquals", "stringLike"},
	"azure": {"subject"},
}

// checkTrust refuses a trust that no stand-in would follow.
func (r *reader) checkTrust(c *Connector, path, cloud string) error {
	at := join(path, "trust")
	if _, given := r.lines[at]; !given {
		return nil
	}
	known := trustKeys[cloud]
	if known == nil {
		return r.fail(at, "is for the stand-in of a cloud, and %s has no stand-in", cloud)
	}
	for _, keys := range trustKeys {
		for _, key := range keys {
			if _, given := r.lines[join(at, key)]; given && !slices.Contains(known, key) {
				return r.fail(join(at, key), "is not for %s, which has %s", cloud, strings.Join(known, " and "))
			}
		}
	}
	if len(c.Trust.Mapping) > 0 && c.Trust.Mapping["google.subject"] == "" {
		return r.fail(join(at, "mapping"), "has no google.subject, which Google requires")
	}
	if key := c.endpointKey(); key != "" {
		return r.fail(at, "is for the stand-in, and %s.%s leads to another server", cloud, key)
	}
	return nil
}

// endpointKey returns the key by which a connector names its own server, or ""
// if a stand-in serves it.
func (c *Connector) endpointKey() string {
	switch {
	case c.GCP != nil && c.GCP.TokenURL != "":
		return "tokenURL"
	case c.AWS != nil && c.AWS.Endpoint != "":
		return "endpoint"
	case c.Azure != nil && c.Azure.AuthorityHost != "":
		return "authorityHost"
	}
	return ""
}

// textMap reads a mapping of names to texts, none of them empty.
func (r *reader) textMap(n *node, path string) (map[string]string, error) {
	values := make(map[string]string)
	texts, err := r.variables(n, path, notEmpty)
	for _, t := range texts {
		if t.Text == "" {
			return nil, r.fail(join(path, t.Name), "is empty")
		}
		values[t.Name] = t.Text
	}
	return values, err
}

// textsMap reads a mapping of names to texts or lists of texts.
func (r *reader) textsMap(n *node, path string) (map[string][]string, error) {
	if n.kind != mapping {
		return nil, r.fail(path, "is %s, where a mapping is wanted", n.kind)
	}
	values := make(map[string][]string)
	for _, e := range n.entries {
		at := join(path, e.key)
		r.lines[at] = e.line
		if reason := notEmpty(e.key); reason != "" {
			return nil, r.fail(at, "%s", reason)
		}
		value := e.value
		if value.kind == scalar && !value.null {
			value = &node{kind: list, line: value.line, items: []*node{value}}
		}
		texts, err := r.texts(value, at)
		if err != nil {
			return nil, err
		}
		if len(texts) == 0 {
			return nil, r.fail(at, "is empty")
		}
		values[e.key] = texts
	}
	return values, nil
}

func notEmpty(name string) string {
	if name == "" {
		return "has a key that is empty"
	}
	return ""
}
