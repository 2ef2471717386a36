package switchboard

import (
	"context"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// within is the time that anything in these tests may take.
const testTimeout = 20 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// serve runs a gRPC server on loopback until the test ends, and tells its address.
func serve(t *testing.T, register func(*grpc.Server), options ...grpc.ServerOption) string {
	t.Helper()
	listener := listen(t)
	server := grpc.NewServer(options...)
	register(server)
	go server.Serve(listener) // It ends with Stop.
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// connect makes a client that is closed when the test ends.
func connect(t *testing.T, address string, options ...Option) *Client {
	t.Helper()
	client, err := NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// receive takes what a test waits for.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(testTimeout):
		t.Fatal("nothing came")
		panic("unreachable")
	}
}

// failing makes a status with details, as the server does.
func statusError(t testing.TB, code codes.Code, failure *switchboardv1.Error) error {
	t.Helper()
	failure.Code = int32(code)
	made, ok := ErrorFrom(failure).(*Error)
	if !ok {
		t.Fatal("no error was made")
	}
	return made.status.Err()
}

// unavailable is what a fake answers that is not there.
var unavailable = status.Error(codes.Unavailable, "not now")

// fakeMessages answers some calls of the MessageService.
type fakeMessages struct {
	switchboardv1.UnimplementedMessageServiceServer
	send      func(context.Context, *switchboardv1.SendMessageRequest) (*switchboardv1.SendMessageResponse, error)
	sendMedia func(switchboardv1.MessageService_SendMediaServer) error
}

func (f *fakeMessages) SendMessage(
	ctx context.Context, request *switchboardv1.SendMessageRequest,
) (*switchboardv1.SendMessageResponse, error) {
	return f.send(ctx, request)
}

func (f *fakeMessages) SendMedia(stream switchboardv1.MessageService_SendMediaServer) error {
	return f.sendMedia(stream)
}

func serveMessages(t *testing.T, fake *fakeMessages, options ...grpc.ServerOption) string {
	t.Helper()
	return serve(t, func(server *grpc.Server) { switchboardv1.RegisterMessageServiceServer(server, fake) }, options...)
}

// fakeEvents answers each subscription, counted from 0, by a function of the test, and acknowledgements too.
type fakeEvents struct {
	switchboardv1.UnimplementedEventServiceServer
	requests    chan *switchboardv1.SubscribeRequest
	scripts     chan func(switchboardv1.EventService_SubscribeServer) error
	acknowledge func(context.Context, *switchboardv1.AcknowledgeRequest) error // Nil takes all.

	mu    sync.Mutex
	calls []string
}

// note keeps what was called, in its order.
func (f *fakeEvents) record(call string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, call)
}

func (f *fakeEvents) called() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.calls)
}

func (f *fakeEvents) Acknowledge(
	ctx context.Context, request *switchboardv1.AcknowledgeRequest,
) (*switchboardv1.AcknowledgeResponse, error) {
	f.record(fmt.Sprintf("%s/%d", request.GetCursor(), request.GetGeneration()))
	if request.GetSubscription() != shop {
		return nil, status.Error(codes.InvalidArgument, "it is another subscription")
	}
	if f.acknowledge != nil {
		if err := f.acknowledge(ctx, request); err != nil {
			return nil, err
		}
	}
	return &switchboardv1.AcknowledgeResponse{Cursor: request.GetCursor()}, nil
}

func (f *fakeEvents) Subscribe(
	request *switchboardv1.SubscribeRequest, stream switchboardv1.EventService_SubscribeServer,
) error {
	if _, ok := stream.Context().Deadline(); ok {
		return status.Error(codes.InvalidArgument, "a subscription must stay open, and this one has a deadline")
	}
	f.record("subscribe")
	select {
	case f.requests <- request:
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
	select {
	case script := <-f.scripts:
		return script(stream)
	case <-stream.Context().Done():
		return stream.Context().Err()
	}
}

func newFakeEvents(scripts ...func(switchboardv1.EventService_SubscribeServer) error) *fakeEvents {
	fake := &fakeEvents{
		requests: make(chan *switchboardv1.SubscribeRequest, 100),
		scripts:  make(chan func(switchboardv1.EventService_SubscribeServer) error, 100),
	}
	for _, script := range scripts {
		fake.scripts <- script
	}
	return fake
}

func serveEvents(t *testing.T, fake *fakeEvents) string {
	t.Helper()
	return serve(t, func(server *grpc.Server) { switchboardv1.RegisterEventServiceServer(server, fake) })
}
