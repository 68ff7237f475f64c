#!/bin/sh
# the dependency, and the standard library compiled both ways
set -eu
go mod tidy
go mod download
cp go.sum "$HOME/go.sum"
go build fmt net/http/httptest os/exec os/signal testing
go build -race fmt net/http/httptest os/exec os/signal testing
