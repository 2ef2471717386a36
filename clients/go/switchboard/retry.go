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
	// firstPause is the longest pause before the second try; it doubles with every further one, up to maxPause.
	firstPause = 250 * time.Millisecond
	maxPause   = 10 * time.Second
	// maxDelay is the longest delay asked for by the server that a call waits for; with a longer one, it fails.
	maxDelay = 30 * time.Second
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
	request, id := identified(request)
	return r.do(ctx, id != "" || isRead(method), func() error {
		return describe(invoke(ctx, method, request, response, conn, options...), id)
	})
}

// do makes a call and, where it is repeatable, makes it again while it fails with UNAVAILABLE.
func (r retrier) do(ctx context.Context, repeatable bool, call func() error) error {
	for attempt := 1; ; attempt++ {
		err := call()
		failure, ok := errors.AsType[*Error](err)
		if !ok || failure.Code != codes.Unavailable || !repeatable || attempt >= r.attempts {
			return err
		}
		pause := pauseAfter(attempt)
		if delay, ok := failure.RetryDelay(); ok {
			if delay > maxDelay {
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

// pauseAfter is how long to wait after so many failures: doubling, and spread so that callers do not come in step.
func pauseAfter(failures int) time.Duration {
	pause := min(firstPause<<min(failures-1, 16), maxPause)
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
		return nil, describe(err, "")
	}
	return &describedStream{ClientStream: opened}, nil
}

// describedStream turns a stream's errors into *Error, and identifies the upload that it carries.
type describedStream struct {
	grpc.ClientStream
	requestID atomic.Pointer[string]
}

func (s *describedStream) SendMsg(message any) error {
	if upload, ok := message.(proto.Message); ok {
		message = s.identify(upload)
	}
	return s.describe(s.ClientStream.SendMsg(message))
}

func (s *describedStream) RecvMsg(message any) error {
	return s.describe(s.ClientStream.RecvMsg(message))
}

func (s *describedStream) describe(err error) error {
	if id := s.requestID.Load(); id != nil {
		return describe(err, *id)
	}
	return describe(err, "")
}

// identify gives the header of an upload a request_id.
func (s *describedStream) identify(upload proto.Message) proto.Message {
	reflected := upload.ProtoReflect()
	field := reflected.Descriptor().Fields().ByName("header")
	if field == nil || field.Message() == nil || !reflected.Has(field) {
		return upload
	}
	header := reflected.Get(field).Message().Interface()
	filled, id := identified(header)
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
func identified[M any](request M) (M, string) {
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
