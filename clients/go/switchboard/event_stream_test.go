package switchboard

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

type (
	script   = func(switchboardv1.EventService_SubscribeServer) error
	response = *switchboardv1.SubscribeResponse
)

func started(cursor string) response {
	return startedWith(cursor, 15*time.Second)
}

func startedWith(cursor string, heartbeat time.Duration) response {
	return &switchboardv1.SubscribeResponse{Response: &switchboardv1.SubscribeResponse_Started{
		Started: &switchboardv1.SubscribeStarted{Cursor: cursor, HeartbeatInterval: durationpb.New(heartbeat)},
	}}
}

func event(cursor string) response {
	return &switchboardv1.SubscribeResponse{Response: &switchboardv1.SubscribeResponse_Event{
		Event: &switchboardv1.Event{EventId: "evt_" + cursor, Cursor: cursor},
	}}
}

func heartbeat(cursor string) response {
	return &switchboardv1.SubscribeResponse{Response: &switchboardv1.SubscribeResponse_Heartbeat{
		Heartbeat: &switchboardv1.SubscribeHeartbeat{Cursor: cursor},
	}}
}

func gap(after, resume string) response {
	return &switchboardv1.SubscribeResponse{Response: &switchboardv1.SubscribeResponse_Gap{
		Gap: &switchboardv1.SubscribeGap{AfterCursor: after, ResumeCursor: resume},
	}}
}

func closing(cursor string, reason switchboardv1.ClosingReason, after time.Duration) response {
	made := &switchboardv1.SubscribeClosing{Cursor: cursor, Reason: reason}
	if after > 0 {
		made.RetryDelay = durationpb.New(after)
	}
	return &switchboardv1.SubscribeResponse{Response: &switchboardv1.SubscribeResponse_Closing{Closing: made}}
}

// send sends the responses and ends the stream with err.
func send(err error, responses ...response) script {
	return func(stream switchboardv1.EventService_SubscribeServer) error {
		for _, each := range responses {
			if err := stream.Send(each); err != nil {
				return err
			}
		}
		return err
	}
}

// sendAndHold sends the responses, then stays silent until the client cancels the stream.
func sendAndHold(responses ...response) script {
	return func(stream switchboardv1.EventService_SubscribeServer) error {
		if err := send(nil, responses...)(stream); err != nil {
			return err
		}
		<-stream.Context().Done()
		return stream.Context().Err()
	}
}

const (
	maxEventsReached = switchboardv1.ClosingReason_CLOSING_REASON_MAX_EVENTS
	shutdown         = switchboardv1.ClosingReason_CLOSING_REASON_SHUTDOWN
)

// endOfStream ends the loop without an error.
func endOfStream(cursor string) script {
	return send(nil, started(cursor), closing(cursor, maxEventsReached, 0))
}

// readAll reads events until the loop ends, and returns their cursors.
func readAll(t *testing.T, s *EventStream) (cursors []string, err error) {
	t.Helper()
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			return cursors, err
		}
		cursors = append(cursors, event.GetCursor())
	}
	return cursors, nil
}

func wantCursors(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("got events %q, want %q", got, want)
	}
}

// wantRequest receives the server's next request and checks its after_cursor.
func wantRequest(t *testing.T, fake *fakeEvents, cursor string) *switchboardv1.SubscribeRequest {
	t.Helper()
	request := receive(t, fake.requests)
	if request.GetAfterCursor() != cursor {
		t.Errorf("got request %v, want after_cursor %q", request, cursor)
	}
	return request
}

func TestBrokenStreamResumesAfterLastEvent(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(
		send(unavailable, started("c0"), event("c1"), event("c2")),
		send(unavailable), // Fails before it starts.
		send(unavailable, started("c2"), event("c3")),
		endOfStream("c3"),
	)
	s := connect(t, serveEvents(t, fake)).Subscribe(&switchboardv1.SubscribeRequest{
		Filter: &switchboardv1.EventFilter{Types: []string{"message.*"}},
		Start:  &switchboardv1.SubscribeRequest_AfterCursor{AfterCursor: "c0"},
	})
	if s.Cursor() != "c0" {
		t.Errorf("the cursor is %q before the first event", s.Cursor())
	}
	cursors, err := readAll(t, s)
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c1", "c2", "c3")
	for _, cursor := range []string{"c0", "c2", "c2", "c3"} {
		if request := wantRequest(t, fake, cursor); !slices.Equal(request.GetFilter().GetTypes(), []string{"message.*"}) {
			t.Errorf("got filter %v", request.GetFilter())
		}
	}
}

