package switchboard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// testTimeout limits everything that a test waits for.
const testTimeout = 20 * time.Second

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// repositoryFile reads a file of the Switchboard repository that is outside this module. It skips the test in a copy of
// the module, as in the module cache.
func repositoryFile(t *testing.T, path string) []byte {
	t.Helper()
	const root = "../../../"
	if _, err := os.Stat(root + "clients/go/go.mod"); errors.Is(err, fs.ErrNotExist) {
		t.Skip("this test needs the Switchboard repository")
	}
	content, err := os.ReadFile(root + path)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return listener
}

// serve runs a gRPC server on loopback until the test ends, and returns its address.
func serve(t *testing.T, register func(*grpc.Server), options ...grpc.ServerOption) string {
	t.Helper()
	listener := listen(t)
	server := grpc.NewServer(options...)
	register(server)
	go server.Serve(listener) // Returns after Stop.
	t.Cleanup(server.Stop)
	return listener.Addr().String()
}

// connect returns a client that is closed when the test ends.
func connect(t *testing.T, address string, options ...Option) *Client {
	t.Helper()
	client, err := NewClient(address, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

// receive returns the next value of a channel, or fails the test after testTimeout.
func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case value := <-from:
		return value
	case <-time.After(testTimeout):
		t.Fatal("timed out waiting for a value")
		panic("unreachable")
	}
}

// statusError returns a status with details, as the server sends it.
func statusError(t testing.TB, code codes.Code, failure *switchboardv1.Failure) error {
	t.Helper()
	failure.Code = int32(code)
	made, ok := ErrorFrom(failure).(*Error)
	if !ok {
		t.Fatal("ErrorFrom did not return an *Error")
	}
	return made.status.Err()
}

// unavailable is the error of a server that cannot serve at the moment.
var unavailable = status.Error(codes.Unavailable, "try again later")

// fakeMessages implements some calls of the MessageService.
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

// fakeEvents runs one script of the test per Subscribe call, in order, and answers acknowledgements.
type fakeEvents struct {
	switchboardv1.UnimplementedEventServiceServer
	switchboardv1.UnimplementedSubscriptionServiceServer
	requests    chan *switchboardv1.SubscribeRequest
	scripts     chan func(switchboardv1.EventService_SubscribeServer) error
	acknowledge func(context.Context, *switchboardv1.AcknowledgeRequest) error // Nil accepts all.

	mu    sync.Mutex
	calls []string
}

// record stores the name of a call.
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
	if request.GetSubscriptionId() != shop {
		return nil, status.Error(codes.InvalidArgument, "unknown subscription")
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
		return status.Error(codes.InvalidArgument, "an event stream must not have a deadline")
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

// register registers both services of the fake.
func (f *fakeEvents) register(server *grpc.Server) {
	switchboardv1.RegisterEventServiceServer(server, f)
	switchboardv1.RegisterSubscriptionServiceServer(server, f)
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
	return serve(t, fake.register)
}
