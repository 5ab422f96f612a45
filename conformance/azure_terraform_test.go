package conformance_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oidctoken/oidctoken/internal/needs"
)

const (
	storageHost = "acmestate.blob.core.windows.net"
	blobsAPI    = storageHost + "/tfstate"
)

// storage is the part of Azure's Blob Storage that terraform needs to keep a
// state.
type storage struct {
	mu    sync.Mutex
	blob  []byte // nil: no blob
	lease string
	lock  string // terraform's own, in the blob's metadata
}

// newStorage adds a storage account to the hosts of Microsoft that e serves.
func newStorage(e *entra) *storage {
	s := new(storage)
	for pattern, serve := range map[string]http.HandlerFunc{
		"GET " + blobsAPI:             s.list,
		"GET " + blobsAPI + "/ledger": s.get, // and HEAD
		"PUT " + blobsAPI + "/ledger": s.put,
	} {
		e.apis.Handle(pattern, e.admit(blobsAPI, "https://storage.azure.com", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			serve(w, r)
		})))
	}
	return s
}

// list has nothing to show: there are no workspaces.
func (s *storage) list(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/xml")
	fmt.Fprint(w, `<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Blobs/><NextMarker/></EnumerationResults>`)
}

func (s *storage) get(w http.ResponseWriter, _ *http.Request) {
	if s.blob == nil {
		w.Header().Set("X-Ms-Error-Code", "BlobNotFound")
		w.WriteHeader(http.StatusNotFound)
		return
	}
	state := "available"
	if s.lease != "" {
		state = "leased"
	}
	header := w.Header()
	header.Set("X-Ms-Blob-Type", "BlockBlob")
	header.Set("X-Ms-Lease-State", state)
	header.Set("X-Ms-Meta-Terraformlockid", s.lock)
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Length", strconv.Itoa(len(s.blob)))
	_, _ = w.Write(s.blob) // a client that hangs up fails itself
}

// state returns terraform's state, or nothing if there is no state.
func (s *storage) state() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.blob
}

// put is Put Blob, Lease Blob and Set Blob Metadata. It refuses a caller
// without the lease.
func (s *storage) put(w http.ResponseWriter, r *http.Request) {
	status := http.StatusCreated
	switch what, held := r.URL.Query().Get("comp"), r.Header.Get("X-Ms-Lease-Id") == s.lease; {
	case what == "lease" && r.Header.Get("X-Ms-Lease-Action") == "acquire" && s.lease == "":
		s.lease = r.Header.Get("X-Ms-Proposed-Lease-Id")
		w.Header().Set("X-Ms-Lease-Id", s.lease)
	case !held:
		status = http.StatusConflict
	case what == "lease" && r.Header.Get("X-Ms-Lease-Action") == "release":
		s.lease, status = "", http.StatusOK
	case what == "metadata":
		s.lock, status = r.Header.Get("X-Ms-Meta-Terraformlockid"), http.StatusOK
	case what == "":
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			status = http.StatusBadRequest
			break
		}
		s.blob = body
	default:
		status = http.StatusNotImplemented
	}
	w.WriteHeader(status)
}

// terraformAzure keeps its state in Azure. Its backend authenticates as
// terraform's providers for Azure do, by the same variables, and comes with
// terraform itself.
func terraformAzure() azureClient {
	return azureClient{
		name: "terraform's backend azurerm", version: terraformVersion,
		env: func(*testing.T) map[string]string {
			return map[string]string{"CHECKPOINT_DISABLE": "1", "TF_IN_AUTOMATION": "1"}
		},
		files: map[string]string{"main.tf": `
			terraform {
			  backend "azurerm" {
			    storage_account_name = "acmestate"
			    container_name       = "tfstate"
			    key                  = "ledger"
			    use_azuread_auth     = true
			  }
			}
			variable "step" { type = string }
			output "step" { value = var.step }
		`},
		run: `cd "$STEP_DIR" && terraform init -input=false -no-color && terraform apply -input=false -no-color -auto-approve`,
	}
}

// Terraform keeps its state in Azure with the environment that the runner gives
// a step, at Microsoft's own hosts. Each step is authenticated as itself,
// although the machine has other credentials. A secret that a step's author
// sets wins, as the control shows: X11 X14 D05
func TestAzureTerraform(t *testing.T) {
	t.Parallel()
	c := terraformAzure()
	version := c.version(t)
	e := newEntra(t)
	s := newStorage(e)
	a := e.public()
	o := e.run(t, a, assignments(stray()), e.pipeline(a,
		c.step(t, a, "first", map[string]string{"TF_VAR_step": "first"}),
		c.step(t, a, "second", map[string]string{"TF_VAR_step": "second"}),
		c.step(t, a, "control", map[string]string{"TF_VAR_step": "control", "ARM_CLIENT_SECRET": "stray-secret"}),
	))
	if o.code == 0 || strings.Count(o.stdout, "Apply complete!") != 2 || !strings.Contains(o.stderr, "stage_control/control failed") {
		t.Errorf("want two steps that apply, and a control that fails; %v", o)
	}
	var state struct {
		Serial  int
		Outputs struct{ Step struct{ Value string } }
	}
	if err := json.Unmarshal(s.state(), &state); err != nil || state.Outputs.Step.Value != "second" || state.Serial < 2 {
		t.Errorf("the state is %+v, %v, want that of the second step, made of the first one's", state, err)
	}
	if diff := cmp.Diff([]azureCaller{{"first", ledger}, {"second", ledger}}, e.callers(blobsAPI)); diff != "" {
		t.Errorf("callers (-want +got):\n%s", diff)
	}
	e.checkNothingElse(t)
	row(t, c.name, version, "two steps, "+a.name+": init and apply with the state in Blob Storage")
	t.Log("| terraform's provider azurerm | none | is no judge here: the backend reads the same variables | not asked |")
}

func terraformVersion(t *testing.T) string {
	t.Helper()
	needs.Program(t, "terraform")
	out, err := exec.CommandContext(t.Context(), "terraform", "version", "-json").Output()
	if err != nil {
		t.Fatal(err)
	}
	var terraform struct {
		Version string `json:"terraform_version"`
	}
	if err := json.Unmarshal(out, &terraform); err != nil {
		t.Fatal(err)
	}
	return terraform.Version
}
