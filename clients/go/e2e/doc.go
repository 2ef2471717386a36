// Package e2e holds the tests that run this module against a real server: `switchboard sandbox`, started by each test that
// needs one of its own. SWITCHBOARD_BIN names the program; without it, it is the checkout's target/debug/switchboard.
package e2e
