package switchboard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// shop is the id of the named subscription in these tests.
const shop = "shop"

// named returns a request for the named subscription.
func named() *switchboardv1.SubscribeRequest {
	return &switchboardv1.SubscribeRequest{Start: &switchboardv1.SubscribeRequest_SubscriptionId{SubscriptionId: shop}}
}

// startedGeneration is a started response with the given generation of the subscription.
func startedGeneration(cursor string, generation uint64) response {
	response := started(cursor)
	response.GetStarted().Generation = generation
	return response
}

var (
	changed = switchboardv1.ClosingReason_CLOSING_REASON_SUBSCRIPTION_CHANGED
	deleted = switchboardv1.ClosingReason_CLOSING_REASON_SUBSCRIPTION_DELETED
)

// wantCalls checks the calls in order. An acknowledgement in progress when a stream ends is repeated, so consecutive
// duplicates are allowed.
func wantCalls(t *testing.T, fake *fakeEvents, want ...string) {
	t.Helper()
	if got := slices.Compact(fake.called()); !slices.Equal(got, slices.Compact(want)) {
		t.Errorf("got calls %q, want %q", got, want)
	}
}

// recordAcknowledgements makes the fake accept every acknowledgement and report its cursor.
func recordAcknowledgements(fake *fakeEvents) <-chan string {
	acknowledged := make(chan string, 100)
	fake.acknowledge = func(_ context.Context, request *switchboardv1.AcknowledgeRequest) error {
		acknowledged <- request.GetCursor()
		return nil
	}
	return acknowledged
}

// failAcknowledgements makes the fake fail acknowledgements with these errors in order, and accept all further ones.
func failAcknowledgements(fake *fakeEvents, errs ...error) {
	var number atomic.Int64
	fake.acknowledge = func(context.Context, *switchboardv1.AcknowledgeRequest) error {
		if at := number.Add(1); at <= int64(len(errs)) {
			return errs[at-1]
		}
		return nil
	}
}

func TestBrokenStreamIsAcknowledgedBeforeReopening(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(
		send(unavailable, startedGeneration("c0", 3), event("c1"), event("c2")),
		endOfStream("c2"),
	)
	cursors, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(named()))
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c1", "c2")
	for range 2 {
		if request := receive(t, fake.requests); request.GetSubscriptionId() != shop {
			t.Errorf("got request %v", request)
		}
	}
	calls := fake.called()
	// Timing decides whether the first event is acknowledged separately.
	calls = slices.Compact(slices.DeleteFunc(calls, func(call string) bool { return call == "c1/3" }))
	if !slices.Equal(calls, []string{"subscribe", "c2/3", "subscribe"}) {
		t.Errorf("got calls %q", calls)
	}
}

func TestFinishedEventIsAcknowledgedWhileNextIsProcessed(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(sendAndHold(startedGeneration("c0", 1), event("c1"), event("c2"), event("c3")))
	acknowledged := recordAcknowledgements(fake)
	for event, err := range connect(t, serveEvents(t, fake)).Subscribe(named()).Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		switch event.GetCursor() {
		case "c2":
			if cursor := receive(t, acknowledged); cursor != "c1" {
				t.Errorf("got acknowledgement of %q", cursor)
			}
		case "c3":
			start := time.Now()
			if cursor := receive(t, acknowledged); cursor != "c2" {
				t.Errorf("got acknowledgement of %q", cursor)
			}
			// About a second, with a margin for a busy machine.
			if took := time.Since(start); took > 5*acknowledgeInterval {
				t.Errorf("the acknowledgement took %v", took)
			}
		}
		if event.GetCursor() == "c3" {
			break
		}
	}
	wantCalls(t, fake, "subscribe", "c1/1", "c2/1")
}

