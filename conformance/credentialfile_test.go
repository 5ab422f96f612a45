package conformance_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The file that the runner writes for a step is what gcloud's own generator
// writes for the same settings: X12
func TestCredentialFileIsGclouds(t *testing.T) {
	version := component("gcloud", `"Google Cloud SDK"`)(t)
	for _, tt := range []struct {
		name, serviceAccount, lifetime, flags string
	}{
		{"direct", "", "", ""},
		{"impersonation", account, "", "--service-account=" + account},
		{"impersonation for 20 minutes", account, "20m", "--service-account=" + account + " --service-account-token-lifetime-seconds=1200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			g := newGoogle(t)
			out := t.TempDir()
			p := g.pipeline(tt.serviceAccount, g.step("judge", `
				cp "$GOOGLE_APPLICATION_CREDENTIALS" "$OUT/ours.json"
				file=$(sed -n 's/^ *"file": "\(.*\)"$/\1/p' "$OUT/ours.json")
				gcloud iam workload-identity-pools create-cred-config "$PROVIDER" --quiet $FLAGS \
					--subject-token-type=urn:ietf:params:oauth:token-type:jwt --credential-source-file="$file" --output-file="$OUT/gclouds.json"`,
				map[string]string{"OUT": out, "PROVIDER": provider, "FLAGS": tt.flags}))
			if tt.lifetime != "" {
				p.Connectors[0].GCP["lifetime"] = tt.lifetime
			}
			if o := g.run(t, p); o.code != 0 {
				t.Fatal(o)
			}
			ours, gclouds := readJSON(t, filepath.Join(out, "ours.json")), readJSON(t, filepath.Join(out, "gclouds.json"))
			if diff := cmp.Diff(gclouds, ours); diff != "" {
				t.Errorf("the credential file (-gcloud's +ours):\n%s", diff)
			}
			g.checkNothingElse(t)
			row(t, "gcloud", version, "create-cred-config, "+tt.name)
		})
	}
}

func readJSON(t *testing.T, path string) map[string]any {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var object map[string]any
	if err := json.Unmarshal(b, &object); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return object
}
