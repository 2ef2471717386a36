package switchboard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

type streamCase struct {
	caseName
	Request     streamRequest
	Streams     [][]streamStep
	Acknowledge []statusOr
	Program     []programStep
	Expect      struct {
		End        expectedResult
		Calls      []streamCall
		Optional   []streamCall
		Pauses     []bounds
		Reconnects *bounds
	}
}

// streamRequest is a SubscribeRequest.
type streamRequest struct {
	SubscriptionID string `json:"subscription_id"`
	Position       string
	AfterCursor    string `json:"after_cursor"`
	SinceSeconds   int64  `json:"since_seconds"`
	MaxEvents      uint64 `json:"max_events"`
	ExpiredPolicy  string `json:"expired_policy"`
}

func (r *streamRequest) message(t *testing.T) *switchboardv1.SubscribeRequest {
	t.Helper()
	request := &switchboardv1.SubscribeRequest{MaxEvents: r.MaxEvents}
	if r.ExpiredPolicy != "" {
		request.ExpiredPolicy = enumNumber[switchboardv1.ExpiredPolicy](t, switchboardv1.ExpiredPolicy_value, r.ExpiredPolicy)
	}
	switch {
	case r.SubscriptionID != "":
		request.Start = &switchboardv1.SubscribeRequest_SubscriptionId{SubscriptionId: r.SubscriptionID}
	case r.Position != "":
		position := enumNumber[switchboardv1.StartPosition](t, switchboardv1.StartPosition_value, r.Position)
		request.Start = &switchboardv1.SubscribeRequest_Position{Position: position}
	case r.AfterCursor != "":
		request.Start = &switchboardv1.SubscribeRequest_AfterCursor{AfterCursor: r.AfterCursor}
	case r.SinceSeconds != 0:
		request.Start = &switchboardv1.SubscribeRequest_Since{Since: &timestamppb.Timestamp{Seconds: r.SinceSeconds}}
	}
	return request
}

// streamCall is a call that the server receives.
type streamCall struct {
	Subscribe   *streamRequest
	Acknowledge *struct {
		Cursor     string
		Generation uint64
	}
}

// message returns the request of the call.
func (c *streamCall) message(t *testing.T) proto.Message {
	t.Helper()
	if c.Subscribe != nil {
		return c.Subscribe.message(t)
	}
	return &switchboardv1.AcknowledgeRequest{
		SubscriptionId: shop, Cursor: c.Acknowledge.Cursor, Generation: c.Acknowledge.Generation,
	}
}

type scriptedGap struct {
	AfterCursor  string `json:"after_cursor"`
	ResumeCursor string `json:"resume_cursor"`
	Missed       uint64
}

type streamStep struct {
	Started *struct {
		Cursor       string
		OldestCursor string `json:"oldest_cursor"`
		HeartbeatMS  int64  `json:"heartbeat_ms"`
		Generation   uint64
	}
	Event     string
	Heartbeat string
	Gap       *scriptedGap
	Closing   *struct {
		Reason       string
		Cursor       string
		RetryDelayMS *int64 `json:"retry_delay_ms"`
	}
	AwaitAcknowledgements int `json:"await_acknowledgements"`
	End                   *statusOr
}

// response is the response that the step sends, or nil.
func (s *streamStep) response(t *testing.T) response {
	t.Helper()
	switch {
	case s.Started != nil:
		interval := 15 * time.Second
		if s.Started.HeartbeatMS > 0 {
			interval = time.Duration(s.Started.HeartbeatMS) * time.Millisecond
		}
		made := startedWith(s.Started.Cursor, interval)
		made.GetStarted().OldestCursor = s.Started.OldestCursor
		made.GetStarted().Generation = s.Started.Generation
		return made
	case s.Event != "":
		made := event(s.Event)
		made.GetEvent().EventId = s.Event
		return made
	case s.Heartbeat != "":
		return heartbeat(s.Heartbeat)
	case s.Gap != nil:
		made := gap(s.Gap.AfterCursor, s.Gap.ResumeCursor)
		made.GetGap().Missed = &s.Gap.Missed
		return made
	case s.Closing != nil:
		reason := enumNumber[switchboardv1.ClosingReason](t, switchboardv1.ClosingReason_value, s.Closing.Reason)
		made := closing(s.Closing.Cursor, reason, 0)
		if s.Closing.RetryDelayMS != nil {
			made.GetClosing().RetryDelay = milliseconds(*s.Closing.RetryDelayMS)
		}
		return made
	default:
		return nil
	}
}

