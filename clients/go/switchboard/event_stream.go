package switchboard

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

const (
	// connectTimeout limits how long a connection, or the first response on a stream, may take.
	connectTimeout = 10 * time.Second
	// defaultHeartbeat is the heartbeat interval if the server sends none.
	defaultHeartbeat = 15 * time.Second
	// maxResets is how many consecutive resets the loop tolerates without an event, heartbeat or gap in between. A reset
	// may also be a permanent fault, such as a message that cannot be decoded.
	maxResets = 5
)

// errSilent is the cause when a stream received nothing for too long.
var errSilent = errors.New("switchboard: the stream was silent for too long")

// callbackError is an error of the caller's OnGap function. It always ends the loop.
type callbackError struct{ error }

// EventStream reads events in journal order, across broken connections and server restarts. See [Client.Subscribe].
type EventStream struct {
	client      *Client
	request     *switchboardv1.SubscribeRequest
	onGap       func(*switchboardv1.SubscribeGap) error
	onReconnect func(error)

	startTimeout  time.Duration // Limits the wait for the stream's first response.
	running       atomic.Bool
	resets        int           // Consecutive resets without an event, heartbeat or gap.
	hasPending    chan struct{} // Holds a token while a position is pending.
	acknowledging chan struct{} // Holds a token while an acknowledgement is in progress.

	mu             sync.Mutex
	conn           *grpc.ClientConn     // The stream's own connection; nil while no loop runs.
	cursor         string               // After the last finished event.
	current        *switchboardv1.Event // Delivered to the loop's body, and not finished.
	finishedEvents uint64               // Number of finished events.
	generation     uint64               // Of the named subscription, as the current stream reported it.
	pending        position             // Of a named subscription: finished, and not acknowledged yet.
}

// SubscribeOption configures an event stream.
type SubscribeOption func(*EventStream)

// OnGap sets the function that the loop calls, between two events, when events in between have expired.
// EXPIRED_POLICY_SKIP_WITH_GAP requires it, and no other policy calls it. If the function returns an error, the loop
// ends with that error, and the next loop reports the gap again.
func OnGap(handle func(*switchboardv1.SubscribeGap) error) SubscribeOption {
	return func(s *EventStream) { s.onGap = handle }
}

// OnReconnect sets a function for metrics and alerts. The loop calls it when a stream broke or could not be opened,
// before it opens the next stream. [WithLogger] logs the same.
func OnReconnect(notify func(cause error)) SubscribeOption {
	return func(s *EventStream) { s.onReconnect = notify }
}

// Subscribe returns an event stream for the request. The stream uses its own connections and opens none before
// [EventStream.Events] is read.
//
// For a named subscription, which CreateSubscription makes, the server stores the position. The loop acknowledges
// finished events within about a second, with every heartbeat, before it reopens a stream, and when it ends. Each event
// is delivered at least once over all loops of all programs. Within one loop, it is delivered once, unless the
// subscription is moved. Without a named subscription, pass the last [EventStream.Cursor] as after_cursor to resume.
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

// Cursor is the position after the last finished event, or after a later heartbeat. Without a named subscription, store
// it to resume without loss after a restart. Continuing with the next event finishes the previous one; leaving the loop
// or cancelling it does not. Cursor is empty until a position is known. It is safe for concurrent use.
func (s *EventStream) Cursor() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cursor
}

// Events returns the events, each once. The loop ends when its body leaves it, when ctx ends, after max_events or
// idle_timeout, or on an error that a new stream cannot fix. On an error, the last pair holds it; if ctx ended, that is
// the error of ctx. After max_events and idle_timeout there is no error.
//
// Continuing with the next event finishes the previous one, unless ctx has ended: then the event stays unfinished, and
// the server delivers it again.
//
// If a stream breaks, the loop reopens it after the last event that its body has finished. It does the same if a stream
// receives nothing for two heartbeat intervals, or does not start within ten seconds. After the loop has ended, you can
// range over Events again; it resumes in the same way. Only one loop at a time can read an event stream.
//
// If a named subscription is moved or its filter is changed, the loop reopens the stream with the new state. If the
// subscription is deleted, the loop ends with NOT_FOUND. The loop may take up to two seconds to end, while it
// acknowledges the last finished events.
func (s *EventStream) Events(ctx context.Context) iter.Seq2[*switchboardv1.Event, error] {
	return func(yield func(*switchboardv1.Event, error) bool) {
		if !s.running.CompareAndSwap(false, true) {
			yield(nil, errors.New("switchboard: another loop is already reading this event stream"))
			return
		}
		defer s.running.Store(false)
		if err := s.run(ctx, yield); err != nil {
			yield(nil, err)
		}
	}
}

