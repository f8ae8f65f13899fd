// Computes Flux's verdict on objects: kstatus, as kustomize-controller 1.9.6 uses it.
//
//	kstatus < [OBJECT, ...] > [{"status", "message"}, ...]
package main

import (
	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"tunewright.io/tests/gitops/wire"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

func main() {
	var objects []map[string]any
	wire.Read(&objects)
	verdicts := make([]verdict, len(objects))
	for index, object := range objects {
		found, err := status.Compute(&unstructured.Unstructured{Object: object})
		wire.Check(err)
		verdicts[index] = verdict{found.Status.String(), found.Message}
	}
	wire.Write(verdicts)
}
