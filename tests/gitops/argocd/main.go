// Computes Argo CD's verdicts with its own code (argo-cd 3.2.0 and gitops-engine): the health of objects, with the script of the repository,
// and whether a stored object differs from its manifest.
//
//	argocd health SCRIPT < [OBJECT, ...] > [{"status", "message"}, ...]
//	argocd diff < [{"manifest", "live"}, ...] > [true, ...]
package main

import (
	"fmt"
	"os"

	"github.com/argoproj/gitops-engine/pkg/diff"
	"github.com/argoproj/gitops-engine/pkg/health"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/argoproj/argo-cd/v3/pkg/apis/application/v1alpha1"
	"github.com/argoproj/argo-cd/v3/util/lua"

	"tunewright.io/tests/gitops/wire"
)

type verdict struct {
	Status  string `json:"status"`
	Message string `json:"message"`
}

type pair struct {
	Manifest map[string]any `json:"manifest"`
	Live     map[string]any `json:"live"`
}

func main() {
	switch os.Args[1] {
	case "health":
		script, err := os.ReadFile(os.Args[2])
		wire.Check(err)
		var objects []map[string]any
		wire.Read(&objects)
		wire.Write(judge(objects, string(script)))
	case "diff":
		var pairs []pair
		wire.Read(&pairs)
		wire.Write(differ(pairs))
	default:
		wire.Check(fmt.Errorf("unknown command %s", os.Args[1]))
	}
}

func judge(objects []map[string]any, script string) []verdict {
	overrides := lua.ResourceHealthOverrides{
		"tunewright.io/FineTuneJob": v1alpha1.ResourceOverride{HealthLua: script},
	}
	verdicts := make([]verdict, len(objects))
	for index, object := range objects {
		found, err := health.GetResourceHealth(&unstructured.Unstructured{Object: object}, overrides)
		wire.Check(err)
		if found != nil { // nil: Argo CD has no check for the kind
			verdicts[index] = verdict{string(found.Status), found.Message}
		}
	}
	return verdicts
}

func differ(pairs []pair) []bool {
	modified := make([]bool, len(pairs))
	for index, one := range pairs {
		manifest, live := &unstructured.Unstructured{Object: one.Manifest}, &unstructured.Unstructured{Object: one.Live}
		result, err := diff.Diff(manifest, live)
		wire.Check(err)
		modified[index] = result.Modified
	}
	return modified
}
