// Package e2e tests this module against a real server, `switchboard sandbox`. Each test starts its own server.
// SWITCHBOARD_BIN is the path of the server's executable; the default is target/debug/switchboard in the checkout.
package e2e
