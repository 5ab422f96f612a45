package broker_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken"
	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

// X15 E01 E05: a user's variable can name only a connector in the step's own scope, and is
// never read as an expression.
func TestVariablesOfUsers(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	var value string
	step, err := b.NewStep(broker.StepConfig{
		Scope:     scope("payments", "ledger"),
		Variables: map[string]func(string) (string, bool){"user": func(string) (string, bool) { return value, true }},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer step.Close()
	for _, tt := range []struct {
		name, value string
		want        error // nil accepts any error
	}{
		{"another project's", "theirs", broker.ErrNoConnector},
		{"another account's", "account.gcp_rival", broker.ErrNoConnector},
		{"a path of levels", "account.acme.org.payments.project.other.theirs", nil},
		{"a path", "../other/theirs", nil},
		{"NUL", "gcp_mine\x00theirs", nil},
		{"two lines", "gcp_mine\ntheirs", nil},
		{"white space", " gcp_mine", nil},
		{"quotes", `gcp_mine", "https://evil.example.com`, nil},
		{"an expression", `<+secrets.getJWT("account.vault")>`, nil},
		{"nothing", "", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			value = tt.value
			for _, text := range []string{
				`<+secrets.getJWT(<+user.ref>)>`, `<+secrets.getJWT("<+user.ref>")>`, `<+secrets.getGCPAccessToken(user.ref)>`,
				`<+secrets.getJWTFile(<+user.ref>)>`, `<+secrets.getGCPCredentialsFile(<+user.ref>)>`,
			} {
				got, err := step.Expand(t.Context(), text)
				if err == nil || got != "" || tt.want != nil && !errors.Is(err, tt.want) {
					t.Errorf("%s = %q, %v; want %v", text, got, err, tt.want)
				}
			}
		})
	}
	value = `<+secrets.getJWT("account.vault")>`
	if got := expand(t, step, "x <+user.ref>"); got != "x "+value {
		t.Errorf("a value was expanded to %q", got)
	}
	value = "https://evil.example.com"
	if _, err := step.Expand(t.Context(), `<+secrets.getJWT("account.vault", <+user.aud>)>`); !errors.Is(err, oidctoken.ErrDenied) {
		t.Errorf("an audience of the user's: got %v, want ErrDenied", err)
	}
}

// A secret cannot be an argument, because the error about the argument would quote it.
func TestSecretIsNoArgument(t *testing.T) {
	step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
	jwt := expand(t, step, `<+secrets.getJWT("account.vault")>`)
	for _, text := range []string{
		`<+secrets.getJWT(<+secrets.getJWT("account.vault")>)>`,
		`<+secrets.getJWT("account.vault", <+secrets.getJWT("account.vault")>)>`,
		`<+secrets.getJWTFile("x" + <+secrets.getJWT("account.vault")>)>`,
		`<+<+secrets.getJWT("account.vault")>.split(".")[1]>`,
	} {
		got, err := step.Expand(t.Context(), text)
		if err == nil || got != "" || strings.Contains(err.Error(), jwt[:20]) {
			t.Errorf("%s = %q, %v", text, got, err)
		}
	}
}

func TestNoAccount(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	config.Connectors = broker.ConnectorMap{{ID: "nobodys"}: {Audiences: []string{"a"}}}
	b := start(t, config)
	if _, err := b.NewStep(broker.StepConfig{}); err == nil || !strings.Contains(err.Error(), "Account") {
		t.Errorf("NewStep of no account: got %v", err)
	}
}

// noConnector is a host's Connectors that returns nil without an error.
type noConnector struct{}

func (noConnector) Connector(context.Context, broker.ConnectorKey) (*broker.Connector, error) {
	return nil, nil
}

func TestConnectorsWithoutAnswer(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	config.Connectors = noConnector{}
	b := start(t, config)
	if _, err := newStep(t, b, scope("", "")).Expand(t.Context(), access); !errors.Is(err, broker.ErrNoConnector) {
		t.Errorf("got %v, want ErrNoConnector", err)
	}
}

// A step cannot write to files of the broker or of another step.
func TestFileNames(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	step, other := newStep(t, b, scope("payments", "ledger")), newStep(t, b, scope("payments", "other"))
	theirs, err := other.WriteFile(t.Context(), "jwt", "theirs")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{
		".oidctoken", ".oidctoken/run.sh", ".oidctoken/x/y", ".OidcToken/x",
		"../" + filepath.Base(filepath.Dir(theirs)) + "/jwt", theirs, `a\..\..`, "a/.oidctoken-AAAAAAAAAAAAAAAAAAAAAAAAAA.tmp", "a\x00b", "a/",
	} {
		if path, err := step.WriteFile(t.Context(), name, "mine"); err == nil && filepath.Base(path) != name { // a backslash is part of the file name
			t.Errorf("the name %q leads to %s", name, path)
		}
	}
	if got := read(t, theirs); got != "theirs" {
		t.Errorf("the other step's file holds %q", got)
	}
}

func TestFileTwice(t *testing.T) {
	step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
	const text = `<+secrets.getJWT("account.vault")>`
	path, err := step.WriteFile(t.Context(), "jwt", text)
	if err != nil {
		t.Fatal(err)
	}
	jwt := read(t, path)
	if again, err := step.WriteFile(t.Context(), "jwt", text); err != nil || again != path {
		t.Errorf("the same again: %s, %v", again, err)
	}
	if _, err := step.WriteFile(t.Context(), "jwt", "another"); err == nil || strings.Contains(err.Error(), "another text of") {
		t.Errorf("another text: %v", err)
	}
	if got := read(t, path); got != jwt {
		t.Errorf("the file holds %q", got)
	}
	if _, err := step.WriteFile(t.Context(), "late", `<+secrets.getJWT("account.missing")>`); !errors.Is(err, broker.ErrNoConnector) {
		t.Errorf("got %v, want ErrNoConnector", err)
	}
	if path, err := step.WriteFile(t.Context(), "late", "a text that can be resolved"); err != nil || read(t, path) == "" {
		t.Errorf("write to a name whose first text was refused: %v", err)
	}
}

// After a refused delivery, another connector of the same cloud can be delivered.
func TestDeliverAfterRefusal(t *testing.T) {
	config := brokerConfig(t, newCloud("gcp"))
	config.Connectors.(broker.ConnectorMap)[broker.ConnectorKey{Account: "acme", ID: "broken"}] = &broker.Connector{Exchanger: broken{newCloud("gcp")}}
	b := start(t, config)
	step := newStep(t, b, scope("payments", "ledger"))
	for _, ref := range []string{"account.broken", "account.missing", "org..id"} {
		if err := step.Deliver(t.Context(), ref); err == nil {
			t.Errorf("%s is delivered", ref)
		}
	}
	if diff := cmp.Diff([]string(nil), step.Environ()); diff != "" {
		t.Errorf("Environ (-want +got):\n%s", diff)
	}
	if err := step.Deliver(t.Context(), "account.gcp_prod"); err != nil {
		t.Error(err)
	}
}

type broken struct{ *cloud }

func (broken) Bundle(string, string) (*exchange.Bundle, error) { return nil, errors.New("no bundle") }

// A slow cloud delays only its own file. That file is removed when its token expires.
func TestHangingCloud(t *testing.T) {
	other := newCloud("gcp")
	other.lifetime = 10 * time.Minute
	config, g := gatedConfig(t, other)
	g.lifetime = 10 * time.Minute
	for range 10 { // the start of a renewal is random
		synctest.Test(t, func(t *testing.T) { testHangingCloud(t, start(t, config), g) })
	}
}

func testHangingCloud(t *testing.T, b *broker.Broker, g *gated) {
	g.count.Store(0)
	g.open = make(chan struct{}, 1)
	g.open <- struct{}{} // one exchange only
	step := newStep(t, b, scope("payments", "ledger"))
	hanging, err := step.WriteFile(t.Context(), "hanging", access)
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := step.WriteFile(t.Context(), "fresh", `<+secrets.getGCPAccessToken("account.other")>`)
	if err != nil {
		t.Fatal(err)
	}
	first := read(t, fresh)
	time.Sleep(10*time.Minute - time.Second)
	synctest.Wait()
	if got := serial(read(t, hanging)); got != "1" {
		t.Errorf("the file of the cloud that hangs is of exchange %s", got)
	}
	if got := read(t, fresh); got == first {
		t.Error("the other file was not renewed")
	}
	time.Sleep(time.Second)
	synctest.Wait()
	if _, err := os.Stat(hanging); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the expired token is still there: %v", err)
	}
	if _, err := step.WriteFile(t.Context(), "hanging", access); err == nil {
		t.Error("a file that is not there is reported to be")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := step.WriteFile(ctx, "another", access); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a caller that leaves: got %v", err)
	}
	g.open <- struct{}{}
	time.Sleep(2 * time.Minute)
	synctest.Wait()
	read(t, hanging) // the file exists again
	if err := step.Close(); err != nil {
		t.Error(err)
	}
}