func TestManyEventsAreAcknowledgedInBatches(t *testing.T) {
	t.Parallel()
	responses := []response{startedGeneration("c0", 1)}
	for number := range 100 {
		responses = append(responses, event(fmt.Sprint("c", number+1)))
	}
	fake := newFakeEvents(send(nil, append(responses, closing("c100", maxEventsReached, 0))...))
	start := time.Now()
	for _, err := range connect(t, serveEvents(t, fake)).Subscribe(named()).Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond) // Simulates processing that takes longer than a call.
	}
	calls := fake.called()
	if calls[len(calls)-1] != "c100/1" {
		t.Errorf("the last call is %q", calls[len(calls)-1])
	}
	// The first, one per second, the last, and one that was in progress at the end.
	if most := 4 + int(time.Since(start)/acknowledgeInterval); len(calls)-1 > most {
		t.Errorf("got %d acknowledgements, want at most %d", len(calls)-1, most)
	}
}

func TestHeartbeatIsAcknowledgedOnlyIfCursorMoved(t *testing.T) {
	t.Parallel()
	acknowledged := make(chan struct{})
	fake := newFakeEvents(func(stream switchboardv1.EventService_SubscribeServer) error {
		// The first and the third heartbeat repeat the stream's current cursor.
		if err := send(nil, startedGeneration("c0", 1), heartbeat("c0"), heartbeat("c5"), heartbeat("c5"))(stream); err != nil {
			return err
		}
		select {
		case <-acknowledged:
			return send(nil, heartbeat("c5"), closing("c5", maxEventsReached, 0))(stream)
		case <-stream.Context().Done():
			return stream.Context().Err()
		}
	})
	var once sync.Once
	fake.acknowledge = func(context.Context, *switchboardv1.AcknowledgeRequest) error {
		once.Do(func() { close(acknowledged) })
		return nil
	}
	if _, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(named())); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, fake, "subscribe", "c5/1")
}

func TestSeekBackAcknowledgesSamePositionAgain(t *testing.T) {
	t.Parallel()
	move := statusError(t, codes.Unavailable, &switchboardv1.Failure{Reason: "SUBSCRIPTION_CHANGED"})
	next := make(chan struct{})
	fake := newFakeEvents(
		func(stream switchboardv1.EventService_SubscribeServer) error {
			if err := send(nil, startedGeneration("c0", 1), heartbeat("c5"))(stream); err != nil {
				return err
			}
			select {
			case <-next:
				return send(move, closing("c5", changed, 0))(stream)
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		},
		send(nil, startedGeneration("c2", 2), heartbeat("c5"), closing("c5", maxEventsReached, 0)),
	)
	var once sync.Once
	fake.acknowledge = func(context.Context, *switchboardv1.AcknowledgeRequest) error {
		once.Do(func() { close(next) })
		return nil
	}
	if _, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(named())); err != nil {
		t.Fatal(err)
	}
	wantCalls(t, fake, "subscribe", "c5/1", "subscribe", "c5/2")
}

func TestStaleAcknowledgementDoesNotEndLoop(t *testing.T) {
	t.Parallel()
	move := statusError(t, codes.Unavailable, &switchboardv1.Failure{Reason: "SUBSCRIPTION_CHANGED"})
	stale := statusError(t, codes.FailedPrecondition, &switchboardv1.Failure{Reason: "SUBSCRIPTION_GENERATION_STALE"})
	refused := make(chan struct{}, 2)
	fake := newFakeEvents(
		func(stream switchboardv1.EventService_SubscribeServer) error {
			// The second event arrives only if the stream stays open after the first acknowledgement was refused.
			for _, each := range [][]response{{startedGeneration("c0", 1), event("c1")}, {event("c2")}} {
				if err := send(nil, each...)(stream); err != nil {
					return err
				}
				select {
				case <-refused:
				case <-stream.Context().Done():
					return stream.Context().Err()
				}
			}
			return send(move, event("c3"), closing("c3", changed, 0))(stream)
		},
		send(nil, startedGeneration("c0", 2), event("c1"), closing("c1", maxEventsReached, 0)),
	)
	fake.acknowledge = func(_ context.Context, request *switchboardv1.AcknowledgeRequest) error {
		if request.GetGeneration() == 2 {
			return nil
		}
		refused <- struct{}{}
		return stale
	}
	s := connect(t, serveEvents(t, fake)).Subscribe(named())
	cursors, err := readAll(t, s)
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c1", "c2", "c3", "c1")
	// The last event before the end is acknowledged neither with the old generation nor with the new one.
	wantCalls(t, fake, "subscribe", "c1/1", "c2/1", "subscribe", "c1/2")
}