func TestLatestStartResumesFromStartedCursor(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(send(unavailable, started("c7")), endOfStream("c7"))
	if _, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(nil)); err != nil {
		t.Fatal(err)
	}
	if first := wantRequest(t, fake, ""); first.GetStart() != nil {
		t.Errorf("got start %v", first)
	}
	wantRequest(t, fake, "c7")
}

// If events since the time may have expired, only a request with the time returns the gap. In all other cases,
// repeating the time could skip events that arrived meanwhile.
func TestSinceIsRequestedAgainWhileGapMayFollow(t *testing.T) {
	t.Parallel()
	since := &switchboardv1.SubscribeRequest_Since{Since: timestamppb.New(time.Unix(1_800_000_000, 0))}
	oldest := func(cursor, oldest string) response {
		response := started(cursor)
		response.GetStarted().OldestCursor = oldest
		return response
	}
	skip := switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP
	for name, test := range map[string]struct {
		first  response
		policy switchboardv1.ExpiredPolicy
		asked  []string
		gaps   int
	}{
		"at oldest position": {oldest("c4", "c4"), skip, []string{"", "", "c5"}, 1},
		"at later position":  {oldest("c4", "c0"), skip, []string{"", "c4", "c5"}, 1},
		"policy fail":        {oldest("c4", "c4"), 0, []string{"", "c4", "c4"}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFakeEvents(send(unavailable, test.first))
			last := "c4"
			if test.gaps > 0 {
				fake.scripts <- send(unavailable, test.first, gap("", "c5"))
				last = "c5"
			} else {
				fake.scripts <- send(unavailable, test.first)
			}
			fake.scripts <- endOfStream(last)
			gaps := 0
			s := connect(t, serveEvents(t, fake)).Subscribe(&switchboardv1.SubscribeRequest{Start: since, ExpiredPolicy: test.policy},
				OnGap(func(*switchboardv1.SubscribeGap) error { gaps++; return nil }))
			if _, err := readAll(t, s); err != nil || gaps != test.gaps || s.Cursor() != last {
				t.Fatalf("got %v, %d gaps and cursor %q", err, gaps, s.Cursor())
			}
			for _, cursor := range test.asked {
				request := wantRequest(t, fake, cursor)
				if cursor == "" && request.GetSince().GetSeconds() != since.Since.GetSeconds() {
					t.Errorf("got request %v", request)
				}
			}
		})
	}
}

func TestBreakLeavesCurrentEventUnfinished(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(
		sendAndHold(started("c0"), event("c1"), event("c2"), event("c3")),
		send(nil, started("c1"), event("c2"), event("c3"), closing("c3", maxEventsReached, 0)),
	)
	s := connect(t, serveEvents(t, fake)).Subscribe(nil)
	cursors := []string{}
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, s.Cursor())
		if event.GetCursor() == "c2" {
			break
		}
	}
	wantCursors(t, cursors, "c0", "c1")
	if s.Cursor() != "c1" {
		t.Errorf("the cursor is %q after leaving", s.Cursor())
	}
	cursors, err := readAll(t, s)
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c2", "c3")
	if s.Cursor() != "c3" {
		t.Errorf("the cursor is %q at the end", s.Cursor())
	}
	wantRequest(t, fake, "")
	wantRequest(t, fake, "c1")
}

func TestHeartbeatAdvancesCursor(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(send(unavailable, started("c0"), heartbeat("c5")), endOfStream("c5"))
	s := connect(t, serveEvents(t, fake)).Subscribe(nil)
	if _, err := readAll(t, s); err != nil {
		t.Fatal(err)
	}
	wantRequest(t, fake, "")
	wantRequest(t, fake, "c5")
}

