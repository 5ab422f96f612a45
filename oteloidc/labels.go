package oteloidc

import (
	"slices"
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// set is an attribute with all its values. The last value replaces every other
// one.
type set struct {
	key    attribute.Key
	values []string
}

// The attributes of metrics and spans. A value that is new in another package
// is the last one's until it is added here.
var (
	outcomes = set{"oidctoken.outcome", []string{
		"ok", "denied", "scope", "no_key", "signer", "bad_signature", "canceled", "refused", "unavailable", "error",
	}}
	stages = set{"oidctoken.stage.type", []string{
		"CI", "Deployment", "Custom", "Approval", "IACM", "SecurityTests", "FeatureFlag", "Pipeline", "none", "other",
	}}
	clouds = set{"oidctoken.cloud", []string{"gcp", "aws", "azure", "none", "other"}}
	rules  = set{"oidctoken.rule", []string{
		"Accounts", "Organizations", "Projects", "Pipelines", "StageTypes", "Environments", "Untrusted",
		"audience", "no_connector", "placeholder", "endpoint", "reference", "other",
	}}
	exchangeKinds = set{"oidctoken.exchange.kind", []string{"exchanged", "refreshed"}}
	operations    = set{"oidctoken.exchange.operation", []string{
		"sts:token", "iamcredentials:generateAccessToken", "iamcredentials:generateIdToken",
		"sts:AssumeRoleWithWebIdentity", "entra:token", "other",
	}}
	forms       = set{"oidctoken.delivery.form", []string{"environment", "file", "endpoint"}}
	algorithms  = set{"oidctoken.algorithm", []string{"RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "EdDSA", "none", "other"}}
	transitions = set{"oidctoken.keyring.transition", []string{
		"created", "published", "activated", "extended", "rotated", "revoked", "removed", "raised", "rewrapped", "named", "other",
	}}
	causes = set{"oidctoken.keyring.cause", []string{
		"store", "wrapper", "provisioner", "unseen", "too_many_keys", "clock", "corrupt", "tampered", "older", "newer", "other_ring", "not_migrated", "other",
	}}
	lookupResults = set{"oidctoken.cache.result", []string{"hit", "miss"}}
)

// Attributes whose values are a host's names.
const (
	signerKey = attribute.Key("oidctoken.signer")
	cacheKey  = attribute.Key("oidctoken.cache")
)

// index returns the place of v, or of the value that replaces it.
func (s set) index(v string) int {
	if i := slices.Index(s.values, v); i >= 0 {
		return i
	}
	return len(s.values) - 1
}

func (s set) attribute(v string) attribute.KeyValue { return s.key.String(s.values[s.index(v)]) }

// labels are the options of a measurement, made once: a hook allocates none.
type labels struct {
	add     []metric.AddOption
	record  []metric.RecordOption
	observe []metric.ObserveOption
}

func newLabels(attributes ...attribute.KeyValue) labels {
	o := metric.WithAttributeSet(attribute.NewSet(attributes...))
	return labels{[]metric.AddOption{o}, []metric.RecordOption{o}, []metric.ObserveOption{o}}
}

// table has the labels of every combination of the values of its sets. There
// are no others, so their number limits the number of an instrument's series.
type table struct {
	sets   []set
	labels []labels
}

func newTable(sets ...set) table {
	combinations := [][]attribute.KeyValue{nil}
	for _, s := range sets {
		var longer [][]attribute.KeyValue
		for _, c := range combinations {
			for _, v := range s.values {
				longer = append(longer, append(slices.Clip(c), s.key.String(v)))
			}
		}
		combinations = longer
	}
	t := table{sets: sets}
	for _, c := range combinations {
		t.labels = append(t.labels, newLabels(c...))
	}
	return t
}

// of returns the labels of values, one for each set.
func (t *table) of(values ...string) *labels {
	i := 0
	for n, s := range t.sets {
		i = i*len(s.values) + s.index(values[n])
	}
	return &t.labels[i]
}

const (
	maxNames = 16
	other    = "other"
)

// names limits the names that a host chooses: the first maxNames valid ones are
// used, and all later ones are "other".
type names struct {
	mu    sync.Mutex
	known []string
}

func (n *names) of(name string) string {
	if !isName(name) {
		return other
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case slices.Contains(n.known, name):
	case len(n.known) == maxNames:
		return other
	default:
		n.known = append(n.known, name)
	}
	return name
}

// isName reports whether s matches ^[a-z][0-9a-z_]{0,31}$.
func isName(s string) bool {
	if s == "" || len(s) > 32 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if b := s[i]; b != '_' && (b < '0' || b > '9') && (b < 'a' || b > 'z') {
			return false
		}
	}
	return true
}
