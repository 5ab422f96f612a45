package main

// Report is report.
var Report = report
