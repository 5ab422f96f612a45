// Goazure lists subscriptions, as a program with the Azure SDK for Go would:
// goazure
// ClientAssertionCredential|WorkloadIdentityCredential|DefaultAzureCredential.
// It prints their names. RESOURCE_MANAGER is the Azure Resource Manager's
// address; PRIVATE_AUTHORITY is set for an authority that Microsoft does not
// know.
package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/runtime"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(name string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	credential, err := newCredential(name)
	if err != nil {
		return err
	}
	pipeline := runtime.NewPipeline("goazure", "v1.0.0", runtime.PipelineOptions{PerRetry: []policy.Policy{
		runtime.NewBearerTokenPolicy(credential, []string{"https://management.azure.com/.default"}, nil),
	}}, nil)
	request, err := runtime.NewRequest(ctx, http.MethodGet, os.Getenv("RESOURCE_MANAGER")+"/subscriptions?api-version=2022-12-01")
	if err != nil {
		return err
	}
	answer, err := pipeline.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if !runtime.HasStatusCode(answer, http.StatusOK) {
		return runtime.NewResponseError(answer)
	}
	var list struct {
		Value []struct{ DisplayName string }
	}
	if err := runtime.UnmarshalAsJSON(answer, &list); err != nil {
		return err
	}
	for _, s := range list.Value {
		fmt.Println(s.DisplayName)
	}
	return nil
}

func newCredential(name string) (azcore.TokenCredential, error) {
	private := os.Getenv("PRIVATE_AUTHORITY") != ""
	switch name {
	case "ClientAssertionCredential":
		return azidentity.NewClientAssertionCredential(os.Getenv("AZURE_TENANT_ID"), os.Getenv("AZURE_CLIENT_ID"),
			func(context.Context) (string, error) {
				jwt, err := os.ReadFile(os.Getenv("AZURE_FEDERATED_TOKEN_FILE"))
				return string(jwt), err
			}, &azidentity.ClientAssertionCredentialOptions{DisableInstanceDiscovery: private})
	case "WorkloadIdentityCredential":
		return azidentity.NewWorkloadIdentityCredential(&azidentity.WorkloadIdentityCredentialOptions{DisableInstanceDiscovery: private})
	}
	return azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{DisableInstanceDiscovery: private})
}
