package switchboard

import (
	"context"
	"errors"
	"io"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

const (
	// connectTimeout is how long a connection and the first word on a stream may take.
	connectTimeout = 10 * time.Second
	// defaultHeartbeat is the interval that holds where the server names none.
	defaultHeartbeat = 15 * time.Second
	// maxResets is how often in a row a stream may be reset, in a way that could also be a fault that stays, before
	// anything came on it.
	maxResets = 5
)

// errSilent is why a stream was given up on which nothing came for too long.
var errSilent = errors.New("switchboard: the stream was silent for too long")

// ended is an error of the caller's own, which ends the loop whatever it is.
type callbackError struct{ error }

// EventStream reads events in the order of the journal, over broken connections and restarts of the server. See
// [Client.Subscribe].
type EventStream struct {
	client      *Client
	request     *switchboardv1.SubscribeRequest
	onGap       func(*switchboardv1.SubscribeGap) error
	onReconnect func(error)

	startTimeout  time.Duration // How long a stream may take to start.
	running       atomic.Bool
	resets        int           // Resets in a row without anything in between.
	hasPending    chan struct{} // Filled when there is something to acknowledge.
	acknowledging chan struct{} // Filled while that is done.

	mu             sync.Mutex
	conn           *grpc.ClientConn     // The stream's own; nil while no loop reads.
	cursor         string               // The place behind all that is finished.
	current        *switchboardv1.Event // Given to the body, and not finished.
	finishedEvents uint64               // Events that the loop has finished with.
	generation     uint64               // Of the named subscription, as the stream was told.
	pending        position             // Of a named subscription: finished, and not acknowledged yet.
}

// SubscribeOption changes how a subscription is read.
type SubscribeOption func(*EventStream)

// OnGap is called, between two events, when events are missing that are no longer kept: only with, and needed for,
// EXPIRED_POLICY_SKIP_WITH_GAP. An error ends the loop with it; then the gap is told again next time.
func OnGap(handle func(*switchboardv1.SubscribeGap) error) SubscribeOption {
	return func(s *EventStream) { s.onGap = handle }
}

// OnReconnect is called when a stream broke, or could not be opened, and before it is opened again: for a log or a
// metric. It is called from the loop.
func OnReconnect(notify func(cause error)) SubscribeOption {
	return func(s *EventStream) { s.onReconnect = notify }
}

// Subscribe makes a subscription: what request asks for, from where it says. It has connections of its own, and opens
// none before [EventStream.Events] is read.
//
// With the id of a named subscription, which CreateSubscription makes, the server keeps the place: what the loop has
// finished with is acknowledged within about a second, with every heartbeat, before a stream is opened again, and when the
// loop ends. So each event comes at least once, over all loops of all programs, and once in one loop as long as nobody
// moves the subscription. Without one, give the [EventStream.Cursor] where an earlier one ended as after_cursor.
func (c *Client) Subscribe(request *switchboardv1.SubscribeRequest, opts ...SubscribeOption) *EventStream {
	s := &EventStream{
		client:        c,
		request:       &switchboardv1.SubscribeRequest{},
		startTimeout:  connectTimeout,
		hasPending:    make(chan struct{}, 1),
		acknowledging: make(chan struct{}, 1),
		cursor:        request.GetAfterCursor(),
	}
	if request != nil {
		s.request = proto.CloneOf(request)
	}
	for _, option := range opts {
		option(s)
	}
	return s
}

// Cursor is the place behind the last event that the loop has finished with, or behind a later heartbeat. Keep it, where
// the server does not, and nothing is lost when the program ends. Moving on to the next event finishes the one before;
// leaving the loop does not. It is empty while there is no such place yet, and it may be called at any time from anywhere.
func (s *EventStream) Cursor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// Events are the events, each once. The loop goes on until its body leaves it, ctx ends, the server closes the stream
// because of max_events or idle_timeout, or something fails that a new stream would not mend; the last pair then holds
// the error, and it is the error of ctx when that ended. There is no error after max_events and idle_timeout.
//
// A stream that breaks is opened again behind the last event that the body has finished with. So is one that is silent
// for two heartbeat intervals, and one that does not start within ten seconds. Reading Events again after the loop has
// ended goes on in the same way. Only one loop can read a subscription at a time.
//
// A named subscription that somebody moves or gives another filter is opened again as it is then; one that is deleted
// ends the loop with NOT_FOUND. To acknowledge what was finished last, the end of the loop may take up to two seconds.
func (s *EventStream) Events(ctx context.Context) iter.Seq2[*switchboardv1.Event, error] {
	return func(yield func(*switchboardv1.Event, error) bool) {
		if !s.running.CompareAndSwap(false, true) {
			yield(nil, errors.New("switchboard: another loop reads this subscription"))
			return
		}
		defer s.running.Store(false)
		if err := s.run(ctx, yield); err != nil {
			yield(nil, err)
		}
	}
}

// read opens one stream after the other. Without an error, the body must not be called again.
func (s *EventStream) run(ctx context.Context, yield func(*switchboardv1.Event, error) bool) error {
	skips := s.request.GetExpiredPolicy() == switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP
	if skips && s.onGap == nil {
		return errors.New("switchboard: EXPIRED_POLICY_SKIP_WITH_GAP needs OnGap, or a gap would pass unseen")
	}
	s.resets = 0
	defer s.disconnect(ctx)
	for failures := 1; ; failures++ {
		request := s.nextRequest()
		if s.request.GetMaxEvents() != 0 && request.GetMaxEvents() == 0 {
			return nil
		}
		started, wait, err := s.readStream(ctx, request, yield)
		if err == nil {
			return nil
		}
		if callback, ok := err.(callbackError); ok {
			return callback.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !s.recoverable(err) {
			return err
		}
		if started {
			failures = 1
		}
		if s.onReconnect != nil {
			s.onReconnect(err)
		}
		if err := sleep(ctx, backoffAfter(failures)+wait); err != nil {
			return err
		}
	}
}

// readStream reads one stream to its end. Without an error, the subscription has ended.
func (s *EventStream) readStream(
	ctx context.Context, request *switchboardv1.SubscribeRequest, yield func(*switchboardv1.Event, error) bool,
) (started bool, wait time.Duration, err error) {
	// A connection that is silent may be dead without knowing it: each stream has a new one.
	conn, err := s.client.dial()
	if err != nil {
		return false, 0, err
	}
	s.replaceConn(conn)

	// The deadline of ctx is that of the loop, and not for the server to end the stream at.
	streamCtx, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var background sync.WaitGroup
	defer background.Wait()
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(ctx.Err()) })()
	limit := s.startTimeout
	watchdog := time.AfterFunc(limit, func() { cancel(errSilent) })
	defer watchdog.Stop()
	failed := func(err error) (bool, time.Duration, error) {
		cause := context.Cause(streamCtx)
		if cause == errSilent {
			return started, wait, errSilent
		}
		if cause, ok := cause.(acknowledgeError); ok {
			err = cause.error
		}
		if failure, ok := errors.AsType[*Error](err); ok {
			if failure.Code == codes.NotFound || isSubscriptionChanged(failure) {
				s.dropPending()
			}
			if delay, ok := failure.RetryDelay(); ok {
				wait = max(wait, delay)
			}
		}
		return started, min(wait, maxServerDelay), err
	}

	// Before the stream is opened: what is finished does not come again then.
	switch err := s.acknowledge(streamCtx, conn); {
	case err == nil || isSubscriptionChanged(err):
	case isTransient(err):
		return failed(transientError{err})
	default:
		return failed(err)
	}
	stream, err := switchboardv1.NewEventServiceClient(conn).Subscribe(streamCtx, request)
	if err != nil {
		return failed(err)
	}
	if request.GetSubscription() != "" {
		background.Go(func() { s.acknowledgeLoop(streamCtx, conn, cancel) })
	}
	closing := false
	for {
		// What is silent is the stream, and not a body that takes its time.
		watchdog.Reset(limit)
		response, err := stream.Recv()
		watchdog.Stop()
		if errors.Is(err, io.EOF) && closing {
			return started, 0, nil
		}
		if errors.Is(err, io.EOF) {
			return failed(io.ErrUnexpectedEOF)
		}
		if err != nil {
			return failed(err)
		}
		switch response := response.GetResponse().(type) {
		case *switchboardv1.SubscribeResponse_Started:
			started = true
			limit = 2 * response.Started.GetHeartbeatInterval().AsDuration()
			if limit <= 0 {
				limit = 2 * defaultHeartbeat
			}
			s.applyStarted(response.Started)
		case *switchboardv1.SubscribeResponse_Event:
			s.resets = 0
			s.deliver(response.Event)
			if !yield(response.Event, nil) {
				return started, 0, nil
			}
			s.finish(response.Event)
		case *switchboardv1.SubscribeResponse_Heartbeat:
			s.resets = 0
			s.advance(response.Heartbeat.GetCursor())
		case *switchboardv1.SubscribeResponse_Gap:
			s.resets = 0
			if s.onGap != nil {
				if err := s.onGap(response.Gap); err != nil {
					return started, 0, callbackError{err}
				}
			}
			s.advance(response.Gap.GetResumeCursor())
		case *switchboardv1.SubscribeResponse_Closing:
			wait = response.Closing.GetRetryAfter().AsDuration()
			switch response.Closing.GetReason() {
			case switchboardv1.ClosingReason_CLOSING_REASON_SUBSCRIPTION_CHANGED,
				switchboardv1.ClosingReason_CLOSING_REASON_SUBSCRIPTION_DELETED:
				// What is on its way is about the subscription as it was.
				s.dropPending()
			case switchboardv1.ClosingReason_CLOSING_REASON_SHUTDOWN:
				s.advance(response.Closing.GetCursor())
			default:
				closing = true
				s.advance(response.Closing.GetCursor())
			}
		}
	}
}

