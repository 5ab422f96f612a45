package mask_test

import (
	"encoding/base64"
	"fmt"
	"os"

	"github.com/oidctoken/oidctoken/internal/mask"
)

func ExampleSet_Writer() {
	const password = "correct horse battery staple"
	var set mask.Set
	set.Add(password)
	w := set.Writer(os.Stdout)
	fmt.Fprintln(w, "logging in as deployer with", password)
	fmt.Fprintln(w, "Authorization: Basic", base64.StdEncoding.EncodeToString([]byte("deployer:"+password)))
	if err := w.Close(); err != nil {
		fmt.Println(err)
	}
	// Output:
	// logging in as deployer with ***
	// Authorization: Basic ZGVwbG95ZXI6***Q==
}

func ExampleSet_Text() {
	var set mask.Set
	set.Add("correct horse battery staple")
	fmt.Println(set.Text("GET /login?password=correct+horse+battery+staple: 403"))
	// Output: GET /login?password=***: 403
}

func ExampleSet_Add() {
	var set mask.Set
	fmt.Println(set.Add("correct horse battery staple"))
	fmt.Println(set.Add("1234"))
	// Output:
	// true
	// false
}
