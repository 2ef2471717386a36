package switchboard

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

func TestErrorExposesAllStatusDetails(t *testing.T) {
	made, err := status.New(codes.ResourceExhausted, "slower").WithDetails(
		&errdetails.ErrorInfo{Reason: "ACCOUNT_BUSY", Domain: "switchboard", Metadata: map[string]string{"account": "a"}},
		&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{
			{Field: "to", Reason: "MALFORMED", Description: "must be a number"},
			{Field: "text.body", Reason: "REQUIRED", Description: "must be given"},
		}},
		&errdetails.RetryInfo{RetryDelay: durationpb.New(1500 * time.Millisecond)},
	)
	if err != nil {
		t.Fatal(err)
	}
	address := serveMessages(t, &fakeMessages{send: func(
		context.Context, *switchboardv1.SendMessageRequest,
	) (*switchboardv1.SendMessageResponse, error) {
		return nil, made.Err()
	}})
	_, err = connect(t, address).Messages.SendMessage(testContext(t), &switchboardv1.SendMessageRequest{RequestId: "r"})
	err = fmt.Errorf("sending the invoice: %w", err)

	var failure *Error
	if !errors.As(err, &failure) {
		t.Fatalf("got %T", err)
	}
	if delay, ok := failure.RetryDelay(); !ok || delay != 1500*time.Millisecond {
		t.Errorf("the delay is %v, %v", delay, ok)
	}
	violations := []FieldViolation{
		{Field: "to", Reason: "MALFORMED", Description: "must be a number"},
		{Field: "text.body", Reason: "REQUIRED", Description: "must be given"},
	}
	if failure.Code != codes.ResourceExhausted || failure.Reason != "ACCOUNT_BUSY" || failure.Domain != Domain ||
		failure.Message != "slower" || failure.RequestID != "r" ||
		!reflect.DeepEqual(failure.Metadata, map[string]string{"account": "a"}) ||
		!reflect.DeepEqual(failure.Violations, violations) {
		t.Errorf("got %+v", *failure)
	}
	if status.Code(err) != codes.ResourceExhausted {
		t.Errorf("status.Code is %v", status.Code(err))
	}
	if original := status.Convert(failure); original.Message() != "slower" || len(original.Details()) != 3 {
		t.Errorf("the original status is %v", original)
	}
	if want := "switchboard: ResourceExhausted ACCOUNT_BUSY: slower"; failure.Error() != want {
		t.Errorf("the text is %q", failure)
	}
}

func TestErrorWithoutDetailsHasNoReason(t *testing.T) {
	_, err := connect(t, listenAndClose(t), WithMaxAttempts(1)).Accounts.ListAccounts(
		testContext(t), &switchboardv1.ListAccountsRequest{})
	failure, ok := errors.AsType[*Error](err)
	if !ok || failure.Code != codes.Unavailable || failure.Reason != "" || failure.Domain != "" || failure.Message == "" {
		t.Fatalf("got %#v", err)
	}
	if delay, ok := failure.RetryDelay(); ok || delay != 0 {
		t.Errorf("the delay is %v, %v", delay, ok)
	}
}

// listenAndClose returns an address without a listener.
func listenAndClose(t *testing.T) string {
	t.Helper()
	listener := listen(t)
	defer listener.Close()
	return listener.Addr().String()
}

