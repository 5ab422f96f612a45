// Goclient lists projects with the application default credentials, as a
// program that uses one of Google's Go libraries would: goclient auth|oauth2.
// It prints their ids. With goclient spanner it prints the schemas of the
// database DATABASE instead.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"cloud.google.com/go/auth/credentials"
	"cloud.google.com/go/auth/httptransport"
	"golang.org/x/oauth2/google"
)

const cloudPlatform = "https://www.googleapis.com/auth/cloud-platform"

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(library string) error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if library == "spanner" {
		return printSchemas(ctx)
	}
	client, err := newClient(ctx, library)
	if err != nil {
		return err
	}
	answer, err := client.Get("https://cloudresourcemanager.googleapis.com/v1/projects")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("projects.list: %s", answer.Status)
	}
	var list struct {
		Projects []struct {
			ID string `json:"projectId"`
		} `json:"projects"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&list); err != nil {
		return err
	}
	for _, p := range list.Projects {
		fmt.Println(p.ID)
	}
	return nil
}

func newClient(ctx context.Context, library string) (*http.Client, error) {
	if library == "oauth2" {
		return google.DefaultClient(ctx, cloudPlatform)
	}
	found, err := credentials.DetectDefault(&credentials.DetectOptions{Scopes: []string{cloudPlatform}})
	if err != nil {
		return nil, err
	}
	return httptransport.NewClient(&httptransport.Options{Credentials: found})
}
