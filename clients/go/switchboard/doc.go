// Package switchboard connects Go programs to Switchboard, one gRPC service in front of two WhatsApp Business APIs.
//
// It is a thin layer over the generated code of [switchboard.example/go/switchboard/v1], which holds every call and
// every message. The layer adds:
//
//   - [NewClient] connects: TLS by default, plaintext on loopback. A token never travels in plaintext beyond loopback.
//   - [*Error] explains why a call failed: reason, metadata, field violations, retry delay. Find it with [errors.AsType] or
//     [errors.As].
//   - The client retries calls that fail with UNAVAILABLE if a retry cannot execute them twice. See [WithMaxAttempts].
//   - [Client.Subscribe] reads events across server restarts and broken connections, without losing or repeating one. It
//     acknowledges the events of a named subscription.
//   - [Client.SendMedia] and [Client.UploadTemplateMedia] send a file from an [io.Reader].
//
// A call takes its deadline from its context. Set a deadline on every call except streams that stay open.
package switchboard

// Version is the version of this package. The server of the same release has the same version.
const Version = "0.1.0"
