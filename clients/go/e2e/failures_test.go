package e2e

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"switchboard.example/go/switchboard"
	sandboxv1 "switchboard.example/go/switchboard/sandbox/v1"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// wantInvalid checks that exactly one field violation is reported.
func wantInvalid(t *testing.T, err error, field, reason string) {
	t.Helper()
	failure, ok := errors.AsType[*switchboard.Error](err)
	if !ok || failure.Code != codes.InvalidArgument || failure.Reason != "REQUEST_INVALID" || len(failure.Violations) != 1 ||
		failure.Violations[0].Field != field || failure.Violations[0].Reason != reason ||
		failure.Violations[0].Description == "" {
		t.Errorf("got %#v", err)
	}
}

// wantReason checks code and reason of a failed call.
func wantReason(t *testing.T, err error, code codes.Code, reason string) {
	t.Helper()
	failure, ok := errors.AsType[*switchboard.Error](err)
	if !ok || failure.Code != code || failure.Reason != reason {
		t.Errorf("got %v, want %v %s", err, code, reason)
	}
}

func TestFailuresExposeReasonAndDetails(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	send := func(request *switchboardv1.SendMessageRequest) *switchboard.Error {
		t.Helper()
		_, err := client.Messages.SendMessage(testContext(t), request)
		failure, ok := errors.AsType[*switchboard.Error](err)
		if !ok {
			t.Fatalf("got %v", err)
		}
		if failure.Domain != switchboard.Domain {
			t.Errorf("the domain is %q", failure.Domain)
		}
		for _, secret := range []string{request.GetTo(), "a text of ours"} {
			if strings.Contains(failure.Error(), secret) {
				t.Errorf("the error shows %q", secret)
			}
		}
		return failure
	}

	t.Run("fields", func(t *testing.T) {
		request := textRequest(connectby, " ")
		request.To, request.Sender = "+1555 a text of ours", proto.String("+15550100002")
		failure := send(request)
		blamed := map[string]string{}
		for _, violation := range failure.Violations {
			blamed[violation.Field] = violation.Reason
		}
		if failure.Code != codes.InvalidArgument || failure.Reason != "REQUEST_INVALID" || len(blamed) != 3 ||
			blamed["to"] != "MALFORMED" || blamed["text.body"] != "REQUIRED" || blamed["sender"] != "UNSUPPORTED" {
			t.Errorf("got %v: %v", failure, blamed)
		}
	})

	t.Run("delay", func(t *testing.T) {
		setFault(t, client, &sandboxv1.SetFaultRequest{
			Account: connectly, Kind: sandboxv1.FaultKind_FAULT_KIND_STATUS, Operation: "send_message", HttpStatus: 429,
			RetryAfter: proto.String("3600"),
		})
		failure := send(textRequest(connectly, "a text of ours"))
		delay, ok := failure.RetryDelay()
		if failure.Code != codes.ResourceExhausted || !ok || delay < 3000*time.Second || delay > time.Hour {
			t.Errorf("got %v, retry delay %v", failure, delay)
		}
		if failure.Metadata["account"] != connectly || failure.Metadata["message_id"] == "" || len(failure.RequestID) != 36 {
			t.Errorf("got metadata %v", failure.Metadata)
		}
		if _, err := sandboxClient(client).ClearFaults(testContext(t), &sandboxv1.ClearFaultsRequest{Account: connectly}); err != nil {
			t.Fatal(err)
		}
	})

	t.Run("unknown outcome", func(t *testing.T) {
		setFault(t, client, &sandboxv1.SetFaultRequest{
			Account: connectby, Kind: sandboxv1.FaultKind_FAULT_KIND_CUT_AFTER_READING, Operation: "send_text", Times: 1,
		})
		request := textRequest(connectby, "a text of ours")
		failure := send(request)
		if failure.Code != codes.FailedPrecondition || failure.Reason != "SEND_OUTCOME_UNKNOWN" ||
			failure.Metadata["attempt"] != "1" || status.Code(failure) != codes.FailedPrecondition {
			t.Errorf("got %v with %v", failure, failure.Metadata)
		}
		// The error includes the generated request_id; the next attempt needs it.
		request.RequestId, request.ResendAfterAttempt = failure.RequestID, 1
		sent, err := client.Messages.SendMessage(testContext(t), request)
		if err != nil || sent.GetMessage().GetAttempt() != 2 {
			t.Errorf("got %v, %v", sent, err)
		}
	})
}

func TestUnavailableProviderIsRetried(t *testing.T) {
	client := connect(t, startSandbox(t).address, switchboard.WithMaxAttempts(2))
	setFault(t, client, &sandboxv1.SetFaultRequest{
		Account: connectby, Kind: sandboxv1.FaultKind_FAULT_KIND_STATUS, Operation: "list_templates", HttpStatus: 503, Times: 1,
	})
	list, err := client.Templates.ListTemplates(testContext(t), &switchboardv1.ListTemplatesRequest{Account: connectby})
	if err != nil || len(list.GetTemplates()) == 0 {
		t.Errorf("got %v, %v", list, err)
	}
	calls, err := sandboxClient(client).ListCalls(testContext(t), &sandboxv1.ListCallsRequest{Account: connectby})
	if err != nil || len(calls.GetCalls()) != 2 {
		t.Errorf("the provider was called %d times, %v", len(calls.GetCalls()), err)
	}
}

func TestDeadlineAndCancelEndCall(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	setFault(t, client, &sandboxv1.SetFaultRequest{
		Account: connectly, Kind: sandboxv1.FaultKind_FAULT_KIND_LATENCY, Operation: "send_message",
		Latency: durationpb.New(testTimeout),
	})
	late, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	_, err := client.Messages.SendMessage(late, textRequest(connectly, "Hello!"))
	failure, ok := errors.AsType[*switchboard.Error](err)
	// The server enforces the deadline too. If it does so first, the code is CANCELLED.
	if !ok || failure.Code != codes.DeadlineExceeded && failure.Code != codes.Canceled ||
		failure.Reason != "" || failure.RequestID == "" {
		t.Errorf("got %v", err)
	}

	canceled, cancel := context.WithCancel(testContext(t))
	defer cancel()
	events := client.Subscribe(nil)
	last := uint64(0)
	before, err := sandboxClient(client).ListCalls(canceled, &sandboxv1.ListCallsRequest{Account: connectly})
	if err != nil {
		t.Fatal(err)
	}
	for _, call := range before.GetCalls() {
		last = call.GetSequence()
	}
	// Cancel the send after the provider has received it.
	go func() {
		defer cancel()
		for {
			calls, err := sandboxClient(client).ListCalls(canceled, &sandboxv1.ListCallsRequest{Account: connectly, AfterSequence: last})
			if err != nil || len(calls.GetCalls()) > 0 {
				return
			}
		}
	}()
	if _, err := client.Messages.SendMessage(canceled, textRequest(connectly, "Hello!")); status.Code(err) != codes.Canceled {
		t.Errorf("got %v", err)
	}
	for _, err := range events.Events(canceled) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}