func TestHeartbeatAfterEventDoesNotFinishIt(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(sendAndHold(started("c0"), event("c1"), heartbeat("c1"), heartbeat("c9")))
	s := connect(t, serveEvents(t, fake)).Subscribe(nil)
	for _, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		break
	}
	if s.Cursor() != "c0" {
		t.Errorf("the cursor is %q", s.Cursor())
	}
}

func TestGapIsReportedBetweenEvents(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(send(nil,
		started("c0"), event("c1"), gap("c1", "c5"), event("c6"), closing("c6", maxEventsReached, 0)))
	var order []string
	var s *EventStream
	s = connect(t, serveEvents(t, fake)).Subscribe(&switchboardv1.SubscribeRequest{
		ExpiredPolicy: switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP,
	}, OnGap(func(gap *switchboardv1.SubscribeGap) error {
		order = append(order, "gap to "+gap.GetResumeCursor()+" at "+s.Cursor())
		return nil
	}))
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		order = append(order, event.GetCursor()+" at "+s.Cursor())
	}
	wantCursors(t, order, "c1 at c0", "gap to c5 at c1", "c6 at c5")
}

func TestFailedGapHandlerEndsLoop(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(sendAndHold(started("c0"), gap("c0", "c5")))
	// The loop ends even with an error that would be retried if the stream had returned it.
	own := wrapError(t.Context(), unavailable, "")
	s := connect(t, serveEvents(t, fake)).Subscribe(&switchboardv1.SubscribeRequest{
		ExpiredPolicy: switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP,
	}, OnGap(func(*switchboardv1.SubscribeGap) error { return own }))
	if _, err := readAll(t, s); err != own { // Exactly this error.
		t.Errorf("got %v", err)
	}
	if s.Cursor() != "c0" {
		t.Errorf("the cursor is %q", s.Cursor())
	}
}

func TestSkipWithGapRequiresOnGap(t *testing.T) {
	t.Parallel()
	s := connect(t, listenAndClose(t)).Subscribe(&switchboardv1.SubscribeRequest{
		ExpiredPolicy: switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP,
	})
	if _, err := readAll(t, s); err == nil || !strings.Contains(err.Error(), "OnGap") {
		t.Errorf("got %v", err)
	}
}

func TestPermanentErrorEndsLoop(t *testing.T) {
	t.Parallel()
	for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
		if code == codes.Unavailable {
			continue
		}
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			failure := statusError(t, code, &switchboardv1.Failure{Reason: "A_REASON", Metadata: map[string]string{"oldest_cursor": "c9"}})
			fake := newFakeEvents(send(failure, started("c0"), event("c1")), endOfStream("c1"))
			cursors, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(nil))
			wantCursors(t, cursors, "c1")
			got, ok := errors.AsType[*Error](err)
			if !ok || got.Code != code || got.Reason != "A_REASON" || got.Metadata["oldest_cursor"] != "c9" {
				t.Errorf("got %v", err)
			}
			if len(fake.requests) != 1 {
				t.Errorf("got %d streams", len(fake.requests))
			}
		})
	}
}

func TestRepeatedResetsEndLoop(t *testing.T) {
	t.Parallel()
	for _, code := range []codes.Code{codes.Internal, codes.Unknown, codes.Canceled} {
		t.Run(code.String(), func(t *testing.T) {
			t.Parallel()
			undecodable := status.Error(code, "cannot be decoded")
			fake := newFakeEvents(send(undecodable, started("c0"), event("c1")))
			for range maxResets + 3 {
				fake.scripts <- send(undecodable, started("c1"))
			}
			cursors, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(nil))
			wantCursors(t, cursors, "c1")
			// The first reset follows an event and counts as well.
			if status.Code(err) != code || len(fake.requests) != 1+maxResets {
				t.Errorf("got %v after %d streams", err, len(fake.requests))
			}
		})
	}
	t.Run("before started", func(t *testing.T) {
		t.Parallel()
		fake := newFakeEvents()
		for range maxResets + 3 {
			fake.scripts <- send(status.Error(codes.Unknown, "not a Switchboard server"))
		}
		_, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(nil))
		if status.Code(err) != codes.Unknown || len(fake.requests) != 1+maxResets {
			t.Errorf("got %v after %d streams", err, len(fake.requests))
		}
	})
}

