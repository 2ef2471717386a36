package switchboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	mathrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// defaultBudget is how long a call without a deadline is retried.
	defaultBudget = 60 * time.Second
	// initialBackoff is the longest backoff before the second attempt. It doubles with each further attempt, up to
	// maxCallBackoff. An event stream, which has no deadline, waits up to maxStreamBackoff.
	initialBackoff   = 250 * time.Millisecond
	maxCallBackoff   = 5 * time.Second
	maxStreamBackoff = 10 * time.Second
	// maxServerDelay is the longest server-requested delay that a call waits for. With a longer one, the call fails.
	maxServerDelay = 30 * time.Second
)

// deadlineSkew is how much earlier than the client's timer the server's timer may end a call.
const deadlineSkew = 100 * time.Millisecond

// retrier retries calls that failed with UNAVAILABLE, if a retry cannot execute them twice.
type retrier struct {
	attempts int // The maximum.
	log      *slog.Logger
}

// unary is the interceptor of unary calls.
func (r retrier) unary(
	ctx context.Context, method string, request, response any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	request, id := withRequestID(request)
	options = r.waitForReady(ctx, options)
	return r.do(ctx, method, id != "" || isRead(method), func() error {
		return wrapError(ctx, invoke(ctx, method, request, response, conn, options...), id)
	})
}

// waitForReady makes a call wait for a connection until its deadline. A call that waits has not left the client, so this
// is safe for every write. A call without a deadline fails instead, and do limits its retries. An option of the caller
// takes precedence.
func (r retrier) waitForReady(ctx context.Context, options []grpc.CallOption) []grpc.CallOption {
	if _, ok := ctx.Deadline(); !ok || r.attempts == 1 {
		return options
	}
	return append([]grpc.CallOption{grpc.WaitForReady(true)}, options...)
}

// do makes a call. If the call is retryable, do retries it while it fails with UNAVAILABLE, until the deadline of ctx.
// Without a deadline, it retries for defaultBudget.
func (r retrier) do(ctx context.Context, method string, retryable bool, call func() error) error {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(defaultBudget)
	}
	for attempt := 1; ; attempt++ {
		err := call()
		failure, ok := errors.AsType[*Error](err)
		if !ok || failure.Code != codes.Unavailable || !retryable || attempt == r.attempts {
			return err
		}
		pause := backoffAfter(attempt, maxCallBackoff)
		if delay, ok := failure.RetryDelay(); ok {
			if delay > maxServerDelay {
				return err
			}
			pause += max(delay, 0)
		}
		// If the deadline would pass during the backoff, fail now with the actual cause.
		if time.Until(deadline) <= pause {
			return err
		}
		r.log.LogAttrs(ctx, slog.LevelInfo, "switchboard call failed, retrying",
			slog.String("method", method), slog.Int("attempt", attempt), slog.Duration("delay", pause), slog.Any("error", err))
		if stopped := sleep(ctx, pause); stopped != nil {
			return contextError(stopped, failure.RequestID)
		}
	}
}

// backoffAfter is the backoff after that many failures. It doubles up to longest, with jitter to keep clients from
// retrying in step.
func backoffAfter(failures int, longest time.Duration) time.Duration {
	pause := min(initialBackoff<<min(failures-1, 16), longest)
	return pause/2 + mathrand.N(pause/2)
}

// sleep waits for the pause, or returns the error of ctx if that ends first.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// isRead reports whether a method changes nothing.
func isRead(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return strings.HasPrefix(service, "switchboard.v1.") &&
		(strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || name == "VerifyWebhookSignature")
}

// stream is the interceptor of streaming calls.
func (r retrier) stream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	opened, err := open(ctx, desc, conn, method, r.waitForReady(ctx, options)...)
	if err != nil {
		return nil, wrapError(ctx, err, "")
	}
	return &callStream{ClientStream: opened}, nil
}

// callStream converts a stream's errors into *Error, and adds a request_id to the header of an upload.
type callStream struct {
	grpc.ClientStream
	requestID atomic.Pointer[string]
}

func (s *callStream) SendMsg(message any) error {
	if upload, ok := message.(proto.Message); ok {
		message = s.addRequestID(upload)
	}
	return s.wrapError(s.ClientStream.SendMsg(message))
}

func (s *callStream) RecvMsg(message any) error {
	return s.wrapError(s.ClientStream.RecvMsg(message))
}

func (s *callStream) wrapError(err error) error {
	if id := s.requestID.Load(); id != nil {
		return wrapError(s.Context(), err, *id)
	}
	return wrapError(s.Context(), err, "")
}

// addRequestID adds a request_id to the header of an upload.
func (s *callStream) addRequestID(upload proto.Message) proto.Message {
	reflected := upload.ProtoReflect()
	field := reflected.Descriptor().Fields().ByName("header")
	if field == nil || field.Message() == nil || !reflected.Has(field) {
		return upload
	}
	header := reflected.Get(field).Message().Interface()
	filled, id := withRequestID(header)
	s.requestID.Store(&id)
	if filled == header {
		return upload
	}
	// Copy only the outer message, not the bytes of the chunk.
	copied := reflected.New()
	reflected.Range(func(each protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		copied.Set(each, value)
		return true
	})
	copied.Set(field, protoreflect.ValueOfMessage(filled.ProtoReflect()))
	return copied.Interface()
}

// withRequestID returns the request with a request_id, and the id itself. It generates a random id if the field is
// empty. It copies the message before that, because the caller may send the same message again as a new request. If
// request_id is a lookup key in a oneof, the request stays unchanged.
func withRequestID[M any](request M) (M, string) {
	message, ok := any(request).(proto.Message)
	if !ok || !message.ProtoReflect().IsValid() {
		return request, ""
	}
	field := message.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil || field.Kind() != protoreflect.StringKind || field.ContainingOneof() != nil {
		return request, ""
	}
	if id := message.ProtoReflect().Get(field).String(); id != "" {
		return request, id
	}
	id := newRequestID()
	message = proto.Clone(message)
	message.ProtoReflect().Set(field, protoreflect.ValueOfString(id))
	return message.(M), id
}

// newRequestID returns a random UUID.
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // Never fails.
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