func TestAcknowledgementRefusedAfterChangeReopensStream(t *testing.T) {
	t.Parallel()
	for _, failure := range []error{
		statusError(t, codes.FailedPrecondition, &switchboardv1.Failure{Reason: "SUBSCRIPTION_GENERATION_STALE"}),
		statusError(t, codes.Unavailable, &switchboardv1.Failure{Reason: "SUBSCRIPTION_CHANGED"}),
	} {
		// The stream breaks before it can report the change.
		fake := newFakeEvents(send(unavailable, startedGeneration("c0", 1), heartbeat("c1")), endOfStream("c0"))
		failAcknowledgements(fake, failure, failure)
		if _, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(named())); err != nil {
			t.Fatal(err)
		}
		wantCalls(t, fake, "subscribe", "c1/1", "subscribe")
	}
}

func TestStreamEndedByChangeDropsPendingPosition(t *testing.T) {
	t.Parallel()
	move := statusError(t, codes.Unavailable, &switchboardv1.Failure{Reason: "SUBSCRIPTION_CHANGED"})
	called := make(chan struct{}, 100)
	fake := newFakeEvents(
		func(stream switchboardv1.EventService_SubscribeServer) error {
			if err := send(nil, startedGeneration("c0", 1), event("c1"))(stream); err != nil {
				return err
			}
			select {
			case <-called:
				return send(move, event("c2"))(stream) // The server sends no closing response.
			case <-stream.Context().Done():
				return stream.Context().Err()
			}
		},
		endOfStream("c0"),
	)
	// The acknowledgement of the first event is in progress until the stream has ended.
	fake.acknowledge = func(ctx context.Context, _ *switchboardv1.AcknowledgeRequest) error {
		called <- struct{}{}
		<-ctx.Done()
		return status.FromContextError(ctx.Err()).Err()
	}
	cursors, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(named()))
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c1", "c2")
	wantCalls(t, fake, "subscribe", "c1/1", "subscribe")
}

func TestTransientAcknowledgementFailureIsRetried(t *testing.T) {
	t.Parallel()
	for name, failures := range map[string][2]error{
		"unavailable": {unavailable, statusError(t, codes.Unavailable, &switchboardv1.Failure{Reason: "STORE_UNAVAILABLE"})},
		"reset":       {status.Error(codes.Internal, "reset"), status.Error(codes.Unknown, "reset")},
		"deadline":    {status.Error(codes.DeadlineExceeded, "deadline exceeded"), status.Error(codes.Canceled, "reset")},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			acknowledged := make(chan struct{})
			fake := newFakeEvents(func(stream switchboardv1.EventService_SubscribeServer) error {
				if err := send(nil, startedGeneration("c0", 1), event("c1"))(stream); err != nil {
					return err
				}
				select {
				case <-acknowledged:
					return send(nil, closing("c1", maxEventsReached, 0))(stream)
				case <-stream.Context().Done():
					return stream.Context().Err()
				}
			})
			var number atomic.Int64
			fake.acknowledge = func(context.Context, *switchboardv1.AcknowledgeRequest) error {
				at := number.Add(1)
				if at <= 2 {
					return failures[at-1]
				}
				if at == 3 {
					close(acknowledged)
				}
				return nil
			}
			s := connect(t, serveEvents(t, fake)).Subscribe(named(), OnReconnect(func(cause error) { t.Errorf("unexpected reconnect: %v", cause) }))
			if _, err := readAll(t, s); err != nil {
				t.Fatal(err)
			}
			if number.Load() < 3 {
				t.Errorf("got calls %q", fake.called())
			}
		})
	}
}