func TestEventClearsResetCount(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents()
	want := []string{}
	for number := range maxResets + 3 {
		cursor := fmt.Sprint("c", number)
		fake.scripts <- send(status.Error(codes.Internal, "reset"), started("c"), event(cursor))
		want = append(want, cursor)
	}
	fake.scripts <- endOfStream(want[len(want)-1])
	cursors, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(nil))
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, want...)
}

func TestStartedStreamResetsBackoff(t *testing.T) {
	t.Parallel()
	const failures = 6
	fake := newFakeEvents()
	for range failures {
		fake.scripts <- send(unavailable, started("c0"))
	}
	fake.scripts <- endOfStream("c0")
	start := time.Now()
	if _, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(nil)); err != nil {
		t.Fatal(err)
	}
	// With a doubling backoff, this would take at least twice as long.
	longest := initialBackoff << failures / 4
	if took := time.Since(start); took > longest {
		t.Errorf("%d reconnects took %v", failures, took)
	}
}

// gRPC reports a stream reset and a closed connection in mid-stream; both must be recoverable.
func TestCutStreamResumes(t *testing.T) {
	t.Parallel()
	for name, cut := range map[string]func(*http.Request){
		"reset": func(*http.Request) { panic(http.ErrAbortHandler) },
		"connection": func(r *http.Request) {
			if err := r.Context().Value(connKey{}).(net.Conn).Close(); err != nil {
				t.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFakeEvents(endOfStream("c1"))
			server := grpc.NewServer()
			fake.register(server)
			t.Cleanup(server.Stop)
			read, first := make(chan struct{}), make(chan struct{}, 1)
			first <- struct{}{}
			front := &http.Server{Protocols: new(http.Protocols), ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
				return context.WithValue(ctx, connKey{}, conn)
			}}
			front.Protocols.SetUnencryptedHTTP2(true)
			front.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				select {
				case <-first:
				default:
					server.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/grpc")
				for _, response := range []response{started("c0"), event("c1")} {
					if _, err := w.Write(framed(t, response)); err != nil {
						t.Error(err)
					}
				}
				w.(http.Flusher).Flush()
				select {
				case <-read:
				case <-r.Context().Done():
				}
				cut(r)
			})
			listener := listen(t)
			go front.Serve(listener) // Returns after Close.
			t.Cleanup(func() { front.Close() })

			var causes []error
			s := connect(t, listener.Addr().String()).Subscribe(nil, OnReconnect(func(cause error) { causes = append(causes, cause) }))
			var cursors []string
			for event, err := range s.Events(testContext(t)) {
				if err != nil {
					t.Fatal(err)
				}
				cursors = append(cursors, event.GetCursor())
				if len(cursors) == 1 {
					close(read)
				}
			}
			wantCursors(t, cursors, "c1")
			wantRequest(t, fake, "c1")
			if len(causes) != 1 {
				t.Errorf("got reconnect causes %v", causes)
			}
			t.Logf("reconnect causes: %v", causes)
		})
	}
}

// framed is a message in gRPC's wire format.
func framed(t *testing.T, message proto.Message) []byte {
	t.Helper()
	body, err := proto.Marshal(message)
	if err != nil {
		t.Error(err)
	}
	return append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(body))), body...)
}

type connKey struct{}

func TestStreamEndWithoutClosingReconnects(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(
		send(nil, started("c0"), event("c1")),
		send(nil, started("c1"), closing("c1", shutdown, 0)),
		endOfStream("c1"),
	)
	cursors, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(nil))
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c1")
	if len(fake.requests) != 3 {
		t.Errorf("got %d streams", len(fake.requests))
	}
}

