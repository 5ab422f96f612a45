package main

// Report exports report to the tests.
var Report = report
