package broker_test

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
	"github.com/oidctoken/oidctoken/oidctokentest"
)

// auditLog collects events.
type auditLog struct {
	mu     sync.Mutex
	events []broker.Event
}

func (a *auditLog) add(_ context.Context, e broker.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, e)
}

// names returns the session names of the events of a kind.
func (a *auditLog) names(kind broker.EventKind) (names []string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, e := range a.events {
		if e.Kind == kind {
			names = append(names, e.SessionName)
		}
	}
	return names
}

// awsBroker returns a broker with connectors of one account that use ex, and an audit log.
func awsBroker(t testing.TB, issuer *oidctoken.Issuer, ex exchange.Exchanger, events *auditLog) *broker.Broker {
	t.Helper()
	b, err := broker.New(broker.Config{
		Issuer: issuer,
		Connectors: broker.ConnectorMap{
			{Account: "acme", ID: "aws_prod"}: {Exchanger: ex},
			{Account: "acme", ID: "aws_test"}: {Exchanger: ex},
			{Account: "$a.b-c", ID: "$aws"}:   {Exchanger: ex},
		},
		Dir: t.TempDir() + "/steps", Audit: events.add,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.Close)
	return b
}

const digestForm = `-[a-z2-7]{26}$`

// A session's name begins with the execution, so that CloudTrail leads to the run.
//
// X10
func TestSessionNameLeadsToTheRun(t *testing.T) {
	issuer := oidctokentest.NewIssuer(t).Issuer
	for _, tt := range []struct {
		name      string
		pipeline  *oidctoken.Pipeline
		execution *oidctoken.Execution
		want      string // a regular expression
	}{
		{"execution and pipeline", &oidctoken.Pipeline{ID: "release"}, &oidctoken.Execution{ID: "e-42"}, `^e-42-release` + digestForm},
		{"random base64url", &oidctoken.Pipeline{ID: "my-pipe"}, &oidctoken.Execution{ID: "6_vXHzo9Qeu9fXvj-AabCQ"}, `^6_vXHzo9Qeu9fXvj-AabCQ-my-pipe` + digestForm},
		{"UUID", &oidctoken.Pipeline{ID: "release"}, &oidctoken.Execution{ID: "0196a2b4-7c1d-7e2f-8a3b-4c5d6e7f8091"}, `^0196a2b4-7c1d-7e2f-8a3b-4c5d6e7f8091-?` + digestForm},
		{"longer than fits", &oidctoken.Pipeline{ID: "release"}, &oidctoken.Execution{ID: strings.Repeat("e", 100)}, `^e{37}` + digestForm},
		{"characters that AWS does not take", &oidctoken.Pipeline{ID: "$release"}, &oidctoken.Execution{ID: "run/é $1"}, `^run----1--release` + digestForm},
		{"number only", &oidctoken.Pipeline{ID: "release"}, &oidctoken.Execution{Sequence: "17"}, `^17-release` + digestForm},
		{"id and number", &oidctoken.Pipeline{ID: "release"}, &oidctoken.Execution{ID: "e-42", Sequence: "17"}, `^e-42-release` + digestForm},
		{"execution unknown", &oidctoken.Pipeline{ID: "release"}, nil, `^release` + digestForm},
		{"empty execution", &oidctoken.Pipeline{ID: "release"}, &oidctoken.Execution{Attempt: "2"}, `^release` + digestForm},
		{"no pipeline", nil, nil, `^acme` + digestForm},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cloud, events := new(sessions), new(auditLog)
			s := scope("payments", "ledger")
			s.Pipeline, s.Execution = tt.pipeline, tt.execution
			if tt.pipeline == nil {
				s.Stage = nil
			}
			step := newStep(t, awsBroker(t, issuer, cloud, events), s)
			expand(t, step, `<+secrets.getAWSCredentials("account.aws_prod").accessKeyId>`)
			if len(cloud.names) != 1 {
				t.Fatalf("session names %q, want 1", cloud.names)
			}
			if got := cloud.names[0]; !regexp.MustCompile(tt.want).MatchString(got) || len(got) > 64 {
				t.Errorf("session name %q, want %s", got, tt.want)
			}
			if diff := cmp.Diff(cloud.names, events.names(broker.Exchanged)); diff != "" {
				t.Errorf("Audit's session names (-cloud's +Audit's):\n%s", diff)
			}
		})
	}
}

