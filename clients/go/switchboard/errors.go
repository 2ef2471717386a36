package switchboard

import (
	"cmp"
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/protoadapt"
	"google.golang.org/protobuf/types/known/durationpb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// Domain is the [Error.Domain] of every error that Switchboard itself returned.
const Domain = "switchboard"

const (
	// reasonPrefix comes before the text of a reason in the names of [switchboardv1.Reason].
	reasonPrefix = "REASON_"
	// providerMessage is the metadata key of [Error.ProviderMessage].
	providerMessage = "provider_message"
)

// Error is a failed call, or a failure that a stream, an event or a message contains. Every error of a call through a
// [Client] is an Error; find it with [errors.AsType] or [errors.As]. [status.FromError] and [status.Code] read it too.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason identifies the error in upper snake case, such as RECIPIENT_NOT_REACHABLE. Decide on this field: compare
	// [ParseReason] of it with the constants of [switchboardv1.Reason]. The server's docs/errors.md lists all reasons.
	// Reason is empty when a library or a proxy made the status; then the outcome of a write is unknown.
	Reason string
	// Domain is who defined the reason: [Domain], or empty if Reason is empty.
	Domain string
	// Message is an English sentence for developers. Its wording may change.
	Message string
	// Metadata holds details of the reason by key, such as message_id, attempt or provider_code. It omits
	// provider_message, because that may quote the message: see [Error.ProviderMessage].
	Metadata map[string]string
	// Violations are the invalid fields of the request, if these caused the failure.
	Violations []FieldViolation
	// RequestID is the request_id that the failed call carried, yours or a generated one. Resend the same request with
	// it to retry without executing the request twice. It is empty if the call had none.
	RequestID string

	status     *status.Status
	retryDelay *durationpb.Duration
	cause      error
}

// FieldViolation describes one invalid field of a request.
type FieldViolation struct {
	// Field is the field's path, such as template.body[1].text.
	Field string
	// Reason is the kind of violation, in upper snake case: REQUIRED, MALFORMED, OUT_OF_RANGE, UNKNOWN_VALUE,
	// UNSUPPORTED or MISMATCH.
	Reason string
	// Description states what is allowed, in English.
	Description string
}

// Error returns code, reason and message as one line.
func (e *Error) Error() string {
	var text strings.Builder
	text.WriteString("switchboard: ")
	text.WriteString(e.Code.String())
	for _, part := range []struct{ before, text string }{{" ", e.Reason}, {": ", e.Message}} {
		if part.text != "" {
			text.WriteString(part.before + part.text)
		}
	}
	return text.String()
}

// Unwrap returns [context.DeadlineExceeded] or [context.Canceled] if the deadline or the cancellation of the call's
// context ended it, so [errors.Is] finds them. Otherwise it returns nil.
func (e *Error) Unwrap() error { return e.cause }

// RetryDelay is how long to wait before the next attempt. ok is false if the server gave no delay, because waiting may
// not help.
func (e *Error) RetryDelay() (delay time.Duration, ok bool) {
	return e.retryDelay.AsDuration(), e.retryDelay != nil
}

// ProviderMessage is what the provider wrote about the failure, at most 256 characters. It is empty if the provider
// wrote nothing. The text may quote the message: treat it as message content, and do not log it. No other field or
// method returns it, except the details of [Error.GRPCStatus].
func (e *Error) ProviderMessage() string {
	for _, detail := range e.status.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			return info.GetMetadata()[providerMessage]
		}
	}
	return ""
}

// ParseReason returns the constant for the text of a reason: [Error.Reason], or the reason of a Failure. It returns
// REASON_UNSPECIFIED for an empty text, and for a reason that is newer than this package. For these, decide on the gRPC
// code.
func ParseReason(text string) switchboardv1.Reason {
	return switchboardv1.Reason(switchboardv1.Reason_value[reasonPrefix+text])
}

