package switchboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

const (
	// initialBackoff is the longest pause before the second try; it doubles with every further one, up to maxBackoff.
	initialBackoff = 250 * time.Millisecond
	maxBackoff     = 10 * time.Second
	// maxServerDelay is the longest delay asked for by the server that a call waits for; with a longer one, it fails.
	maxServerDelay = 30 * time.Second
)

// retrier makes calls again that failed with UNAVAILABLE, where that is safe.
type retrier struct {
	attempts int
}

// unary is the interceptor of all calls that are no streams.
func (r retrier) unary(
	ctx context.Context, method string, request, response any,
	conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
) error {
	request, id := withRequestID(request)
	return r.do(ctx, id != "" || isRead(method), func() error {
		return wrapError(invoke(ctx, method, request, response, conn, options...), id)
	})
}

// do makes a call and, where it is retryable, makes it again while it fails with UNAVAILABLE.
func (r retrier) do(ctx context.Context, retryable bool, call func() error) error {
	for attempt := 1; ; attempt++ {
		err := call()
		failure, ok := errors.AsType[*Error](err)
		if !ok || failure.Code != codes.Unavailable || !retryable || attempt >= r.attempts {
			return err
		}
		pause := backoffAfter(attempt)
		if delay, ok := failure.RetryDelay(); ok {
			if delay > maxServerDelay {
				return err
			}
			pause += max(delay, 0)
		}
		// What cannot be tried again before the deadline fails now, and says why.
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) <= pause {
			return err
		}
		if stopped := sleep(ctx, pause); stopped != nil {
			return newError(status.FromContextError(stopped), failure.RequestID)
		}
	}
}

// backoffAfter is how long to wait after so many failures: doubling, and spread so that callers do not come in step.
func backoffAfter(failures int) time.Duration {
	pause := min(initialBackoff<<min(failures-1, 16), maxBackoff)
	return pause/2 + mathrand.N(pause/2)
}

// sleep waits, and tells why it was woken before the time.
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

// isRead tells whether a method changes nothing.
func isRead(method string) bool {
	service, name, _ := strings.Cut(strings.TrimPrefix(method, "/"), "/")
	return strings.HasPrefix(service, "switchboard.v1.") &&
		(strings.HasPrefix(name, "Get") || strings.HasPrefix(name, "List") || name == "VerifyWebhook")
}

// stream is the interceptor of all streams.
func stream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, options ...grpc.CallOption,
) (grpc.ClientStream, error) {
	opened, err := open(ctx, desc, conn, method, options...)
	if err != nil {
		return nil, wrapError(err, "")
	}
	return &callStream{ClientStream: opened}, nil
}

// callStream turns a stream's errors into *Error, and identifies the upload that it carries.
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
		return wrapError(err, *id)
	}
	return wrapError(err, "")
}

// identify gives the header of an upload a request_id.
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
	// The outer message alone is copied: the chunk stays where it is.
	copied := reflected.New()
	reflected.Range(func(each protoreflect.FieldDescriptor, value protoreflect.Value) bool {
		copied.Set(each, value)
		return true
	})
	copied.Set(field, protoreflect.ValueOfMessage(filled.ProtoReflect()))
	return copied.Interface()
}

// identified gives a write that has none a random request_id, and tells which one it has. The caller's own message stays
// as it is, so that it can be sent once more as another one. Where request_id is a key to look something up by, it is one
// of several, and nothing is filled in.
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

// newRequestID makes a random UUID.
func newRequestID() string {
	var id [16]byte
	_, _ = rand.Read(id[:]) // Never fails.
	id[6] = id[6]&0x0f | 0x40
	id[8] = id[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:])
}