// X10: session names of steps are valid. They are equal only for equal claims.
func TestSessionNamesAreUnique(t *testing.T) {
	valid := regexp.MustCompile(`\A[0-9A-Za-z_+=,.@-]{2,64}\z`)
	issuer, tb := oidctokentest.NewIssuer(t).Issuer, t
	cloud := new(sessions)
	b := awsBroker(t, issuer, cloud, new(auditLog))
	name := func(t *rapid.T, s oidctoken.Scope) string {
		step, err := b.NewStep(broker.StepConfig{Scope: s})
		if err != nil {
			t.Fatal(err)
		}
		defer step.Close()
		cloud.names = nil
		b.Purge(broker.ConnectorKey{Account: "$a.b-c", ID: "$aws"})
		if _, err := step.Expand(tb.Context(), `<+secrets.getAWSCredentials("account.$aws").accessKeyId>`); err != nil {
			t.Fatal(err)
		}
		if len(cloud.names) != 1 || !valid.MatchString(cloud.names[0]) {
			t.Fatalf("session names %q, want a valid one", cloud.names)
		}
		return cloud.names[0]
	}
	rapid.Check(t, func(t *rapid.T) {
		id := rapid.StringOfN(rapid.RuneFrom([]rune("a-$_1")), 1, 3, -1)
		draw := func(label string) oidctoken.Scope {
			return oidctoken.Scope{
				Account:   oidctoken.Entity{ID: "$a.b-c"},
				Pipeline:  &oidctoken.Pipeline{ID: id.Draw(t, label+" pipeline")},
				Execution: &oidctoken.Execution{ID: id.Draw(t, label+" execution"), Attempt: id.Draw(t, label+" attempt")},
			}
		}
		x, y := draw("first"), draw("second")
		if same := name(t, x) == name(t, y); same != cmp.Equal(x, y) {
			t.Fatalf("%v %v and %v %v: equal names: %v", x.Pipeline, x.Execution, y.Pipeline, y.Execution, same)
		}
	})
}

// Audit receives the name of every session that a step may start or use.
func TestSessionNameIsAudited(t *testing.T) {
	cloud, events := new(sessions), new(auditLog)
	step := newStep(t, awsBroker(t, oidctokentest.NewIssuer(t).Issuer, cloud, events), scope("payments", "ledger"))
	if err := step.Deliver(t.Context(), "account.aws_prod"); err != nil {
		t.Fatal(err)
	}
	tools := cloud.names[0]
	if !slices.Contains(step.Environ(), "AWS_ROLE_SESSION_NAME="+tools) {
		t.Errorf("the step has no AWS_ROLE_SESSION_NAME=%s", tools)
	}
	if got := events.names(broker.Delivered); !slices.Contains(got, tools) {
		t.Errorf("deliveries of the sessions %q, want %q among them", got, tools)
	}
	if _, err := step.WriteFile(t.Context(), "key", `<+secrets.getAWSCredentials("account.aws_prod").accessKeyId>`); err != nil {
		t.Fatal(err)
	}
	exchanged := cloud.names[1]
	if diff := cmp.Diff([]string{exchanged}, events.names(broker.Exchanged)); diff != "" {
		t.Errorf("sessions of exchanges (-want +got):\n%s", diff)
	}
	if got := events.names(broker.Delivered); !slices.Contains(got, exchanged) {
		t.Errorf("deliveries of the sessions %q, want the file's %q among them", got, exchanged)
	}
	e := broker.Event{Kind: broker.Exchanged, SessionName: "e-42"}
	if b, err := e.MarshalJSON(); err != nil || !strings.Contains(string(b), `"SessionName":"e-42"`) {
		t.Errorf("MarshalJSON = %s, %v", b, err)
	}
}

// A JWT has no session name.
func TestTokensHaveNoSessionName(t *testing.T) {
	events := new(auditLog)
	step := newStep(t, awsBroker(t, oidctokentest.NewIssuer(t).Issuer, newCloud("gcp"), events), scope("payments", "ledger"))
	if _, err := step.WriteFile(t.Context(), "jwt", `<+secrets.getJWT("account.aws_prod")>`); err != nil {
		t.Fatal(err)
	}
	if err := step.Deliver(t.Context(), "account.aws_prod"); err != nil {
		t.Fatal(err)
	}
	for _, name := range events.names(broker.Delivered) {
		if name != "" {
			t.Errorf("a token was delivered with the session name %q", name)
		}
	}
}

// get sends a request to a step's endpoint, as curl does with the step's variables.
func get(t *testing.T, step *broker.Step, url string) string {
	t.Helper()
	_, authorization, _ := strings.Cut(read(t, variable(step, "OIDCTOKEN_HEADER_FILE")), ": ")
	return answerOf(t, url, authorization)
}

// answerOf returns the body of an endpoint's response.
func answerOf(t *testing.T, url, authorization string) string {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", authorization)
	client := &http.Client{Transport: new(http.Transport)}
	defer client.CloseIdleConnections()
	answer, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s, %v", url, answer.Status, body, err)
	}
	return string(body)
}

// variable returns one of a step's variables.
func variable(step *broker.Step, name string) string {
	for _, v := range step.Environ() {
		if value, ok := strings.CutPrefix(v, name+"="); ok {
			return value
		}
	}
	return ""
}
