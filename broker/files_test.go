package broker_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/oidctoken/oidctoken/broker"
	"github.com/oidctoken/oidctoken/exchange"
)

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// D01
func TestDeliver(t *testing.T) {
	b := newBroker(t, newCloud("gcp"))
	step := newStep(t, b, scope("payments", "ledger"))
	if err := step.Deliver(t.Context(), "account.gcp_prod"); err != nil {
		t.Fatal(err)
	}
	env := make(map[string]string)
	for _, v := range step.Environ() {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	keyFile := env["GOOGLE_APPLICATION_CREDENTIALS"]
	token := strings.Split(read(t, keyFile), `"`)[3]
	jwt := read(t, token)
	if claims := payload(jwt); claims["connector_id"] != "gcp_prod" || strings.TrimSpace(jwt) != jwt {
		t.Errorf("the token file holds %q with the claims %v", jwt, claims)
	}
	dir, err := step.Dir()
	if err != nil {
		t.Fatal(err)
	}
	modes := make(map[string]bool)
	err = filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		modes[info.Mode().String()] = true
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]bool{"drwx------": true, "-rw-------": true}, modes); diff != "" {
		t.Errorf("modes (-want +got):\n%s", diff)
	}
	if err := step.Deliver(t.Context(), "account.gcp_prod"); err != nil {
		t.Errorf("the same connector again: %v", err)
	}
	if err := step.Deliver(t.Context(), "org.gcp_org"); err == nil {
		t.Error("a second connector of one cloud is delivered")
	}
	if err := step.Deliver(t.Context(), "account.vault"); err != nil {
		t.Errorf("a connector without a cloud, for the endpoint: %v", err)
	}
	if err := step.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the step's directory is still there: %v", err)
	}
	if err := step.Deliver(t.Context(), "account.gcp_prod"); err == nil {
		t.Error("a closed step is delivered to")
	}
}

func TestCredentialsFileExpression(t *testing.T) {
	step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
	keyFile := expand(t, step, `<+secrets.getGCPCredentialsFile("account.gcp_prod")>`)
	tokenFile := expand(t, step, `<+secrets.getJWTFile("account.gcp_prod")>`)
	if want := `{"file":"` + tokenFile + `"}`; read(t, keyFile) != want {
		t.Errorf("the key file holds %s, want %s", read(t, keyFile), want)
	}
}

// A file of an access token contains only the token, is the same for the same arguments, and
// never contains an expired token.
func TestAccessTokenFileExpression(t *testing.T) {
	google := newCloud("gcp")
	google.lifetime = 10 * time.Minute
	config := brokerConfig(t, google)
	synctest.Test(t, func(t *testing.T) {
		step := newStep(t, start(t, config), scope("payments", "ledger"))
		file := func(args string) string { return expand(t, step, `<+secrets.getGCPAccessTokenFile(`+args+`)>`) }
		path := file(`"account.gcp_prod"`)
		if got, want := read(t, path), expand(t, step, `<+secrets.getGCPAccessToken("account.gcp_prod")>`); got != want {
			t.Errorf("the file holds %q, want %q", got, want)
		}
		if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("the file: %v, %v; want mode 0600", info, err)
		}
		scoped := file(`"account.gcp_prod", "https://scope.example.com"`)
		if got, want := read(t, scoped), expand(t, step, `<+secrets.getGCPAccessToken("account.gcp_prod", "https://scope.example.com")>`); got != want {
			t.Errorf("the file of a scope holds %q, want %q", got, want)
		}
		paths := map[string]bool{path: true, scoped: true, file(`"org.gcp_org"`): true, file(`"gcp_mine"`): true}
		if len(paths) != 4 || file(`"account.gcp_prod"`) != path {
			t.Errorf("paths %v, and %s for the first again", paths, file(`"account.gcp_prod"`))
		}
		first := read(t, path)
		for range 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := read(t, path); !strings.HasPrefix(got, "access-") {
				t.Fatalf("the file holds %q", got)
			}
		}
		if read(t, path) == first {
			t.Error("the token was not renewed in an hour")
		}
		outage := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 503, Retryable: true})
		google.fail.Store(&outage)
		time.Sleep(11 * time.Minute)
		synctest.Wait()
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an expired token is still there: %v", err)
		}
		if err := step.Close(); err != nil {
			t.Fatal(err)
		}
	})
	step := newStep(t, start(t, config), scope("payments", "ledger"))
	for _, text := range []string{
		`<+secrets.getGCPAccessTokenFile("account.aws_prod")>`, `<+secrets.getGCPAccessTokenFile("account.vault")>`,
		`<+secrets.getGCPAccessTokenFile("account.gcp_prod", "")>`, `<+secrets.getGCPAccessTokenFile("theirs")>`, `<+secrets.getGCPAccessTokenFile()>`,
	} {
		if got, err := step.Expand(t.Context(), text); err == nil {
			t.Errorf("%s gives %q", text, got)
		}
	}
}

