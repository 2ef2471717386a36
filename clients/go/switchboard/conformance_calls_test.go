package switchboard

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

type callCase struct {
	caseName
	Call                string
	RequestID           string `json:"request_id"`
	TimeoutMS           int64  `json:"timeout_ms"`
	ServerStartsAfterMS int64  `json:"server_starts_after_ms"`
	Server              []statusOr
	Expect              struct {
		Result    expectedResult
		Attempts  bounds
		RequestID string `json:"request_id"`
		Pauses    []bounds
		Elapsed   *bounds
	}
}

// expectedResult is a word such as "ok", or an error.
type expectedResult struct {
	word string
	Code wordOrWords
	// Reason is empty for an error without a reason.
	Reason string
}

func (r *expectedResult) UnmarshalJSON(encoded []byte) error {
	if encoded[0] == '"' {
		return json.Unmarshal(encoded, &r.word)
	}
	type plain expectedResult
	return json.Unmarshal(encoded, (*plain)(r))
}

type wordOrWords []string

func (w *wordOrWords) UnmarshalJSON(encoded []byte) error {
	if encoded[0] == '[' {
		return json.Unmarshal(encoded, (*[]string)(w))
	}
	*w = make([]string, 1)
	return json.Unmarshal(encoded, &(*w)[0])
}

func (r *expectedResult) checkError(t *testing.T, err error) {
	t.Helper()
	failure, ok := errors.AsType[*Error](err)
	if !ok {
		t.Fatalf("got %v, want %q %s", err, r.Code, r.Reason)
	}
	permitted := slices.ContainsFunc(r.Code, func(name string) bool { return codeNamed(t, name) == failure.Code })
	if !permitted || failure.Reason != r.Reason {
		t.Errorf("got %v, want %q %s", err, r.Code, r.Reason)
	}
}

// callServer runs the server's side of a case.
type callServer struct {
	switchboardv1.UnimplementedMessageServiceServer
	switchboardv1.UnimplementedContactServiceServer
	t      *testing.T
	script []statusOr

	mu       sync.Mutex
	ids      []string
	arrivals []time.Time
	ends     []time.Time
}

func (s *callServer) attempt(ctx context.Context, requestID string) error {
	s.mu.Lock()
	s.arrivals = append(s.arrivals, time.Now())
	s.ids = append(s.ids, requestID)
	reply := s.script[min(len(s.ids), len(s.script))-1]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ends = append(s.ends, time.Now())
	}()
	switch {
	case reply.status != nil:
		return reply.status.err(s.t)
	case reply.word == "silence":
		<-ctx.Done()
		return ctx.Err()
	case reply.word == "ok":
		return nil
	default:
		s.t.Errorf("unknown reply %q", reply.word)
		return nil
	}
}

func (s *callServer) SendMessage(
	ctx context.Context, request *switchboardv1.SendMessageRequest,
) (*switchboardv1.SendMessageResponse, error) {
	return &switchboardv1.SendMessageResponse{}, s.attempt(ctx, request.GetRequestId())
}

func (s *callServer) GetMessage(
	ctx context.Context, _ *switchboardv1.GetMessageRequest,
) (*switchboardv1.GetMessageResponse, error) {
	return &switchboardv1.GetMessageResponse{}, s.attempt(ctx, "")
}

func (s *callServer) UpdateContact(
	ctx context.Context, _ *switchboardv1.UpdateContactRequest,
) (*switchboardv1.UpdateContactResponse, error) {
	return &switchboardv1.UpdateContactResponse{}, s.attempt(ctx, "")
}

// start serves on the address until the test ends.
func (s *callServer) start(address string) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		s.t.Error(err)
		return
	}
	server := grpc.NewServer()
	switchboardv1.RegisterMessageServiceServer(server, s)
	switchboardv1.RegisterContactServiceServer(server, s)
	go server.Serve(listener) // Returns after Stop.
	s.t.Cleanup(server.Stop)
}

func TestConformanceOfCalls(t *testing.T) {
	t.Parallel()
	conformanceCases(t, "calls.json", func(t *testing.T, c callCase) {
		server := &callServer{t: t, script: c.Server}
		address := listenAndClose(t)
		client := connect(t, address)
		ctx := t.Context()
		if c.TimeoutMS > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, time.Duration(c.TimeoutMS)*time.Millisecond)
			defer cancel()
		}
		running := make(chan struct{})
		start := func() {
			defer close(running)
			server.start(address)
		}
		begun := time.Now()
		if c.ServerStartsAfterMS > 0 {
			time.AfterFunc(time.Duration(c.ServerStartsAfterMS)*time.Millisecond, start)
		} else {
			start()
		}
		var err error
		switch c.Call {
		case "SendMessage":
			_, err = client.Messages.SendMessage(ctx, &switchboardv1.SendMessageRequest{RequestId: c.RequestID})
		case "GetMessage":
			_, err = client.Messages.GetMessage(ctx, &switchboardv1.GetMessageRequest{})
		case "UpdateContact":
			_, err = client.Contacts.UpdateContact(ctx, &switchboardv1.UpdateContactRequest{})
		default:
			t.Fatalf("unknown call %q", c.Call)
		}
		elapsed := time.Since(begun)
		<-running
		c.check(t, server, elapsed, err)
	})
}

func (c *callCase) check(t *testing.T, server *callServer, elapsed time.Duration, err error) {
	t.Helper()
	server.mu.Lock()
	defer server.mu.Unlock()
	ids := server.ids
	failure, failed := errors.AsType[*Error](err)
	if failed {
		ids = append(slices.Clone(ids), failure.RequestID)
	}
	if c.Expect.Result.word == "" {
		c.Expect.Result.checkError(t, err)
	} else if c.Expect.Result.word != "ok" || err != nil {
		t.Errorf("got %v, want %q", err, c.Expect.Result.word)
	}
	c.Expect.Attempts.check(t, "the number of attempts", int64(len(server.ids)))
	want := c.Expect.RequestID
	switch want {
	case "none":
		want = ""
	case "generated":
		if want = server.ids[0]; len(want) != 36 {
			t.Errorf("the generated request_id is %q", want)
		}
	}
	for _, id := range ids {
		if id != want {
			t.Errorf("got request_ids %q, want %q in all", ids, want)
		}
	}
	for i, pause := range c.Expect.Pauses {
		pause.checkTime(t, "the pause", server.arrivals[i+1].Sub(server.ends[i]))
	}
	if c.Expect.Elapsed != nil {
		c.Expect.Elapsed.checkTime(t, "the time of the call", elapsed)
	}
}