func TestStreamIsNotReopenedBeforePendingIsAcknowledged(t *testing.T) {
	t.Parallel()
	disconnected := make(chan struct{})
	fake := newFakeEvents(send(unavailable, startedGeneration("c0", 1), event("c1")), endOfStream("c1"))
	failures := []error{unavailable, status.Error(codes.DeadlineExceeded, "deadline exceeded"), status.Error(codes.Internal, "reset")}
	var number atomic.Int64
	fake.acknowledge = func(ctx context.Context, _ *switchboardv1.AcknowledgeRequest) error {
		select {
		case <-disconnected: // Accept none while the first stream is open.
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		if at := number.Add(1); at <= int64(len(failures)) {
			return failures[at-1]
		}
		return nil
	}
	var causes []codes.Code
	var s *EventStream
	s = connect(t, serveEvents(t, fake)).Subscribe(named(), OnReconnect(func(cause error) {
		if causes = append(causes, status.Code(cause)); len(causes) == 1 {
			s.resets = maxResets // One more reset of a stream would exceed the limit.
			close(disconnected)
		}
	}))
	cursors, err := readAll(t, s)
	if err != nil {
		t.Fatal(err)
	}
	wantCursors(t, cursors, "c1")
	if want := []codes.Code{codes.Unavailable, codes.Unavailable, codes.DeadlineExceeded, codes.Internal}; !slices.Equal(causes, want) {
		t.Errorf("got reconnect causes %v", causes)
	}
	calls := fake.called()
	if last := len(calls) - 1; calls[last] != "subscribe" || calls[last-1] != "c1/1" || number.Load() != 4 ||
		slices.Contains(calls[1:last], "subscribe") {
		t.Errorf("got calls %q", calls)
	}
}

func TestRefusedAcknowledgementEndsLoop(t *testing.T) {
	t.Parallel()
	for _, failure := range []*switchboardv1.Failure{
		{Code: int32(codes.NotFound), Reason: "SUBSCRIPTION_NOT_FOUND"},
		{Code: int32(codes.OutOfRange), Reason: "CURSOR_LOST"},
		{Code: int32(codes.PermissionDenied), Reason: "NOT_YOURS"},
	} {
		t.Run(failure.GetReason(), func(t *testing.T) {
			t.Parallel()
			fake := newFakeEvents(sendAndHold(startedGeneration("c0", 1), event("c1")), endOfStream("c0"))
			failAcknowledgements(fake, statusError(t, codes.Code(failure.GetCode()), failure))
			s := connect(t, serveEvents(t, fake)).Subscribe(named())
			cursors, err := readAll(t, s)
			wantCursors(t, cursors, "c1")
			got, ok := errors.AsType[*Error](err)
			if !ok || got.Code != codes.Code(failure.GetCode()) || got.Reason != failure.GetReason() {
				t.Errorf("got %v", err)
			}
			wantCalls(t, fake, "subscribe", "c1/1")
			// A recreated subscription must not be moved to the old subscription's position.
			if _, err := readAll(t, s); err != nil {
				t.Error(err)
			}
			wantCalls(t, fake, "subscribe", "c1/1", "subscribe")
		})
	}
}

func TestDeletedSubscriptionEndsLoop(t *testing.T) {
	t.Parallel()
	notFound := statusError(t, codes.NotFound, &switchboardv1.Failure{Reason: "SUBSCRIPTION_NOT_FOUND"})
	for name, last := range map[string][]response{"with closing": {closing("c9", deleted, 0)}, "without": nil} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			called := make(chan struct{}, 100)
			fake := newFakeEvents(func(stream switchboardv1.EventService_SubscribeServer) error {
				if err := send(nil, startedGeneration("c0", 1), event("c1"))(stream); err != nil {
					return err
				}
				select {
				case <-called:
					return send(notFound, last...)(stream)
				case <-stream.Context().Done():
					return stream.Context().Err()
				}
			})
			// The acknowledgement is in progress when the stream ends.
			fake.acknowledge = func(ctx context.Context, _ *switchboardv1.AcknowledgeRequest) error {
				called <- struct{}{}
				<-ctx.Done()
				return status.FromContextError(ctx.Err()).Err()
			}
			_, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(named()))
			if failure, ok := errors.AsType[*Error](err); !ok || failure.Reason != "SUBSCRIPTION_NOT_FOUND" {
				t.Errorf("got %v", err)
			}
			// The end of the loop must not acknowledge again, because a new subscription may have the same id by then.
			if calls := fake.called(); len(calls) != 2 {
				t.Errorf("got calls %q", calls)
			}
		})
	}
}

