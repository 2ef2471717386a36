// Package switchboard connects Go programs to Switchboard, one gRPC service in front of two WhatsApp-business APIs.
//
// It is a thin layer over the generated code of [switchboard.example/go/switchboard/v1], which holds every call and every
// message. The layer adds what each program would otherwise write again:
//
//   - [NewClient] connects: TLS by default, plaintext on loopback, a token that never travels in plaintext beyond it.
//   - [*Error], found with [errors.AsType] or [errors.As], tells why a call failed: reason, metadata, field violations, delay.
//   - Calls that fail with UNAVAILABLE are tried again where that cannot do anything twice. See [WithMaxAttempts].
//   - [Client.Subscribe] reads events over restarts and broken connections, without losing one or giving one twice, and
//     acknowledges those of a named subscription.
//   - [Client.SendMedia] and [Client.UploadTemplateMedia] send a file from an [io.Reader].
//
// A call takes its deadline from its context. Give every call one, but for streams that are meant to stay open.
package switchboard

// Version is the version of this package, and of the server that it was made with.
const Version = "0.1.0"