// receivedCall is a request, and whether the server accepted it.
type receivedCall struct {
	proto.Message
	accepted bool
}

// streamServer runs the server's side of a case.
type streamServer struct {
	switchboardv1.UnimplementedEventServiceServer
	switchboardv1.UnimplementedSubscriptionServiceServer
	t *testing.T
	c streamCase

	mu           sync.Mutex
	changed      *sync.Cond
	calls        []receivedCall
	acknowledged int
	opened       []time.Time
	ended        []time.Time
}

func (s *streamServer) Acknowledge(
	_ context.Context, request *switchboardv1.AcknowledgeRequest,
) (*switchboardv1.AcknowledgeResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	number := s.acknowledged
	s.acknowledged++
	s.changed.Broadcast()
	rejected := number < len(s.c.Acknowledge) && s.c.Acknowledge[number].status != nil
	s.calls = append(s.calls, receivedCall{request, !rejected})
	if rejected {
		return nil, s.c.Acknowledge[number].status.err(s.t)
	}
	return &switchboardv1.AcknowledgeResponse{Cursor: request.GetCursor()}, nil
}

func (s *streamServer) Subscribe(
	request *switchboardv1.SubscribeRequest, stream switchboardv1.EventService_SubscribeServer,
) error {
	s.mu.Lock()
	s.calls = append(s.calls, receivedCall{request, false})
	number := len(s.opened)
	s.opened = append(s.opened, time.Now())
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ended = append(s.ended, time.Now())
	}()
	if number >= len(s.c.Streams) {
		s.t.Errorf("unexpected stream %d", number+1)
		return (&scriptedStatus{Code: "FAILED_PRECONDITION", Reason: "CASE_HAS_NO_MORE_STREAMS"}).err(s.t)
	}
	return s.play(s.c.Streams[number], stream)
}

func (s *streamServer) play(steps []streamStep, stream switchboardv1.EventService_SubscribeServer) error {
	for _, step := range steps {
		response := step.response(s.t)
		switch {
		case response != nil:
			if err := stream.Send(response); err != nil {
				return err
			}
		case step.AwaitAcknowledgements > 0:
			stop := context.AfterFunc(stream.Context(), s.changed.Broadcast)
			s.mu.Lock()
			for s.acknowledged < step.AwaitAcknowledgements && stream.Context().Err() == nil {
				s.changed.Wait()
			}
			s.mu.Unlock()
			stop()
		case step.End == nil:
			s.t.Error("unknown step")
			return nil
		case step.End.status != nil:
			return step.End.status.err(s.t)
		case step.End.word == "silence":
			<-stream.Context().Done()
			return stream.Context().Err()
		case step.End.word == "ok":
			return nil
		}
	}
	s.t.Error("the stream has no end")
	return nil
}

type programStep struct {
	Event string
	Gap   *scriptedGap
	Do    []string
}

var errProgram = errors.New("the program failed")

func TestConformanceOfStreams(t *testing.T) {
	t.Parallel()
	conformanceCases(t, "streams.json", func(t *testing.T, c streamCase) {
		server := &streamServer{t: t, c: c}
		server.changed = sync.NewCond(&server.mu)
		address := serve(t, func(registrar *grpc.Server) {
			switchboardv1.RegisterEventServiceServer(registrar, server)
			switchboardv1.RegisterSubscriptionServiceServer(registrar, server)
		})
		program := streamProgram{t: t, steps: c.Program}
		program.run(connect(t, address), c.Request.message(t))
		c.check(t, server, &program)
	})
}

// streamProgram runs the program's side of a case.
type streamProgram struct {
	t          *testing.T
	steps      []programStep
	events     *EventStream
	previous   *switchboardv1.Event
	byItself   bool
	err        error
	reconnects int
}

