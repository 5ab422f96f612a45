package conformance_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/spanner"
	database "cloud.google.com/go/spanner/admin/database/apiv1"
	"cloud.google.com/go/spanner/admin/database/apiv1/databasepb"
	instance "cloud.google.com/go/spanner/admin/instance/apiv1"
	"cloud.google.com/go/spanner/admin/instance/apiv1/instancepb"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/oidctoken/oidctoken/internal/needs"
	"github.com/oidctoken/oidctoken/oidctokentest/googletest"
)

const (
	spannerService  = "POST spanner.googleapis.com/"
	spannerInstance = "projects/" + project + "/instances/ledger"
	spannerDatabase = spannerInstance + "/databases/ledger"
)

// spannerAPI is the Cloud Spanner emulator behind the checks that it lacks: who
// calls, and what an IAM policy allows the caller.
type spannerAPI struct {
	google   *google
	members  []string // have the role roles/spanner.databaseUser
	emulator string   // address
	next     http.Handler

	mu    sync.Mutex
	calls []spannerCall
}

// spannerCall is a call with its caller.
type spannerCall struct {
	Method string              // such as /google.spanner.v1.Spanner/ExecuteSql
	Grant  googletest.Identity // zero without a live access token
	Code   codes.Code          // of the refusal; OK for what reached the emulator
}

// newSpanner makes an empty database, which members may use through g.
func newSpanner(t *testing.T, g *google, members ...string) *spannerAPI {
	t.Helper()
	s := &spannerAPI{google: g, members: members, emulator: startEmulator(t)}
	s.create(t)
	s.next = &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(&url.URL{Scheme: "http", Host: s.emulator})
		},
		Transport: &http.Transport{Protocols: unencryptedHTTP2()}, // gRPC
	}
	g.apis.Handle(spannerService, s)
	return s
}

func unencryptedHTTP2() *http.Protocols {
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	return p
}

// ServeHTTP passes a call of gRPC on to the emulator if Spanner would answer it.
func (s *spannerAPI) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	scheme, token, _ := strings.Cut(strings.Join(r.Header["Authorization"], ","), " ")
	call := spannerCall{Method: r.URL.Path}
	var ok bool
	if call.Grant, ok = s.google.Lookup(token); !ok || !strings.EqualFold(scheme, "Bearer") {
		call.Code = codes.Unauthenticated
		refuseCall(w, call.Code, "Request had invalid authentication credentials. "+
			"Expected OAuth 2 access token, login cookie or other valid authentication credential.")
	} else if !slices.ContainsFunc(s.members, func(m string) bool { return isMember(call.Grant, m) }) {
		call.Code = codes.PermissionDenied
		refuseCall(w, call.Code, "Caller is missing IAM permission spanner.sessions.create on resource "+spannerDatabase+".")
	}
	s.mu.Lock()
	s.calls = append(s.calls, call)
	s.mu.Unlock()
	if call.Code == codes.OK {
		s.google.admitted(spannerService, call.Grant)
		s.next.ServeHTTP(w, r)
	}
}

// isMember reports whether a member of an IAM policy is who a grant was made to.
func isMember(grant googletest.Identity, member string) bool {
	if grant.ServiceAccount != "" {
		return member == "serviceAccount:"+grant.ServiceAccount
	}
	pool, _, _ := strings.Cut(strings.TrimPrefix(grant.Principal, "principal:"), "/subject/")
	set, value, _ := strings.Cut(strings.TrimPrefix(member, "principalSet:"+pool+"/"), "/")
	return value != "" && grant.Attributes[set] == value
}

// refuseCall answers with a status of gRPC in headers alone.
func refuseCall(w http.ResponseWriter, code codes.Code, message string) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Grpc-Status", strconv.Itoa(int(code)))
	w.Header().Set("Grpc-Message", message)
}

// Calls returns the calls so far.
func (s *spannerAPI) Calls() []spannerCall {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.calls)
}

// startEmulator starts the Cloud Spanner emulator, which ends with the test.
func startEmulator(t *testing.T) (address string) {
	t.Helper()
	path, err := exec.LookPath("emulator_main")
	if err != nil { // it is in a directory of the Google Cloud CLI's own
		needs.Program(t, "gcloud")
		root := output(t, "gcloud", "info", "--format=value(installation.sdk_root)")
		path, err = exec.LookPath(filepath.Join(root, "bin", "cloud_spanner_emulator", "emulator_main"))
	}
	if err != nil {
		needs.Missing(t, "emulator_main", "it is the component cloud-spanner-emulator of gcloud")
	}
	address = freeAddress(t)
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	emulator := exec.CommandContext(ctx, path, "--host_port="+address)
	if err := emulator.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = emulator.Wait() // it was killed
	})
	return address
}

// options lead an administrator's client past the check.
func (s *spannerAPI) options() []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(s.emulator),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithDefaultCallOptions(grpc.WaitForReady(true))),
	}
}

// create makes an empty database.
func (s *spannerAPI) create(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	instances, err := instance.NewInstanceAdminClient(ctx, s.options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer instances.Close()
	made, err := instances.CreateInstance(ctx, &instancepb.CreateInstanceRequest{
		Parent: "projects/" + project, InstanceId: "ledger",
		Instance: &instancepb.Instance{Config: "projects/" + project + "/instanceConfigs/emulator-config", DisplayName: "ledger", NodeCount: 1},
	})
	if err == nil {
		_, err = made.Wait(ctx)
	}
	if err != nil {
		t.Fatalf("creating an instance: %v", err)
	}
	databases, err := database.NewDatabaseAdminClient(ctx, s.options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer databases.Close()
	empty, err := databases.CreateDatabase(ctx, &databasepb.CreateDatabaseRequest{
		Parent: spannerInstance, CreateStatement: "CREATE DATABASE ledger",
	})
	if err == nil {
		_, err = empty.Wait(ctx)
	}
	if err != nil {
		t.Fatalf("creating a database: %v", err)
	}
}

// spannerClient returns a client of a database that is its project's.
func spannerClient() client {
	return client{
		name:    "cloud.google.com/go/spanner",
		version: func(t *testing.T) string { return moduleVersion(t, "cloud.google.com/go/spanner") },
		env: func(t *testing.T, g *google) map[string]string {
			newSpanner(t, g, "principalSet://iam.googleapis.com/"+pool+"/attribute.project_id/ledger", "serviceAccount:"+account)
			return map[string]string{"GO_CLIENT": goClient, "DATABASE": spannerDatabase, "SPANNER_DISABLE_BUILTIN_METRICS": "true"}
		},
		run: `"$GO_CLIENT" spanner`, api: spannerService, want: "INFORMATION_SCHEMA",
	}
}

// column returns the first column of the database's answer, as text.
func (s *spannerAPI) column(t *testing.T, sql string) []string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	client, err := spanner.NewClientWithConfig(ctx, spannerDatabase, spanner.ClientConfig{DisableNativeMetrics: true}, s.options()...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	rows := client.Single().Query(ctx, spanner.Statement{SQL: sql})
	defer rows.Stop()
	var values []string
	for {
		row, err := rows.Next()
		if errors.Is(err, iterator.Done) {
			return values
		}
		var value string
		if err == nil {
			err = row.Column(0, &value)
		}
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		values = append(values, value)
	}
}