func TestErrorFromRecordMatchesFailedCall(t *testing.T) {
	err := ErrorFrom(&switchboardv1.Failure{
		Reason:          "SESSION_WINDOW_CLOSED",
		Code:            int32(codes.FailedPrecondition),
		Message:         "only templates can be sent",
		Provider:        switchboardv1.Provider_PROVIDER_CONNECTBY,
		ProviderName:    "connectby",
		ProviderMessage: "too late for Ada",
		ProviderCode:    "131047",
		ProviderType:    "OAuthException",
		ProviderTraceId: "trace",
		RetryDelay:      durationpb.New(time.Second),
		RawJson:         `{"quoted": "Hello, Ada"}`,
		FieldViolations: []*switchboardv1.FieldViolation{{Field: "to", Reason: "MALFORMED", Description: "must be one"}},
		Metadata:        map[string]string{"message_id": "msg_1"},
	})
	failure, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %T", err)
	}
	metadata := map[string]string{
		"message_id": "msg_1", "provider": "connectby", "provider_code": "131047", "provider_type": "OAuthException",
		"provider_trace_id": "trace",
	}
	if failure.Code != codes.FailedPrecondition || failure.Reason != "SESSION_WINDOW_CLOSED" || failure.Domain != Domain ||
		failure.Message != "only templates can be sent" || !reflect.DeepEqual(failure.Metadata, metadata) ||
		!reflect.DeepEqual(failure.Violations, []FieldViolation{{"to", "MALFORMED", "must be one"}}) {
		t.Errorf("got %+v", *failure)
	}
	if delay, ok := failure.RetryDelay(); !ok || delay != time.Second {
		t.Errorf("the delay is %v, %v", delay, ok)
	}
	if status.Code(err) != codes.FailedPrecondition {
		t.Errorf("status.Code is %v", status.Code(err))
	}
	if failure.ProviderMessage() != "too late for Ada" {
		t.Errorf("the provider's message is %q", failure.ProviderMessage())
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if strings.Contains(fmt.Sprintf(verb, err), "Ada") {
			t.Errorf("%s shows message text", verb)
		}
	}
}

func TestProviderMessageOfFailedCallIsNotInText(t *testing.T) {
	made, err := status.New(codes.FailedPrecondition, "refused").WithDetails(&errdetails.ErrorInfo{
		Reason: "PROVIDER_REFUSED", Domain: "switchboard",
		Metadata: map[string]string{"provider": "connectly", "provider_message": "no offers for Ada"},
	})
	if err != nil {
		t.Fatal(err)
	}
	address := serveMessages(t, &fakeMessages{send: func(
		context.Context, *switchboardv1.SendMessageRequest,
	) (*switchboardv1.SendMessageResponse, error) {
		return nil, made.Err()
	}})
	_, err = connect(t, address).Messages.SendMessage(testContext(t), &switchboardv1.SendMessageRequest{})
	failure, ok := errors.AsType[*Error](err)
	if !ok || failure.ProviderMessage() != "no offers for Ada" ||
		!reflect.DeepEqual(failure.Metadata, map[string]string{"provider": "connectly"}) {
		t.Fatalf("got %v", err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		if strings.Contains(fmt.Sprintf(verb, err), "Ada") {
			t.Errorf("%s shows the provider's message", verb)
		}
	}
}

func TestErrorFromNamesProviderNewerThanPackage(t *testing.T) {
	for name, failure := range map[string]*switchboardv1.Failure{
		"newer":     {Provider: 99, ProviderName: "newer"},
		"connectly": {Provider: switchboardv1.Provider_PROVIDER_CONNECTLY},
	} {
		made, ok := errors.AsType[*Error](ErrorFrom(failure))
		if !ok || made.Metadata["provider"] != name {
			t.Errorf("got %+v, want provider %s", made, name)
		}
	}
}

func TestParseReasonMapsTextsToConstants(t *testing.T) {
	values := switchboardv1.Reason(0).Descriptor().Values()
	for i := range values.Len() {
		text, ok := strings.CutPrefix(string(values.Get(i).Name()), "REASON_")
		if !ok {
			t.Errorf("%s lacks the prefix", values.Get(i).Name())
		}
		if reason := ParseReason(text); reason.Number() != values.Get(i).Number() {
			t.Errorf("%s becomes %v", text, reason)
		}
	}
	for _, text := range []string{"", "A_NEWER_REASON", "request_invalid", "REASON_REQUEST_INVALID", "1"} {
		if reason := ParseReason(text); reason != switchboardv1.Reason_REASON_UNSPECIFIED {
			t.Errorf("%q becomes %v", text, reason)
		}
	}
	failure, ok := errors.AsType[*Error](ErrorFrom(&switchboardv1.Failure{Reason: "A_NEWER_REASON"}))
	if !ok || failure.Reason != "A_NEWER_REASON" {
		t.Errorf("got %+v", failure)
	}
}

func TestErrorFromNilReturnsNil(t *testing.T) {
	if err := ErrorFrom(nil); err != nil {
		t.Errorf("got %#v", err)
	}
	if err := ErrorFrom(&switchboardv1.Failure{}); status.Code(err) != codes.Unknown {
		t.Errorf("an error without a code became %v", err)
	}
}
