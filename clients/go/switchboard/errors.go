package switchboard

import (
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

// Domain is the [Error.Domain] of every failure that Switchboard itself made.
const Domain = "switchboard"

// Error is a failed call, or a failure that a stream or a record tells of. Every error of a call through a [Client] is
// one; find it with [errors.AsType] or [errors.As]. [status.FromError] and [status.Code] read it too.
type Error struct {
	// Code is the gRPC status code.
	Code codes.Code
	// Reason says what happened, in upper snake case, such as RECIPIENT_NOT_REACHABLE: decide on this field. The server's
	// docs/errors.md lists them all. It is empty when the status came from a library or a proxy; then nothing is certain.
	Reason string
	// Domain says whose reason it is: [Domain], or empty with the reason.
	Domain string
	// Message is an English sentence for a developer. It may change at any time.
	Message string
	// Metadata holds the reason's facts by their keys, such as message_id or attempt.
	Metadata map[string]string
	// Violations are the faults of the request's fields, where these are why it failed.
	Violations []FieldViolation
	// RequestID is the request_id that the failed call carried, yours or a random one. Give it to the same request to
	// repeat it without doing it twice. Empty when the call had none.
	RequestID string

	status     *status.Status
	retryDelay *durationpb.Duration
}

// FieldViolation is what is wrong with one field of a request.
type FieldViolation struct {
	// Field is the field's path, such as template.body[1].text.
	Field string
	// Reason is the kind of fault, in upper snake case: REQUIRED, MALFORMED, OUT_OF_RANGE, UNKNOWN_VALUE, UNSUPPORTED or
	// MISMATCH.
	Reason string
	// Description says what is allowed, in English.
	Description string
}

// Error says code, reason and message.
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

// RetryDelay is how long to wait before the next try. It is false when waiting is not known to help.
func (e *Error) RetryDelay() (delay time.Duration, ok bool) {
	return e.retryDelay.AsDuration(), e.retryDelay != nil
}

// GRPCStatus is the status with all its details.
func (e *Error) GRPCStatus() *status.Status { return e.status }

// ErrorFrom turns the failure that a stream, an event or a record tells of into an [*Error]; nil stays nil. The
// provider's own words are left out (raw_json), for they may quote the message.
func ErrorFrom(failure *switchboardv1.Error) error {
	if failure == nil {
		return nil
	}
	code := codes.Code(failure.GetCode())
	if code == codes.OK {
		code = codes.Unknown
	}
	// The same details that a failed call carries.
	metadata := maps.Clone(failure.GetMetadata())
	for key, value := range map[string]string{
		"provider":          providerName(failure.GetProvider()),
		"provider_code":     failure.GetProviderCode(),
		"provider_type":     failure.GetProviderType(),
		"provider_trace_id": failure.GetProviderTraceId(),
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

func providerName(provider switchboardv1.Provider) string {
	if provider == switchboardv1.Provider_PROVIDER_UNSPECIFIED {
		return ""
	}
	return strings.ToLower(strings.TrimPrefix(provider.String(), "PROVIDER_"))
}

// describe turns the error of a call into an *Error, where gRPC made it.
func wrapError(err error, requestID string) error {
	if err == nil || err == io.EOF { // gRPC ends a stream with io.EOF itself.
		return err
	}
	if _, ok := errors.AsType[*Error](err); ok {
		return err
	}
	if failure, ok := status.FromError(err); ok {
		return newError(failure, requestID)
	}
	return err
}

func newError(failure *status.Status, requestID string) *Error {
	e := &Error{Code: failure.Code(), Message: failure.Message(), RequestID: requestID, status: failure}
	for _, detail := range failure.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			e.Reason, e.Domain, e.Metadata = detail.GetReason(), detail.GetDomain(), detail.GetMetadata()
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