func TestUnknownClosingReasonEndsLoop(t *testing.T) {
	t.Parallel()
	for _, reason := range []switchboardv1.ClosingReason{0, 4711} {
		fake := newFakeEvents(send(nil, started("c0"), event("c1"), closing("c2", reason, 0)), endOfStream("c3"))
		s := connect(t, serveEvents(t, fake)).Subscribe(nil)
		cursors, err := readAll(t, s)
		if err != nil {
			t.Fatal(err)
		}
		wantCursors(t, cursors, "c1")
		if s.Cursor() != "c2" || len(fake.requests) != 1 {
			t.Errorf("got cursor %q after %d streams", s.Cursor(), len(fake.requests))
		}
	}
}

func TestServerDelayIsCapped(t *testing.T) {
	t.Parallel()
	for delay, want := range map[time.Duration]time.Duration{20 * time.Second: 20 * time.Second, time.Hour: maxServerDelay} {
		failure := statusError(t, codes.Unavailable, &switchboardv1.Failure{RetryDelay: durationpb.New(delay)})
		for name, last := range map[string]script{
			"closing": send(unavailable, started("c0"), closing("c0", shutdown, delay)),
			"failure": send(failure, started("c0")),
		} {
			s := connect(t, serveEvents(t, newFakeEvents(last))).Subscribe(nil)
			_, wait, err := s.readStream(testContext(t), s.nextRequest(), nil)
			if status.Code(err) != codes.Unavailable || wait != want {
				t.Errorf("%s: got error %v and delay %v", name, err, wait)
			}
			s.disconnect(testContext(t))
		}
	}
}

func TestShutdownDelayIsHonoured(t *testing.T) {
	t.Parallel()
	const after = 700 * time.Millisecond
	fake := newFakeEvents(send(unavailable, started("c0"), closing("c4", shutdown, after)), endOfStream("c4"))
	var broke time.Time
	s := connect(t, serveEvents(t, fake)).Subscribe(nil, OnReconnect(func(error) { broke = time.Now() }))
	if _, err := readAll(t, s); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(broke); waited < after {
		t.Errorf("reconnected after %v", waited)
	}
	wantRequest(t, fake, "")
	wantRequest(t, fake, "c4")
}

func TestMaxEventsCountsAcrossStreams(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(
		send(unavailable, started("c0"), event("c1"), event("c2")),
		send(unavailable, started("c2"), event("c3")), // All requested events, but the closing response is lost.
	)
	cursors, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(&switchboardv1.SubscribeRequest{MaxEvents: 3}))
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c1", "c2", "c3")
	for _, left := range []uint64{3, 1} {
		if request := receive(t, fake.requests); request.GetMaxEvents() != left {
			t.Errorf("got max_events %d, want %d", request.GetMaxEvents(), left)
		}
	}
	if len(fake.requests) != 0 {
		t.Error("an extra stream was opened")
	}
}

func TestSilentStreamIsReopened(t *testing.T) {
	t.Parallel()
	const interval = 500 * time.Millisecond
	fake := newFakeEvents(sendAndHold(startedWith("c0", interval), event("c1")), endOfStream("c1"))
	var silent time.Duration
	start := time.Now()
	s := connect(t, serveEvents(t, fake)).Subscribe(nil, OnReconnect(func(cause error) {
		if cause != errSilent { // Exactly this error.
			t.Errorf("got reconnect cause %v", cause)
		}
		silent = time.Since(start)
	}))
	for _, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		start = time.Now()
	}
	if silent < 2*interval || silent > 20*interval {
		t.Errorf("reconnected after %v", silent)
	}
	wantRequest(t, fake, "")
	wantRequest(t, fake, "c1")
}

