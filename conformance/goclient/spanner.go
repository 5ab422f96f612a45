package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"cloud.google.com/go/spanner"
	"google.golang.org/api/iterator"
)

// printSchemas prints the names of the schemas of a Cloud Spanner database,
// which an empty one has, too.
func printSchemas(ctx context.Context) error {
	client, err := spanner.NewClient(ctx, os.Getenv("DATABASE"))
	if err != nil {
		return err
	}
	defer client.Close()
	rows := client.Single().Query(ctx, spanner.Statement{SQL: "SELECT schema_name FROM information_schema.schemata"})
	defer rows.Stop()
	for {
		row, err := rows.Next()
		if errors.Is(err, iterator.Done) {
			return nil
		}
		var name string
		if err == nil {
			err = row.Column(0, &name)
		}
		if err != nil {
			return err
		}
		fmt.Println(name)
	}
}
