package pipeline_test

import (
	"fmt"

	"github.com/oidctoken/oidctoken/examples/internal/pipeline"
)

func ExampleRead() {
	data := []byte(`account: acme
stages:
  - id: build
    type: CI
    environment: prod
    steps:
      - {id: list, run: gcloud projects list}
`)
	_, err := pipeline.Read("release.yaml", data, nil)
	fmt.Println(err)

	data = []byte(`account: acme
stages:
  - id: deploy
    type: Deployment
    environment: prod
    steps:
      - {id: list, run: gcloud projects list}
`)
	f, err := pipeline.Read("release.yaml", data, []string{"stages[deploy].environment.type=Production"})
	if err != nil {
		fmt.Println(err)
		return
	}
	stage := &f.Stages[0]
	fmt.Println(stage.ID, stage.Steps[0].Run)

	// Output:
	// release.yaml:5: stages[build].environment: is not a key here: it belongs to a stage of type Deployment or Custom
	// deploy gcloud projects list
}