func TestSlowConsumerDoesNotCountAsSilence(t *testing.T) {
	t.Parallel()
	const interval = 500 * time.Millisecond
	worked := make(chan struct{})
	fake := newFakeEvents(func(stream switchboardv1.EventService_SubscribeServer) error {
		if err := send(nil, startedWith("c0", interval), event("c1"))(stream); err != nil {
			return err
		}
		select {
		case <-worked:
			return send(nil, event("c2"), closing("c2", maxEventsReached, 0))(stream)
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	}, endOfStream("c1"))
	s := connect(t, serveEvents(t, fake)).Subscribe(nil, OnReconnect(func(cause error) { t.Errorf("unexpected reconnect: %v", cause) }))
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if event.GetCursor() == "c1" {
			time.Sleep(2*interval + interval/2) // Simulates slow processing.
			close(worked)
		}
	}
	if s.Cursor() != "c2" || len(fake.requests) != 1 {
		t.Errorf("got cursor %q after %d streams", s.Cursor(), len(fake.requests))
	}
}

func TestStreamThatNeverStartsIsReopened(t *testing.T) {
	t.Parallel()
	silent := listen(t) // Accepts connections and sends nothing.
	t.Cleanup(func() { silent.Close() })
	fake := newFakeEvents(func(stream switchboardv1.EventService_SubscribeServer) error {
		<-stream.Context().Done()
		return stream.Context().Err()
	})
	for name, address := range map[string]string{"connection": silent.Addr().String(), "stream": serveEvents(t, fake)} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(testContext(t))
			defer cancel()
			var cause error
			s := connect(t, address).Subscribe(nil, OnReconnect(func(err error) { cause = err; cancel() }))
			s.startTimeout = 100 * time.Millisecond
			for _, err := range s.Events(ctx) {
				if !errors.Is(err, context.Canceled) {
					t.Errorf("the loop ended with %v", err)
				}
			}
			if cause != errSilent { // Exactly this error.
				t.Errorf("got reconnect cause %v", cause)
			}
		})
	}
}

func TestContextEndsLoop(t *testing.T) {
	t.Parallel()
	for name, address := range map[string]string{
		"while reading":  serveEvents(t, newFakeEvents(sendAndHold(started("c0")))),
		"during backoff": listenAndClose(t),
	} {
		t.Run(name, func(t *testing.T) {
			client := connect(t, address)
			canceled, cancel := context.WithCancel(t.Context())
			time.AfterFunc(100*time.Millisecond, cancel)
			late, cancelLate := context.WithTimeout(t.Context(), 100*time.Millisecond)
			defer cancelLate()
			for want, ctx := range map[error]context.Context{context.Canceled: canceled, context.DeadlineExceeded: late} {
				var errs []error
				for event, err := range client.Subscribe(nil).Events(ctx) {
					if event != nil {
						t.Errorf("got event %v", event)
					}
					errs = append(errs, err)
				}
				if len(errs) != 1 || !errors.Is(errs[0], want) {
					t.Errorf("got errors %v, want %v", errs, want)
				}
			}
		})
	}
}

func TestSecondConcurrentLoopIsRejected(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(sendAndHold(started("c0"), event("c1")))
	s := connect(t, serveEvents(t, fake)).Subscribe(nil)
	for _, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range s.Events(testContext(t)) {
			if err == nil {
				t.Error("a second loop also reads events")
			}
		}
		break
	}
	if len(fake.requests) != 1 {
		t.Errorf("got %d streams", len(fake.requests))
	}
}

func TestUnknownResponseIsIgnored(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(send(nil, started("c0"), &switchboardv1.SubscribeResponse{}, event("c1"), closing("c1", maxEventsReached, 0)))
	cursors, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(nil))
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c1")
}

func TestEventStreamOutlivesClosedClient(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(send(nil, started("c0"), event("c1"), event("c2"), closing("c2", maxEventsReached, 0)))
	client, err := NewClient(serveEvents(t, fake))
	if err != nil {
		t.Fatal(err)
	}
	s := client.Subscribe(nil)
	var cursors []string
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		cursors = append(cursors, event.GetCursor())
		_ = client.Close()
	}
	wantCursors(t, cursors, "c1", "c2")
	if _, err := client.Events.ListEvents(testContext(t), &switchboardv1.ListEventsRequest{}); status.Code(err) != codes.Canceled {
		t.Errorf("the client is not closed: %v", err)
	}
}
