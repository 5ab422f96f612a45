package conformance_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc/codes"

	"github.com/oidctoken/oidctoken/gcp"
	"github.com/oidctoken/oidctoken/internal/needs"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
)

const (
	liquibasePage     = "liquibase.md"
	liquibaseProvider = pool + "/providers/deployments"
)

// schema is the result of a changelog in a database.
type schema struct {
	Tables, Indexes, Changes, Owners []string
}

// The files of examples/liquibase, run as they are, change a database if and
// only if what docs/liquibase.md creates lets them: runs of them that follow one
// another on one database. X12
func TestLiquibase(t *testing.T) {
	t.Parallel()
	lib := filepath.Join(installed(t, "liquibase"), "lib")
	versions := liquibaseVersions(t, lib)
	g := newDeployments(t)
	s := newSpanner(t, g, flag(t, liquibasePage, "member"))
	applied := schema{
		Tables:  []string{"Accounts", "DATABASECHANGELOG", "DATABASECHANGELOGLOCK", "Entries"},
		Indexes: []string{"EntriesByAccount"},
		Changes: []string{"create-accounts", "create-entries", "index-entries", "open-suspense-account"},
		Owners:  []string{"ledger"},
	}
	for _, run := range []struct {
		name  string
		edits []string // pairs for strings.NewReplacer, of the file
		code  int
		says  []string // somewhere in the output
		calls []attempt
		want  schema
	}{
		{
			name: "another project", edits: []string{"project: ledger\n", "project: billing\n"}, code: 1,
			says: []string{"unauthorized_client", "The given credential is rejected by the attribute condition."},
		},
		{
			name: "no deployment", code: 1, edits: []string{
				"type: Deployment", "type: CI",
				"    service: {id: ledger, name: Ledger}\n", "",
				"    environment: {id: prod, type: Production}\n", "",
			},
			says: []string{"unauthorized_client", "Could not obtain a value for attribute.environment_id from the given credential."},
		},
		{
			name: "another environment", edits: []string{"id: prod,", "id: staging,"}, code: 1,
			says:  []string{"PERMISSION_DENIED", "Caller is missing IAM permission"},
			calls: []attempt{{"staging", codes.PermissionDenied}},
		},
		{
			name:  "as it is",
			says:  []string{"Liquibase command 'update' was executed successfully.", "Run:                          4"},
			calls: []attempt{{"prod", codes.OK}},
			want:  applied,
		},
		{
			name:  "once more",
			says:  []string{"Liquibase command 'update' was executed successfully.", "Run:                          0"},
			calls: []attempt{{"prod", codes.OK}},
			want:  applied,
		},
	} {
		t.Run(run.name, func(t *testing.T) {
			before := len(s.Calls())
			o := g.liquibase(t, lib, run.edits)
			if o.code != run.code {
				t.Errorf("want exit code %d; %v", run.code, o)
			}
			for _, text := range run.says {
				if !strings.Contains(o.stdout+o.stderr, text) {
					t.Errorf("want %q; %v", text, o)
				}
			}
			if secret := regexp.MustCompile(`eyJ[\w-]{4}|ya29\.[\w-]{4}`).FindString(o.stdout + o.stderr); secret != "" {
				t.Errorf("the output has a token that begins with %s", secret)
			}
			if diff := cmp.Diff(run.calls, attempts(s.Calls()[before:])); diff != "" {
				t.Errorf("calls of Spanner (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(run.want, s.schema(t)); diff != "" {
				t.Errorf("database (-want +got):\n%s", diff)
			}
		})
	}
	g.checkNothingElse(t)
	row(t, "Liquibase", versions, "a changelog, to a database of the emulator")
}

// attempt is the common part of calls: the caller and the result.
type attempt struct {
	Environment string
	Code        codes.Code
}

// attempts returns the attempts of the calls, one for several equal calls in a
// row.
func attempts(calls []spannerCall) []attempt {
	var made []attempt
	for _, c := range calls {
		made = append(made, attempt{c.Grant.Attributes["attribute.environment_id"], c.Code})
	}
	return slices.Compact(made)
}

// schema returns the database's current schema. Liquibase's own tables are
// missing until Liquibase has made them.
func (s *spannerAPI) schema(t *testing.T) schema {
	t.Helper()
	now := schema{
		Tables:  s.column(t, "SELECT table_name FROM information_schema.tables WHERE table_schema = '' ORDER BY 1"),
		Indexes: s.column(t, "SELECT index_name FROM information_schema.indexes WHERE table_schema = '' AND index_type = 'INDEX' ORDER BY 1"),
	}
	if slices.Contains(now.Tables, "DATABASECHANGELOG") {
		now.Changes = s.column(t, "SELECT id FROM DATABASECHANGELOG ORDER BY orderexecuted")
	}
	if slices.Contains(now.Tables, "Accounts") {
		now.Owners = s.column(t, "SELECT Owner FROM Accounts")
	}
	return now
}

// newDeployments returns a Google that was set up with the page's commands and
// the test's issuer.
func newDeployments(t *testing.T) *google {
	t.Helper()
	g := &google{issuer: freeAddress(t), apis: http.NewServeMux()}
	mapping := make(map[string]string)
	for pair := range strings.SplitSeq(flag(t, liquibasePage, "attribute-mapping"), ",") {
		to, from, _ := strings.Cut(pair, "=")
		mapping[to] = from
	}
	var err error
	g.Server, err = googletest.New(googletest.Config{Providers: []googletest.Provider{{
		Name: liquibaseProvider, Issuer: g.issuerURL(),
		AttributeMapping:   mapping,
		AttributeCondition: flag(t, liquibasePage, "attribute-condition"),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	g.serve()
	g.proxy = newProxy(t, isGoogle, g)
	return g
}

// issuerURL has a path, as the page's has.
func (g *google) issuerURL() string { return "http://" + g.issuer + "/oidc" }

// liquibase runs the example's pipeline file, edited, on a separate machine.
// The settings give the places of the programs; Liquibase uses the proxy as any
// other.
func (g *google) liquibase(t *testing.T, lib string, edits []string) outcome {
	t.Helper()
	const example = "../examples/liquibase"
	home := t.TempDir()
	bin, file := filepath.Join(home, "bin"), filepath.Join(home, "pipeline.yaml")
	launcher, err := os.ReadFile(filepath.Join(example, "liquibase"))
	content, err2 := os.ReadFile(filepath.Join(example, "pipeline.yaml"))
	if err := errors.Join(
		err, err2,
		os.Mkdir(bin, 0o700),
		os.WriteFile(filepath.Join(bin, "liquibase"), launcher, 0o700),
		os.Symlink(lib, filepath.Join(home, "lib")),
		os.WriteFile(file, edited(t, string(content), edits), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	var args []string
	for _, assignment := range []string{
		"issuer.listen=" + g.issuer,
		"issuer.url=" + g.issuerURL(),
		"variables.source=" + absolute(t, example),
		"stages[migrate].steps[update].env.JDK_JAVA_OPTIONS=-XX:TieredStopAtLevel=1 " + javaOptions(t, g),
	} {
		args = append(args, "-set", assignment)
	}
	path := bin + string(os.PathListSeparator) + os.Getenv("PATH")
	return g.start(t, []string{"PATH=" + path, "HOME=" + home}, append(args, file)...)
}

// edited returns text with the pairs' first replaced by their second.
func edited(t *testing.T, text string, pairs []string) []byte {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if strings.Count(text, pairs[i]) != 1 {
			t.Fatalf("not once in the file: %q", pairs[i])
		}
	}
	return []byte(strings.NewReplacer(pairs...).Replace(text))
}

// liquibaseVersions returns the versions of the JARs that matter, and of Java.
func liquibaseVersions(t *testing.T, lib string) string {
	t.Helper()
	needs.Program(t, "java")
	var versions []string
	for _, name := range []string{"liquibase-core", "liquibase-spanner", "google-cloud-spanner-jdbc", "google-auth-library-oauth2-http"} {
		jars, err := filepath.Glob(filepath.Join(lib, name+"-[0-9]*.jar"))
		if err != nil || len(jars) != 1 {
			t.Fatalf("the JARs of %s are %q, %v", name, jars, err)
		}
		versions = append(versions, strings.TrimSuffix(filepath.Base(jars[0]), ".jar"))
	}
	return strings.Join(append(versions, javaMachine(t)), ", ")
}

// The page shows the files of examples/liquibase, and the file that the library
// writes.
func TestLiquibasePage(t *testing.T) {
	t.Parallel()
	for i, file := range []string{"pipeline.yaml", "changelog.yaml"} {
		whole, err := os.ReadFile(filepath.Join("..", "examples", "liquibase", file))
		if err != nil {
			t.Fatal(err)
		}
		if shown := blocks(t, liquibasePage, "yaml"); len(shown) != 2 || !strings.Contains(string(whole), shown[i]) {
			t.Errorf("the page's blocks of YAML are not parts of the example's %s:\n%s", file, strings.Join(shown, "\n"))
		}
	}
	ex, err := gcp.New(gcp.Config{Provider: liquibaseProvider})
	if err != nil {
		t.Fatal(err)
	}
	file, err := ex.CredentialFile(gcp.FileSource{Path: "/path/of/the/step/jwt"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{string(file) + "\n"}, blocks(t, liquibasePage, "json")); diff != "" {
		t.Errorf("key file (-written +shown):\n%s", diff)
	}
}