func TestUnfinishedEventIsNotAcknowledged(t *testing.T) {
	t.Parallel()
	for name, fail := range map[string]func(read func()){
		"break": func(read func()) { read() },
		"panic": func(read func()) { defer func() { _ = recover() }(); read() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake := newFakeEvents(
				sendAndHold(startedGeneration("c0", 1), event("c1"), event("c2"), heartbeat("c9")),
				endOfStream("c1"),
			)
			s := connect(t, serveEvents(t, fake)).Subscribe(named())
			fail(func() {
				for event, err := range s.Events(testContext(t)) {
					if err != nil {
						t.Fatal(err)
					}
					if event.GetCursor() == "c2" {
						if name == "panic" {
							panic("panic in the loop body")
						}
						break
					}
				}
			})
			// The previous event was finished; the loop acknowledges it before it ends.
			wantCalls(t, fake, "subscribe", "c1/1")
			if _, err := readAll(t, s); err != nil {
				t.Error(err)
			}
			wantCalls(t, fake, "subscribe", "c1/1", "subscribe")
		})
	}
}

func TestEndOfLoopAcknowledgesFinishedEvents(t *testing.T) {
	t.Parallel()
	responses := []response{startedGeneration("c0", 1), event("c1"), heartbeat("c2")}
	t.Run("idle timeout", func(t *testing.T) {
		t.Parallel()
		fake := newFakeEvents(send(nil, append(responses, closing("c3", switchboardv1.ClosingReason_CLOSING_REASON_IDLE_TIMEOUT, 0))...))
		if _, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(named())); err != nil {
			t.Fatal(err)
		}
		if calls := fake.called(); calls[len(calls)-1] != "c3/1" {
			t.Errorf("got calls %q", calls)
		}
	})
	t.Run("context canceled", func(t *testing.T) {
		t.Parallel()
		fake := newFakeEvents(sendAndHold(startedGeneration("c0", 1), event("c1"), event("c2")))
		ctx, cancel := context.WithCancel(testContext(t))
		defer cancel()
		for event, err := range connect(t, serveEvents(t, fake)).Subscribe(named()).Events(ctx) {
			if err != nil && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
			if event.GetCursor() == "c2" {
				cancel() // The body continues, which does not finish the event.
			}
		}
		wantCalls(t, fake, "subscribe", "c1/1")
	})
	t.Run("server does not reply", func(t *testing.T) {
		t.Parallel()
		fake := newFakeEvents(send(nil, append(responses, closing("c3", maxEventsReached, 0))...))
		fake.acknowledge = func(ctx context.Context, _ *switchboardv1.AcknowledgeRequest) error {
			<-ctx.Done()
			return status.FromContextError(ctx.Err()).Err()
		}
		start := time.Now()
		if _, err := readAll(t, connect(t, serveEvents(t, fake)).Subscribe(named())); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took < finalAcknowledgeTimeout || took > 5*finalAcknowledgeTimeout {
			t.Errorf("the end of the loop took %v", took)
		}
	})
}