func TestWriteFile(t *testing.T) {
	step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
	path, err := step.WriteFile(t.Context(), "etc/app.conf", `token=<+secrets.getJWT("account.vault")>;`)
	if err != nil {
		t.Fatal(err)
	}
	jwt := expand(t, step, `<+secrets.getJWT("account.vault")>`)
	if got, want := read(t, path), "token="+jwt+";"; got != want {
		t.Errorf("the file holds %q, want %q", got, want)
	}
	for _, name := range []string{"", ".", "..", "../x", "/x", "a/../x", "a//b", "a/", "./a"} {
		if _, err := step.WriteFile(t.Context(), name, "x"); err == nil {
			t.Errorf("the name %q is taken", name)
		}
	}
	if _, err := step.WriteFile(t.Context(), "bad", `<+secrets.getJWT("account.missing")>`); !errors.Is(err, broker.ErrNoConnector) {
		t.Errorf("got %v, want ErrNoConnector", err)
	}
	if _, err := os.Stat(filepath.Join(filepath.Dir(path), "..", "bad")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file whose text was refused exists: %v", err)
	}
}

// A step's file never contains an expired token. It is written again at about half its
// lifetime, stays while renewals fail, and is removed at expiry.
func TestFilesStayFresh(t *testing.T) {
	google := newCloud("gcp")
	google.lifetime = 10 * time.Minute
	config := brokerConfig(t, google)
	synctest.Test(t, func(t *testing.T) {
		b := start(t, config)
		step := newStep(t, b, scope("payments", "ledger"))
		path, err := step.WriteFile(t.Context(), "access", `<+secrets.getGCPAccessToken("account.gcp_prod")>`)
		if err != nil {
			t.Fatal(err)
		}
		for range 24 * 60 {
			time.Sleep(time.Minute)
			synctest.Wait()
			n := strings.Split(read(t, path), "-")[1]
			if n == "" {
				t.Fatal("the file is torn")
			}
		}
		renewals := google.count.Load()
		if renewals < 24*6 || renewals > 24*60/4 {
			t.Errorf("%d renewals in a day of 10-minute credentials", renewals)
		}

		outage := error(&exchange.Error{Provider: "gcp", Op: "sts:token", Status: 503, Retryable: true})
		google.fail.Store(&outage)
		time.Sleep(4 * time.Minute)
		synctest.Wait()
		read(t, path) // still exists
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("an expired credential is still there: %v", err)
		}
		google.fail.Store(nil)
		time.Sleep(time.Minute)
		synctest.Wait()
		read(t, path) // exists again
		if err := step.Close(); err != nil {
			t.Fatal(err)
		}
	})
}

// D03
func TestSweep(t *testing.T) {
	dir := t.TempDir() + "/steps"
	if err := os.MkdirAll(dir+"/step-left/.oidctoken", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/step-left/.oidctoken/x.jwt", []byte("left"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(dir+"/not-ours", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	config := brokerConfig(t, newCloud("gcp"))
	config.Dir = dir
	if _, err := broker.New(config); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 || left[0].Name() != "not-ours" {
		t.Errorf("%v is left, %v", left, err)
	}
}

// D07
func TestMask(t *testing.T) {
	step := newStep(t, newBroker(t, newCloud("gcp")), scope("payments", "ledger"))
	jwt := expand(t, step, `<+secrets.getJWT("account.vault")>`)
	access := expand(t, step, `<+secrets.getGCPAccessToken("account.gcp_prod")>`)
	var out strings.Builder
	w := step.Mask(&out)
	for _, b := range []byte("jwt " + jwt + "\naccess " + access + "\nplain\n") {
		if _, err := w.Write([]byte{b}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if want := "jwt ***\naccess ***\nplain\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}
