// Package wire is how these programs talk to the tests: JSON in, JSON out, and the first error ends the program.
package wire

import (
	"fmt"
	"io"
	"os"

	"k8s.io/apimachinery/pkg/util/json"
)

// Read parses standard input. Whole numbers become int64, as in objects from the API server.
func Read(into any) {
	text, err := io.ReadAll(os.Stdin)
	Check(err)
	Check(json.Unmarshal(text, into))
}

// Write prints a value.
func Write(value any) {
	answer, err := json.Marshal(value)
	Check(err)
	fmt.Println(string(answer))
}

// Check ends the program with an error, if there is one.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