// next is the request for the next stream; with max_events, those that are left.
func (s *EventStream) nextRequest() *switchboardv1.SubscribeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := proto.CloneOf(s.request)
	if s.cursor != "" && request.GetSubscription() == "" {
		request.Start = &switchboardv1.SubscribeRequest_AfterCursor{AfterCursor: s.cursor}
	}
	request.MaxEvents -= min(s.finishedEvents, request.MaxEvents)
	return request
}

// recoverable tells whether a new stream can go on where one failed.
func (s *EventStream) recoverable(err error) bool {
	if err == errSilent || err == io.ErrUnexpectedEOF {
		return true
	}
	if _, ok := err.(transientError); ok {
		return true
	}
	failure, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return false
	case failure.Code == codes.Unavailable:
		return true
	case failure.isReset():
		// But a message that cannot be read looks the same, and would come again and again.
		s.resets++
		return s.resets <= maxResets
	default:
		return false
	}
}

// isReset tells whether a proxy or the library may have reset a call: it is not the server's word, which has a reason.
func (e *Error) isReset() bool {
	return e.Reason == "" && (e.Code == codes.Internal || e.Code == codes.Unknown || e.Code == codes.Canceled)
}

// start takes in where a stream starts.
func (s *EventStream) applyStarted(started *switchboardv1.SubscribeStarted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation = started.GetGeneration()
	// At the oldest place that there is, events since a time may be missing before it, and a gap is to tell of them. Until
	// it has come, the time must be asked for again. Elsewhere none are missing, and those that come from now on must not
	// be, also with a time to come.
	skips := s.request.GetExpiredPolicy() == switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP
	if skips && s.request.GetSince() != nil && s.cursor == "" && started.GetCursor() == started.GetOldestCursor() {
		return
	}
	if started.GetCursor() != "" {
		s.cursor = started.GetCursor()
	}
}

// give keeps what the body is given.
func (s *EventStream) deliver(event *switchboardv1.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = event
}

// finish says that the event at hand is dealt with. Others are already, or have never come.
func (s *EventStream) finish(event *switchboardv1.Event) {
	s.mu.Lock()
	isCurrent := s.current != nil && event != nil && event.GetCursor() == s.current.GetCursor()
	if isCurrent {
		s.current = nil
		s.finishedEvents++
	}
	s.mu.Unlock()
	if isCurrent {
		s.advance(event.GetCursor())
	}
}

// advance says that all before a place is dealt with.
func (s *EventStream) advance(cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cursor == "" || cursor == s.cursor {
		return
	}
	s.cursor = cursor
	if s.request.GetSubscription() != "" {
		s.pending = position{cursor: cursor, generation: s.generation}
		s.signalPending()
	}
}

// connect puts the connection of the next stream in the place of the last one's.
func (s *EventStream) replaceConn(conn *grpc.ClientConn) {
	s.mu.Lock()
	last := s.conn
	s.conn, s.current = conn, nil
	s.mu.Unlock()
	if last != nil {
		last.Close()
	}
}