// run opens streams until the loop ends. If it returns nil, the body must not be called again.
func (s *EventStream) run(ctx context.Context, yield func(*switchboardv1.Event, error) bool) error {
	skips := s.request.GetExpiredPolicy() == switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP
	if skips && s.onGap == nil {
		return errors.New("switchboard: EXPIRED_POLICY_SKIP_WITH_GAP requires OnGap")
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
		pause := backoffAfter(failures, maxStreamBackoff) + wait
		s.client.retry.log.LogAttrs(ctx, slog.LevelWarn, "switchboard event stream broke, reconnecting",
			slog.String("subscription_id", s.request.GetSubscriptionId()), slog.Int("failures", failures),
			slog.Duration("delay", pause), slog.Any("error", err))
		if s.onReconnect != nil {
			s.onReconnect(err)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
}

// readStream reads one stream to its end. A nil error means that the loop has ended.
func (s *EventStream) readStream(
	ctx context.Context, request *switchboardv1.SubscribeRequest, yield func(*switchboardv1.Event, error) bool,
) (started bool, wait time.Duration, err error) {
	// Open a new connection for each stream, because a silent connection may be dead without an error.
	conn, err := s.client.dial()
	if err != nil {
		return false, 0, err
	}
	s.replaceConn(conn)

	// The deadline of ctx limits the loop. The server must not see it as the deadline of the stream.
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

	// Acknowledge before the stream opens. Otherwise the server would deliver finished events again.
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
	if request.GetSubscriptionId() != "" {
		background.Go(func() { s.acknowledgeLoop(streamCtx, conn, cancel) })
	}
	closing := false
	for {
		// Time only the wait for the server, not the time that the body takes.
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
			if err := ctx.Err(); err != nil {
				// The end of ctx also ends the body's own work, so the body may not have handled the event.
				return started, 0, err
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
			if err := ctx.Err(); err != nil {
				return started, 0, err
			}
			s.advance(response.Gap.GetResumeCursor())
		case *switchboardv1.SubscribeResponse_Closing:
			wait = response.Closing.GetRetryDelay().AsDuration()
			switch response.Closing.GetReason() {
			case switchboardv1.ClosingReason_CLOSING_REASON_SUBSCRIPTION_CHANGED,
				switchboardv1.ClosingReason_CLOSING_REASON_SUBSCRIPTION_DELETED:
				// A pending position refers to the subscription before the change.
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

// nextRequest is the request for the next stream. It reduces max_events by the events already finished.
func (s *EventStream) nextRequest() *switchboardv1.SubscribeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := proto.CloneOf(s.request)
	if s.cursor != "" && request.GetSubscriptionId() == "" {
		request.Start = &switchboardv1.SubscribeRequest_AfterCursor{AfterCursor: s.cursor}
	}
	request.MaxEvents -= min(s.finishedEvents, request.MaxEvents)
	return request
}

// recoverable reports whether a new stream can resume after the error.
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
		// A response that cannot be decoded looks the same and would recur, so the count is limited.
		s.resets++
		return s.resets <= maxResets
	default:
		return false
	}
}

// isReset reports whether a proxy or the library may have reset the call. An error of the server itself has a reason.
func (e *Error) isReset() bool {
	return e.Reason == "" && (e.Code == codes.Internal || e.Code == codes.Unknown || e.Code == codes.Canceled)
}

// applyStarted stores the position at which a stream starts.
func (s *EventStream) applyStarted(started *switchboardv1.SubscribeStarted) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation = started.GetGeneration()
	// If a stream with a since time starts at the oldest position, older events may have expired, and the server
	// reports them as a gap. Until that gap arrives, the next stream must request the same time again. If the stream
	// starts anywhere else, no event is missing. Then the cursor must be stored, because a repeated request for the
	// time, which may be in the future, could skip events that arrive meanwhile.
	skips := s.request.GetExpiredPolicy() == switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP
	if skips && s.request.GetSince() != nil && s.cursor == "" && started.GetCursor() == started.GetOldestCursor() {
		return
	}
	if started.GetCursor() != "" {
		s.cursor = started.GetCursor()
	}
}

// deliver records the event that the loop's body receives.
func (s *EventStream) deliver(event *switchboardv1.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = event
}

// finish marks the current event as finished. It ignores any other event: that one is finished already, or was never
// delivered.
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

// advance marks everything up to the cursor as finished.
func (s *EventStream) advance(cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cursor == "" || cursor == s.cursor {
		return
	}
	s.cursor = cursor
	if s.request.GetSubscriptionId() != "" {
		s.pending = position{cursor: cursor, generation: s.generation}
		s.signalPending()
	}
}

// replaceConn sets the connection of the next stream and closes the previous one.
func (s *EventStream) replaceConn(conn *grpc.ClientConn) {
	s.mu.Lock()
	last := s.conn
	s.conn, s.current = conn, nil
	s.mu.Unlock()
	if last != nil {
		last.Close()
	}
}
