// Command compatibility reads what `go test -json` prints on its standard input and
// puts the figures of that run into a document, between its marks:
//
//	go test -json ./integration/... | compatibility -commit COMMIT -write docs/compatibility.md
//
// It times the tests that the document names outside of the marks, `TestX` or, for all
// whose names begin so, `TestX…`, and refuses a run that one of them was no part of.
// It shows the output of what fails, and ends with 1 if anything did.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/berth-engine/berth/hack/figures"
)

const mark = "run"

func main() {
	write := flag.String("write", "", "the `document`")
	commit := flag.String("commit", "", "what was tested")
	flag.Parse()
	if *write == "" || *commit == "" || flag.NArg() > 0 {
		flag.Usage()
		os.Exit(2)
	}
	if err := put(*write, *commit); err != nil {
		fmt.Fprintln(os.Stderr, "compatibility:", err)
		os.Exit(1)
	}
}

func put(document, commit string) error {
	b, err := os.ReadFile(document)
	if err != nil {
		return err
	}
	before, _, after, err := figures.Cut(string(b), mark)
	if err != nil {
		return fmt.Errorf("%s: %w", document, err)
	}
	r, err := read(os.Stdin, os.Stderr)
	if err != nil {
		return err
	}
	table, err := r.markdown(figures.Machine()+"; commit "+commit, named(before+after))
	if err != nil {
		return err
	}
	fmt.Print(table)
	if err := figures.Put(document, mark, table); err != nil {
		return err
	}
	if r.failed() {
		return errors.New("tests failed")
	}
	return nil
}
