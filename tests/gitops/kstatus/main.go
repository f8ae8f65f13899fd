// Computes Flux's verdict on objects: kstatus, as kustomize-controller 1.9.6 uses it.
//
//	kstatus < [OBJECT, ...] > [{"status", "message"}, ...]
package main

import (
	"fmt"
	"io"
	"os"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/json"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	text, err := io.ReadAll(os.Stdin)
	check(err)
	var objects []map[string]any
	check(json.Unmarshal(text, &objects)) // whole numbers become int64, as in objects from the API server
	verdicts := make([]verdict, len(objects))
	for index, object := range objects {
		found, err := status.Compute(&unstructured.Unstructured{Object: object})
		check(err)
		verdicts[index] = verdict{found.Status.String(), found.Message}
	}
	answer, err := json.Marshal(verdicts)
	check(err)
	fmt.Println(string(answer))
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
