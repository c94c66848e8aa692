// Judge calls a backlog-scaler server through KEDA's own client code, and
// what KEDA's built-in scaler would have returned in its place. It is the
// referee of the tests (evaluate) and the stopwatch of the comparison: all
// triggers at once (bench), or each at its own time for minutes (rhythm).
//
// The rules of the game are KEDA's: triggers are held in its ScalersCache, which
// the operator's polling loop and the HPA path both go through.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

const usage = `usage: judge evaluate < cases.json
       judge bench --mode external|builtin --backend TYPE --triggers N --rounds R [--scaler ADDR] [--set key=value]...
       judge rhythm < plan.json`

func main() {
	// KEDA prints some notices (of deprecated keys) straight to standard output,
	// where a reader of our JSON would choke on them.
	results := os.Stdout
	os.Stdout = os.Stderr

	if err := run(os.Args[1:], os.Stdin, results); err != nil {
		fmt.Fprintln(os.Stderr, "judge:", err)
		os.Exit(1)
	}
}

func run(args []string, input io.Reader, results io.Writer) error {
	if len(args) == 0 {
		return errors.New(usage)
	}
	switch args[0] {
	case "evaluate":
		return evaluate(input, results)
	case "bench":
		return bench(args[1:], results)
	case "rhythm":
		return rhythm(input, results)
	default:
		return fmt.Errorf("unknown subcommand %q\n%s", args[0], usage)
	}
}
