package switchboard

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/durationpb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// methods returns all methods of switchboard.v1.
func methods(t *testing.T) []protoreflect.MethodDescriptor {
	t.Helper()
	var all []protoreflect.MethodDescriptor
	protoregistry.GlobalFiles.RangeFilesByPackage("switchboard.v1", func(file protoreflect.FileDescriptor) bool {
		for s := range file.Services().Len() {
			service := file.Services().Get(s)
			for m := range service.Methods().Len() {
				all = append(all, service.Methods().Get(m))
			}
		}
		return true
	})
	if len(all) < 20 {
		t.Fatalf("found only %d methods", len(all))
	}
	return all
}

func fullName(method protoreflect.MethodDescriptor) string {
	return fmt.Sprintf("/%s/%s", method.Parent().FullName(), method.Name())
}

// recorder is a server that answers every call with one error and stores the requests.
type recorder struct {
	answer error
	mu     sync.Mutex
	calls  map[string][]*dynamicpb.Message
}

func (r *recorder) handle(_ any, stream grpc.ServerStream) error {
	name, _ := grpc.MethodFromServerStream(stream)
	found, err := protoregistry.GlobalFiles.FindDescriptorByName(
		protoreflect.FullName(strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")))
	if err != nil {
		return err
	}
	request := dynamicpb.NewMessage(found.(protoreflect.MethodDescriptor).Input())
	if err := stream.RecvMsg(request); err != nil && err != io.EOF {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls[name] = append(r.calls[name], request)
	return r.answer
}

func (r *recorder) of(method string) []*dynamicpb.Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls[method]
}

func serveRecorder(t *testing.T, answer error) (*recorder, string) {
	t.Helper()
	r := &recorder{answer: answer, calls: map[string][]*dynamicpb.Message{}}
	return r, serve(t, func(*grpc.Server) {}, grpc.UnknownServiceHandler(r.handle))
}

// Makes every call of the contract against a server that is always unavailable.
func TestOnlyReadsAndIdempotentWritesAreRetried(t *testing.T) {
	// Writes without a request_id. Before you add a call here, check that it must not be retried.
	notRetried := map[string]bool{
		"/switchboard.v1.ContactService/UpdateContact":                         true,
		"/switchboard.v1.ContactService/DeleteContact":                         true,
		"/switchboard.v1.WebhookRegistrationService/UpdateWebhookRegistration": true,
		"/switchboard.v1.WebhookRegistrationService/DeleteWebhookRegistration": true,
		// The response to a retry could not show what the first attempt did.
		"/switchboard.v1.SubscriptionService/CreateSubscription": true,
		"/switchboard.v1.SubscriptionService/UpdateSubscription": true,
		"/switchboard.v1.SubscriptionService/SeekSubscription":   true,
		"/switchboard.v1.SubscriptionService/DeleteSubscription": true,
		// The loop of an event stream retries this call itself.
		"/switchboard.v1.SubscriptionService/Acknowledge": true,
	}
	idempotentWrites := map[string]bool{
		"/switchboard.v1.MessageService/SendMessage":                           true,
		"/switchboard.v1.ContactService/CreateContact":                         true,
		"/switchboard.v1.WebhookRegistrationService/CreateWebhookRegistration": true,
	}
	recorder, address := serveRecorder(t, unavailable)
	client := connect(t, address, WithMaxAttempts(4))
	for _, method := range methods(t) {
		name := fullName(method)
		t.Run(string(method.Name()), func(t *testing.T) {
			t.Parallel()
			ctx := testContext(t)
			request := dynamicpb.NewMessage(method.Input())
			if method.IsStreamingClient() || method.IsStreamingServer() {
				desc := &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}
				stream, err := client.Conn().(*grpc.ClientConn).NewStream(ctx, desc, name)
				if err == nil {
					_ = stream.SendMsg(request)
					_ = stream.CloseSend()
					err = stream.RecvMsg(dynamicpb.NewMessage(method.Output()))
				}
				if status.Code(err) != codes.Unavailable {
					t.Fatalf("got %v", err)
				}
				if calls := recorder.of(name); len(calls) != 1 {
					t.Errorf("got %d calls", len(calls))
				}
				return
			}
			err := client.Conn().Invoke(ctx, name, request, dynamicpb.NewMessage(method.Output()))
			if status.Code(err) != codes.Unavailable {
				t.Fatalf("got %v", err)
			}
			calls := recorder.of(name)
			want := 4
			if notRetried[name] {
				want = 1
			}
			if len(calls) != want {
				t.Fatalf("got %d calls, want %d", len(calls), want)
			}
			if !idempotentWrites[name] {
				for _, call := range calls {
					if !proto.Equal(call, request) {
						t.Errorf("the request was changed: %v", call)
					}
				}
				return
			}
			field := method.Input().Fields().ByName("request_id")
			id := calls[0].Get(field).String()
			if len(id) != 36 {
				t.Errorf("the request_id is %q", id)
			}
			for _, call := range calls {
				if call.Get(field).String() != id {
					t.Errorf("an attempt has a different request_id")
				}
			}
			if failure, ok := errors.AsType[*Error](err); !ok || failure.RequestID != id {
				t.Errorf("the error lacks the request_id")
			}
			if request.Has(field) {
				t.Error("the caller's request was changed")
			}
		})
	}
}

func TestRetriesKeepGivenRequestID(t *testing.T) {
	t.Parallel()
	recorder, address := serveRecorder(t, unavailable)
	_, err := connect(t, address, WithMaxAttempts(4)).Messages.SendMessage(
		testContext(t), &switchboardv1.SendMessageRequest{RequestId: "order-77"})
	if failure, ok := errors.AsType[*Error](err); !ok || failure.RequestID != "order-77" {
		t.Errorf("got %v", err)
	}
	calls := recorder.of(switchboardv1.MessageService_SendMessage_FullMethodName)
	if len(calls) != 4 {
		t.Fatalf("got %d calls", len(calls))
	}
	for _, call := range calls {
		if id := call.Get(call.Descriptor().Fields().ByName("request_id")).String(); id != "order-77" {
			t.Errorf("got request_id %q", id)
		}
		if call.Has(call.Descriptor().Fields().ByName("resend_after_attempt")) {
			t.Error("resend_after_attempt was set")
		}
	}
}

func TestTwoSendsOfOneRequestGetDistinctRequestIDs(t *testing.T) {
	ids := make(chan string, 2)
	address := serveMessages(t, &fakeMessages{send: func(
		_ context.Context, request *switchboardv1.SendMessageRequest,
	) (*switchboardv1.SendMessageResponse, error) {
		ids <- request.GetRequestId()
		return &switchboardv1.SendMessageResponse{}, nil
	}})
	client, request := connect(t, address), &switchboardv1.SendMessageRequest{}
	for range 2 {
		if _, err := client.Messages.SendMessage(testContext(t), request); err != nil {
			t.Fatal(err)
		}
	}
	if first, second := receive(t, ids), receive(t, ids); first == second {
		t.Error("both sends have the same request_id")
	}
}

func TestRetrySucceedsWhenServerRecovers(t *testing.T) {
	t.Parallel()
	calls := make(chan string, 4)
	address := serveMessages(t, &fakeMessages{send: func(
		_ context.Context, request *switchboardv1.SendMessageRequest,
	) (*switchboardv1.SendMessageResponse, error) {
		calls <- request.GetRequestId()
		if len(calls) < 3 {
			return nil, unavailable
		}
		return &switchboardv1.SendMessageResponse{Message: &switchboardv1.Message{MessageId: "msg_1"}}, nil
	}})
	response, err := connect(t, address).Messages.SendMessage(testContext(t), &switchboardv1.SendMessageRequest{})
	if err != nil || response.GetMessage().GetMessageId() != "msg_1" {
		t.Fatalf("got %v, %v", response, err)
	}
	if len(calls) != 3 {
		t.Errorf("got %d calls", len(calls))
	}
}

func TestOtherCodesThanUnavailableAreNotRetried(t *testing.T) {
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code == codes.Unavailable {
			continue
		}
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			recorder, address := serveRecorder(t, status.Error(code, "no"))
			_, err := connect(t, address).Accounts.GetAccount(testContext(t), &switchboardv1.GetAccountRequest{})
			if status.Code(err) != code {
				t.Errorf("got %v", err)
			}
			if calls := recorder.of(switchboardv1.AccountService_GetAccount_FullMethodName); len(calls) != 1 {
				t.Errorf("got %d calls", len(calls))
			}
		})
	}
}