// GRPCStatus is the original status with all its details.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// ErrorFrom converts the failure in a stream, an event or a message into an [*Error]; nil stays nil. It omits the
// provider's raw response (raw_json), because that may quote the message.
func ErrorFrom(failure *switchboardv1.Failure) error {
	if failure == nil {
		return nil
	}
	code := codes.Code(failure.GetCode())
	if code == codes.OK || code > codes.Unauthenticated {
		code = codes.Unknown
	}
	// Use the same details as those of a failed call.
	metadata := maps.Clone(failure.GetMetadata())
	for key, value := range map[string]string{
		"provider":          cmp.Or(failure.GetProviderName(), providerName(failure.GetProvider())),
		"provider_code":     failure.GetProviderCode(),
		"provider_type":     failure.GetProviderType(),
		"provider_trace_id": failure.GetProviderTraceId(),
		providerMessage:     failure.GetProviderMessage(),
	} {
		if value != "" {
			if metadata == nil {
				metadata = map[string]string{}
			}
			metadata[key] = value
		}
	}
	details := []protoadapt.MessageV1{
		&errdetails.ErrorInfo{Reason: failure.GetReason(), Domain: Domain, Metadata: metadata},
	}
	if violations := failure.GetFieldViolations(); len(violations) > 0 {
		request := &errdetails.BadRequest{}
		for _, violation := range violations {
			request.FieldViolations = append(request.FieldViolations, &errdetails.BadRequest_FieldViolation{
				Field:       violation.GetField(),
				Reason:      violation.GetReason(),
				Description: violation.GetDescription(),
			})
		}
		details = append(details, request)
	}
	if delay := failure.GetRetryDelay(); delay != nil {
		details = append(details, &errdetails.RetryInfo{RetryDelay: delay})
	}
	detailed, err := status.New(code, failure.GetMessage()).WithDetails(details...)
	if err != nil {
		detailed = status.New(code, failure.GetMessage())
	}
	return newError(detailed, "")
}

// providerName is the name of a provider as in the metadata of a failed call, or empty.
func providerName(provider switchboardv1.Provider) string {
	if provider == switchboardv1.Provider_PROVIDER_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(provider.String(), "PROVIDER_"))
}

// contextError is the *Error of a call that the end of its context stopped.
func contextError(stopped error, requestID string) *Error {
	e := newError(status.FromContextError(stopped), requestID)
	e.cause = stopped
	return e
}

// endOfContext returns the error of the context if its end may be why a call failed.
func endOfContext(ctx context.Context, e *Error) error {
	switch {
	case e.Reason != "":
		return nil
	case e.Code == codes.DeadlineExceeded:
		return context.DeadlineExceeded
	case e.Code != codes.Canceled:
		return nil
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < deadlineSkew {
		// The server's timer fired first. The client's follows.
		<-ctx.Done()
	}
	return ctx.Err()
}

// wrapError converts a gRPC status error of a call with this context into an *Error.
func wrapError(ctx context.Context, err error, requestID string) error {
	if err == nil || err == io.EOF { // gRPC itself ends a stream with io.EOF.
		return err
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if failure, ok := status.FromError(err); ok {
		e := newError(failure, requestID)
		e.cause = endOfContext(ctx, e)
		return e
	}
	return err
}

func newError(failure *status.Status, requestID string) *Error {
	e := &Error{Code: failure.Code(), Message: failure.Message(), RequestID: requestID, status: failure}
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.Domain, e.Metadata = detail.GetReason(), detail.GetDomain(), maps.Clone(detail.GetMetadata())
			delete(e.Metadata, providerMessage)
		case *errdetails.BadRequest:
			for _, violation := range detail.GetFieldViolations() {
				e.Violations = append(e.Violations, FieldViolation{
					Field:       violation.GetField(),
					Reason:      violation.GetReason(),
					Description: violation.GetDescription(),
				})
			}
		case *errdetails.RetryInfo:
			e.retryDelay = detail.GetRetryDelay()
		}
	}
	return e
}