func TestGapIsAcknowledgedAfterHandlerSucceeds(t *testing.T) {
	t.Parallel()
	request := named()
	request.ExpiredPolicy = switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP
	fake := newFakeEvents(
		sendAndHold(startedGeneration("c0", 1), gap("c0", "c5")),
		send(nil, startedGeneration("c0", 1), gap("c0", "c5"), closing("c5", maxEventsReached, 0)),
	)
	own := errors.New("gap handler failed")
	s := connect(t, serveEvents(t, fake)).Subscribe(request, OnGap(func(*switchboardv1.SubscribeGap) error { return own }))
	if _, err := readAll(t, s); err != own { // Exactly this error.
		t.Errorf("got %v", err)
	}
	wantCalls(t, fake, "subscribe")
	own = nil
	if _, err := readAll(t, s); err != nil {
		t.Error(err)
	}
	wantCalls(t, fake, "subscribe", "c5/1")
	if len(fake.requests) != 2 {
		t.Errorf("got %d streams", len(fake.requests))
	}
}

func TestAcknowledgeFinishesEventImmediately(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(
		sendAndHold(startedGeneration("c0", 1), event("c1"), event("c2")),
		send(nil, startedGeneration("c1", 1), event("c2"), closing("c2", maxEventsReached, 0)),
	)
	request := named()
	request.MaxEvents = 2
	s := connect(t, serveEvents(t, fake)).Subscribe(request)
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Acknowledge(testContext(t), event); err != nil {
			t.Error(err)
		}
		// One acknowledgement, not a second one by the loop.
		if calls := fake.called(); !slices.Equal(calls, []string{"subscribe", "c1/1"}) {
			t.Errorf("got calls %q", calls)
		}
		// The event is finished although the loop ends here.
		break
	}
	if s.Cursor() != "c1" {
		t.Errorf("got cursor %q", s.Cursor())
	}
	var last *switchboardv1.Event
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		last = event
		break
	}
	// Acknowledge also works after the loop.
	if err := s.Acknowledge(testContext(t), last); err != nil || s.Cursor() != "c2" {
		t.Errorf("got %v and cursor %q", err, s.Cursor())
	}
	for _, event := range []*switchboardv1.Event{nil, last} { // Nothing is pending.
		if err := s.Acknowledge(testContext(t), event); err != nil {
			t.Error(err)
		}
	}
	if cursors, err := readAll(t, s); err != nil || len(cursors) != 0 {
		t.Errorf("got %q, %v, want no event", cursors, err)
	}
	wantCalls(t, fake, "subscribe", "c1/1", "subscribe", "c2/1")
	for _, left := range []uint64{2, 1} {
		if asked := receive(t, fake.requests); asked.GetMaxEvents() != left {
			t.Errorf("got max_events %d, want %d", asked.GetMaxEvents(), left)
		}
	}
}

func TestFailedAcknowledgeReturnsReason(t *testing.T) {
	t.Parallel()
	fake := newFakeEvents(sendAndHold(startedGeneration("c0", 1), event("c1"), event("c2")))
	stale := statusError(t, codes.FailedPrecondition, &switchboardv1.Failure{Reason: "SUBSCRIPTION_GENERATION_STALE"})
	fake.acknowledge = func(_ context.Context, request *switchboardv1.AcknowledgeRequest) error {
		if request.GetCursor() == "c1" {
			return unavailable
		}
		return stale
	}
	client := connect(t, serveEvents(t, fake))
	s := client.Subscribe(named())
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		err := s.Acknowledge(testContext(t), event)
		if failure, ok := errors.AsType[*Error](err); !ok || event.GetCursor() == "c1" && failure.Code != codes.Unavailable ||
			event.GetCursor() == "c2" && ParseReason(failure.Reason) != switchboardv1.Reason_REASON_SUBSCRIPTION_GENERATION_STALE {
			t.Errorf("got %v for %q", err, event.GetCursor())
		}
		if event.GetCursor() == "c2" {
			break
		}
	}
	if err := client.Subscribe(nil).Acknowledge(testContext(t), event("c1").GetEvent()); err == nil {
		t.Error("Acknowledge succeeded without a named subscription")
	}
}