func TestMaxAttemptsOneDisablesRetries(t *testing.T) {
	recorder, address := serveRecorder(t, unavailable)
	_, err := connect(t, address, WithMaxAttempts(1)).Accounts.GetAccount(testContext(t), &switchboardv1.GetAccountRequest{})
	if status.Code(err) != codes.Unavailable {
		t.Errorf("got %v", err)
	}
	if calls := recorder.of(switchboardv1.AccountService_GetAccount_FullMethodName); len(calls) != 1 {
		t.Errorf("got %d calls", len(calls))
	}
}

// asError converts a status error of a test into an *Error.
func asError(t *testing.T, err error) error {
	t.Helper()
	return wrapError(t.Context(), err, "id")
}

func TestBackoffGrowsUntilAttemptsAreUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Duration
		start := time.Now()
		err := retrier{attempts: 5, log: slog.New(slog.DiscardHandler)}.do(t.Context(), "", true, func() error {
			at = append(at, time.Since(start))
			return asError(t, unavailable)
		})
		if status.Code(err) != codes.Unavailable || len(at) != 5 {
			t.Fatalf("got %v after %d attempts", err, len(at))
		}
		for i := 1; i < len(at); i++ {
			longest := initialBackoff << (i - 1)
			if pause := at[i] - at[i-1]; pause < longest/2 || pause > longest {
				t.Errorf("backoff %d took %v, want %v to %v", i, pause, longest/2, longest)
			}
		}
		for failures := 1; failures < 200; failures++ {
			if pause := backoffAfter(failures, maxCallBackoff); pause <= 0 || pause > maxCallBackoff {
				t.Errorf("after %d failures the backoff is %v", failures, pause)
			}
		}
	})
}

