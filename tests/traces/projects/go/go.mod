module example.org/demo

go 1.18

require golang.org/x/text v0.9.0