// All methods run at once and Close runs during them. There is no race, and nothing is written
// after the directory was removed.
func TestConcurrentUse(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	for range 5 {
		step := newStep(t, b, scope("payments", "ledger"))
		dir, err := step.Dir()
		if err != nil {
			t.Fatal(err)
		}
		var group sync.WaitGroup
		started := make(chan struct{}, 50)
		for i := range cap(started) {
			group.Go(func() {
				started <- struct{}{}
				for range 20 {
					if err := useOnce(t.Context(), step, i); err != nil && !strings.Contains(err.Error(), "the step is closed") {
						t.Errorf("worker %d: %v", i, err)
					}
				}
			})
		}
		for range cap(started) {
			<-started
		}
		for range 2 {
			group.Go(func() {
				if err := step.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the step's directory is there again: %v", err)
		}
	}
}

// useOnce calls one method of a Step.
func useOnce(ctx context.Context, step *broker.Step, i int) (err error) {
	switch i % 8 {
	case 0:
		_, err = step.Expand(ctx, access+` <+secrets.getJWT("account.vault")>`)
	case 1:
		_, err = step.WriteFile(ctx, fmt.Sprintf("a/%d", i), access)
	case 2:
		_, err = step.WriteFile(ctx, "shared", `<+secrets.getJWT("account.vault")>`)
	case 3:
		err = step.Deliver(ctx, "account.gcp_prod")
	case 4:
		_, err = step.Expand(ctx, `<+secrets.getGCPCredentialsFile("account.gcp_prod")> <+secrets.getJWTFile("account.vault")>`)
	case 5:
		_, err = step.Preview(ctx, access)
		step.Environ()
	case 6:
		_, err = step.Dir()
	case 7:
		w := step.Mask(io.Discard)
		fmt.Fprintln(w, "text", i)
		err = w.Close()
	}
	return err
}

// After Close, a step returns nothing, not even cached values.
func TestClosed(t *testing.T) {
	step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
	jwt := expand(t, step, `<+secrets.getJWT("account.vault")>`)
	if err := step.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range 7 {
		if err := useOnce(t.Context(), step, i); err == nil || !strings.Contains(err.Error(), "the step is closed") {
			t.Errorf("use %d: got %v", i, err)
		}
	}
	var out strings.Builder
	w := step.Mask(&out)
	if _, err := io.WriteString(w, jwt); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil || out.String() != "***" {
		t.Errorf("Mask after Close: %q, %v", out.String(), err)
	}
}