func (p *streamProgram) run(client *Client, request *switchboardv1.SubscribeRequest) {
	ctx, cancel := context.WithCancel(testContext(p.t))
	defer cancel()
	p.events = client.Subscribe(request, OnReconnect(func(error) { p.reconnects++ }), OnGap(func(gap *switchboardv1.SubscribeGap) error {
		step := p.next()
		want := scriptedGap{gap.GetAfterCursor(), gap.GetResumeCursor(), gap.GetMissed()}
		if step.Gap == nil || *step.Gap != want || !slices.Equal(step.Do, []string{"finish"}) {
			p.t.Errorf("got gap %v, want %v", gap, step.Gap)
		}
		return nil
	}))
	// A loop body that fails leaves the loop by a panic.
	defer func() {
		if failed := recover(); failed != nil && failed != errProgram {
			panic(failed)
		}
	}()
	for event, err := range p.events.Events(ctx) {
		if err != nil {
			p.err = err
			return
		}
		if continues := p.handle(ctx, cancel, event); !continues {
			return
		}
		p.previous = event
	}
}

func (p *streamProgram) next() programStep {
	if len(p.steps) == 0 {
		return programStep{}
	}
	step := p.steps[0]
	p.steps = p.steps[1:]
	return step
}

// handle is the loop's body. It reports whether the loop continues.
func (p *streamProgram) handle(ctx context.Context, cancel context.CancelFunc, event *switchboardv1.Event) bool {
	step := p.next()
	if p.byItself || step.Event != event.GetCursor() {
		p.t.Errorf("got event %s, want %q", event.GetCursor(), step.Event)
		return false
	}
	for _, action := range step.Do {
		switch action {
		case "finish":
		case "leave":
			p.byItself = true
			return false
		case "fail":
			p.byItself = true
			panic(errProgram)
		case "cancel":
			p.byItself = true
			cancel()
		case "acknowledge":
			if err := p.events.Acknowledge(ctx, event); err != nil {
				p.t.Error(err)
			}
		case "acknowledge_stale":
			err := p.events.Acknowledge(ctx, event)
			failure, ok := errors.AsType[*Error](err)
			if !ok || ParseReason(failure.Reason) != switchboardv1.Reason_REASON_SUBSCRIPTION_GENERATION_STALE {
				p.t.Errorf("got %v", err)
			}
		case "acknowledge_previous":
			if err := p.events.Acknowledge(ctx, p.previous); err != nil {
				p.t.Error(err)
			}
		case "acknowledge_foreign":
			_ = p.events.Acknowledge(ctx, &switchboardv1.Event{Cursor: "foreign"})
		default:
			p.t.Errorf("unknown action %q", action)
		}
	}
	return true
}

func (c *streamCase) check(t *testing.T, server *streamServer, program *streamProgram) {
	t.Helper()
	server.mu.Lock()
	defer server.mu.Unlock()
	if len(program.steps) > 0 {
		t.Errorf("the program did not get %+v", program.steps)
	}
	switch end := c.Expect.End; end.word {
	case "":
		end.checkError(t, program.err)
	case "done":
		if program.err != nil || program.byItself {
			t.Errorf("the loop ended with %v", program.err)
		}
	case "program":
		if !program.byItself || program.err != nil && !errors.Is(program.err, context.Canceled) {
			t.Errorf("the loop ended with %v", program.err)
		}
	default:
		t.Errorf("unknown end %q", end.word)
	}
	c.checkCalls(t, server.calls)
	reconnects := bounds{AtLeast: int64(len(server.opened) - 1), AtMost: int64(len(server.opened) - 1)}
	if c.Expect.Reconnects != nil {
		reconnects = *c.Expect.Reconnects
	}
	reconnects.check(t, "the number of reconnects", int64(program.reconnects))
	for i, pause := range c.Expect.Pauses {
		pause.checkTime(t, "the pause", server.opened[i+1].Sub(server.ended[i]))
	}
}

// checkCalls compares the calls with the expected ones. Between them, optional calls and repetitions of accepted ones are
// permitted.
func (c *streamCase) checkCalls(t *testing.T, got []receivedCall) {
	t.Helper()
	left := c.Expect.Calls
	for i, call := range got {
		isCall := func(each streamCall) bool { return proto.Equal(call.Message, each.message(t)) }
		isRepeated := func(each receivedCall) bool { return each.accepted && proto.Equal(call.Message, each.Message) }
		switch {
		case len(left) > 0 && isCall(left[0]):
			left = left[1:]
		case slices.ContainsFunc(c.Expect.Optional, isCall), slices.ContainsFunc(got[:i], isRepeated):
		default:
			t.Errorf("unexpected call %v in %v", call, got)
		}
	}
	if len(left) > 0 {
		t.Errorf("%s are missing in %v", fmt.Sprint(len(left), " calls"), got)
	}
}