func TestServerDelayIsHonouredUpToLimit(t *testing.T) {
	for _, test := range []struct {
		delay    time.Duration
		attempts int
	}{{0, 2}, {3 * time.Second, 2}, {maxServerDelay, 2}, {maxServerDelay + time.Second, 1}} {
		t.Run(test.delay.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				failure := statusError(t, codes.Unavailable, &switchboardv1.Failure{RetryDelay: durationpb.New(test.delay)})
				start, attempts := time.Now(), 0
				err := retrier{attempts: 2, log: slog.New(slog.DiscardHandler)}.do(t.Context(), "", true, func() error {
					attempts++
					return asError(t, failure)
				})
				if status.Code(err) != codes.Unavailable || attempts != test.attempts {
					t.Fatalf("got %v after %d attempts", err, attempts)
				}
				if waited := time.Since(start); attempts == 2 && (waited < test.delay || waited > test.delay+initialBackoff) {
					t.Errorf("waited for %v", waited)
				} else if attempts == 1 && waited != 0 {
					t.Errorf("waited for %v before failing", waited)
				}
			})
		})
	}
}

func TestDelayBeyondDeadlineFailsImmediately(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		failure := statusError(t, codes.Unavailable, &switchboardv1.Failure{RetryDelay: durationpb.New(time.Second)})
		start, attempts := time.Now(), 0
		err := retrier{attempts: 4, log: slog.New(slog.DiscardHandler)}.do(ctx, "", true, func() error {
			attempts++
			return asError(t, failure)
		})
		if status.Code(err) != codes.Unavailable || attempts != 1 || time.Since(start) != 0 {
			t.Errorf("got %v after %d attempts and %v", err, attempts, time.Since(start))
		}
	})
}

func TestCancelEndsBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Millisecond, cancel)
		start := time.Now()
		err := retrier{attempts: 4, log: slog.New(slog.DiscardHandler)}.do(ctx, "", true, func() error { return asError(t, unavailable) })
		failure, ok := errors.AsType[*Error](err)
		if !ok || failure.Code != codes.Canceled || failure.RequestID != "id" || time.Since(start) != time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(start))
		}
	})
}

// receivedUpload is what the server received in one upload.
type receivedUpload struct {
	header *switchboardv1.MediaHeader
	file   []byte
	err    error
}

// serveUploads fails the first uploads with UNAVAILABLE.
func serveUploads(t *testing.T, failures int) (<-chan receivedUpload, string) {
	t.Helper()
	seen := make(chan receivedUpload, 10)
	return seen, serveMessages(t, &fakeMessages{sendMedia: func(stream switchboardv1.MessageService_SendMediaServer) error {
		var upload receivedUpload
		for {
			request, err := stream.Recv()
			if err != nil {
				if err != io.EOF {
					upload.err = err
				}
				break
			}
			if request.GetHeader() != nil {
				if upload.header != nil {
					upload.err = errors.New("a second header")
				}
				upload.header = request.GetHeader()
			}
			upload.file = append(upload.file, request.GetChunk()...)
		}
		seen <- upload
		if len(seen) <= failures {
			return unavailable
		}
		return stream.SendAndClose(&switchboardv1.SendMediaResponse{})
	}})
}

func TestSeekableUploadIsRetriedFromStart(t *testing.T) {
	t.Parallel()
	file := bytes.Repeat([]byte("0123456789abcdef"), 3*chunkSize/32) // One and a half chunks.
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, append([]byte("skipped"), file...), 0o600); err != nil {
		t.Fatal(err)
	}
	opened, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer opened.Close()
	if _, err := opened.Seek(7, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	for name, reader := range map[string]io.Reader{"bytes": bytes.NewReader(file), "file": opened} {
		t.Run(name, func(t *testing.T) {
			seen, address := serveUploads(t, 2)
			header := &switchboardv1.MediaHeader{Account: "a"}
			if _, err := connect(t, address).SendMedia(testContext(t), header, reader); err != nil {
				t.Fatal(err)
			}
			if header.GetRequestId() != "" {
				t.Error("the caller's header was changed")
			}
			first := receive(t, seen)
			if len(first.header.GetRequestId()) != 36 || first.header.GetAccount() != "a" {
				t.Errorf("the header is %v", first.header)
			}
			for _, upload := range []receivedUpload{first, receive(t, seen), receive(t, seen)} {
				if upload.err != nil || !bytes.Equal(upload.file, file) || !proto.Equal(upload.header, first.header) {
					t.Errorf("an attempt had %d bytes and the header %v, %v", len(upload.file), upload.header, upload.err)
				}
			}
		})
	}
}

