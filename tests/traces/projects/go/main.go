// A program with a dependency; its package is tested with the race detector, which needs cgo.
package main

import (
	"fmt"

	"example.org/demo/words"
	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

func main() { fmt.Println(cases.Title(language.English).String(words.Join("hello", "world"))) }
