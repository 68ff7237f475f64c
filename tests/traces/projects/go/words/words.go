// Package words joins words.
package words

import "strings"

// Join joins with a space.
func Join(parts ...string) string { return strings.Join(parts, " ") }