func TestUnseekableUploadIsNotRetried(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	go func() {
		_, _ = write.WriteString("Hello!")
		_ = write.Close()
	}()
	for name, reader := range map[string]io.Reader{"reader": io.MultiReader(strings.NewReader("Hello!")), "pipe": read} {
		t.Run(name, func(t *testing.T) {
			seen, address := serveUploads(t, 10)
			_, err := connect(t, address).SendMedia(testContext(t), &switchboardv1.MediaHeader{RequestId: "r"}, reader)
			if failure, ok := errors.AsType[*Error](err); !ok || failure.Code != codes.Unavailable || failure.RequestID != "r" {
				t.Errorf("got %v", err)
			}
			if upload := receive(t, seen); string(upload.file) != "Hello!" || len(seen) != 0 {
				t.Errorf("got %d more uploads; the file is %q", len(seen), upload.file)
			}
		})
	}
}

func TestFailedUploadReportsRequestID(t *testing.T) {
	t.Parallel()
	client := connect(t, listenAndClose(t), WithMaxAttempts(1))
	for name, upload := range map[string]func() error{
		"SendMedia": func() error {
			_, err := client.SendMedia(testContext(t), &switchboardv1.MediaHeader{}, strings.NewReader("Hello!"))
			return err
		},
		"UploadTemplateMedia": func() error {
			header := &switchboardv1.UploadTemplateMediaHeader{}
			_, err := client.UploadTemplateMedia(testContext(t), header, strings.NewReader("Hello!"))
			return err
		},
	} {
		failure, ok := errors.AsType[*Error](upload())
		if !ok || failure.Code != codes.Unavailable || len(failure.RequestID) != 36 {
			t.Errorf("%s failed with %v, request_id %q", name, failure, failure.RequestID)
		}
	}
}

func TestFileReadErrorCancelsUpload(t *testing.T) {
	seen, address := serveUploads(t, 0)
	readErr := errors.New("read failed")
	file := io.MultiReader(bytes.NewReader(make([]byte, 2*chunkSize)), iotest.ErrReader(readErr))
	// The context of the call stays open, so it does not end the stream.
	_, err := connect(t, address).SendMedia(t.Context(), &switchboardv1.MediaHeader{}, file)
	if !errors.Is(err, readErr) {
		t.Errorf("got %v", err)
	}
	if upload := receive(t, seen); status.Code(upload.err) != codes.Canceled {
		t.Errorf("the server received a complete upload: %v", upload.err)
	}
}

func TestEmptyFileIsSentToServer(t *testing.T) {
	seen, address := serveUploads(t, 0)
	if _, err := connect(t, address).SendMedia(testContext(t), nil, strings.NewReader("")); err != nil {
		t.Fatal(err)
	}
	if upload := receive(t, seen); upload.err != nil || upload.header != nil || len(upload.file) != 0 {
		t.Errorf("the server received %+v", upload)
	}
}

func TestGeneratedUploadStreamGetsRequestID(t *testing.T) {
	seen, address := serveUploads(t, 10)
	stream, err := connect(t, address).Messages.SendMedia(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	request := &switchboardv1.SendMediaRequest{Header: &switchboardv1.MediaHeader{Account: "a"}, Chunk: []byte("Hello!")}
	if err := stream.Send(request); err != nil {
		t.Fatal(err)
	}
	_, err = stream.CloseAndRecv()
	upload := receive(t, seen)
	if len(upload.header.GetRequestId()) != 36 || upload.header.GetAccount() != "a" || string(upload.file) != "Hello!" {
		t.Errorf("the server received %v and %q", upload.header, upload.file)
	}
	if failure, ok := errors.AsType[*Error](err); !ok || failure.RequestID != upload.header.GetRequestId() {
		t.Errorf("got %v", err)
	}
	if request.GetHeader().GetRequestId() != "" {
		t.Error("the caller's header was changed")
	}
}

func TestCallWithoutDeadlineIsRetriedForOneMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		r := retrier{attempts: math.MaxInt, log: slog.New(slog.DiscardHandler)}
		err := r.do(t.Context(), "", true, func() error { return asError(t, unavailable) })
		if took := time.Since(start); status.Code(err) != codes.Unavailable || took > defaultBudget || took < defaultBudget-maxCallBackoff {
			t.Errorf("got %v after %v", err, took)
		}
	})
}
