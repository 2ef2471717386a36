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
type ended struct{ error }

// Subscription reads events in the order of the journal, over broken connections and restarts of the server. See
// [Client.Subscribe].
type Subscription struct {
	client      *Client
	request     *switchboardv1.SubscribeRequest
	onGap       func(*switchboardv1.SubscribeGap) error
	onReconnect func(error)

	patience time.Duration // How long a stream may take to start.
	reading  atomic.Bool
	resets   int           // Resets in a row without anything in between.
	finished chan struct{} // Filled when there is something to acknowledge.
	calling  chan struct{} // Filled while that is done.

	mu         sync.Mutex
	conn       *grpc.ClientConn     // The stream's own; nil while no loop reads.
	cursor     string               // The place behind all that is finished.
	current    *switchboardv1.Event // Given to the body, and not finished.
	given      uint64               // Events that the loop has finished with.
	generation uint64               // Of the named subscription, as the stream was told.
	pending    place                // Of a named subscription: finished, and not acknowledged yet.
}

// SubscribeOption changes how a subscription is read.
type SubscribeOption func(*Subscription)

// OnGap is called, between two events, when events are missing that are no longer kept: only with, and needed for,
// EXPIRED_POLICY_SKIP_WITH_GAP. An error ends the loop with it; then the gap is told again next time.
func OnGap(tell func(*switchboardv1.SubscribeGap) error) SubscribeOption {
	return func(s *Subscription) { s.onGap = tell }
}

// OnReconnect is called when a stream broke, or could not be opened, and before it is opened again: for a log or a
// metric. It is called from the loop.
func OnReconnect(tell func(cause error)) SubscribeOption {
	return func(s *Subscription) { s.onReconnect = tell }
}

// Subscribe makes a subscription: what request asks for, from where it says. It has connections of its own, and opens
// none before [Subscription.Events] is read.
//
// With the id of a named subscription, which CreateSubscription makes, the server keeps the place: what the loop has
// finished with is acknowledged within about a second, with every heartbeat, before a stream is opened again, and when the
// loop ends. So each event comes at least once, over all loops of all programs, and once in one loop as long as nobody
// moves the subscription. Without one, give the [Subscription.Cursor] where an earlier one ended as after_cursor.
func (c *Client) Subscribe(request *switchboardv1.SubscribeRequest, opts ...SubscribeOption) *Subscription {
	s := &Subscription{
		client:   c,
		request:  &switchboardv1.SubscribeRequest{},
		patience: connectTimeout,
		finished: make(chan struct{}, 1),
		calling:  make(chan struct{}, 1),
		cursor:   request.GetAfterCursor(),
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
func (s *Subscription) Cursor() string {
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
func (s *Subscription) Events(ctx context.Context) iter.Seq2[*switchboardv1.Event, error] {
	return func(yield func(*switchboardv1.Event, error) bool) {
		if !s.reading.CompareAndSwap(false, true) {
			yield(nil, errors.New("switchboard: another loop reads this subscription"))
			return
		}
		defer s.reading.Store(false)
		if err := s.read(ctx, yield); err != nil {
			yield(nil, err)
		}
	}
}

// read opens one stream after the other. Without an error, the body must not be called again.
func (s *Subscription) read(ctx context.Context, yield func(*switchboardv1.Event, error) bool) error {
	skips := s.request.GetExpiredPolicy() == switchboardv1.ExpiredPolicy_EXPIRED_POLICY_SKIP_WITH_GAP
	if skips && s.onGap == nil {
		return errors.New("switchboard: EXPIRED_POLICY_SKIP_WITH_GAP needs OnGap, or a gap would pass unseen")
	}
	s.resets = 0
	defer s.hangUp(ctx)
	for failures := 1; ; failures++ {
		request := s.next()
		if s.request.GetMaxEvents() != 0 && request.GetMaxEvents() == 0 {
			return nil
		}
		started, wait, err := s.readOne(ctx, request, yield)
		if err == nil {
			return nil
		}
		if ended, ok := err.(ended); ok {
			return ended.error
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if !s.mendable(err) {
			return err
		}
		if started {
			failures = 1
		}
		if s.onReconnect != nil {
			s.onReconnect(err)
		}
		if err := sleep(ctx, pauseAfter(failures)+wait); err != nil {
			return err
		}
	}
}

// readOne reads one stream to its end. Without an error, the subscription has ended.
func (s *Subscription) readOne(
	ctx context.Context, request *switchboardv1.SubscribeRequest, yield func(*switchboardv1.Event, error) bool,
) (started bool, wait time.Duration, err error) {
	// A connection that is silent may be dead without knowing it: each stream has a new one.
	conn, err := s.client.dial()
	if err != nil {
		return false, 0, err
	}
	s.connect(conn)

	// The deadline of ctx is that of the loop, and not for the server to end the stream at.
	streaming, cancel := context.WithCancelCause(context.WithoutCancel(ctx))
	var acknowledging sync.WaitGroup
	defer acknowledging.Wait()
	defer cancel(nil)
	defer context.AfterFunc(ctx, func() { cancel(ctx.Err()) })()
	limit := s.patience
	watchdog := time.AfterFunc(limit, func() { cancel(errSilent) })
	defer watchdog.Stop()
	broken := func(err error) (bool, time.Duration, error) {
		cause := context.Cause(streaming)
		if cause == errSilent {
			return started, wait, errSilent
		}
		if cause, ok := cause.(refused); ok {
			err = cause.error
		}
		if failure, ok := errors.AsType[*Error](err); ok {
			if failure.Code == codes.NotFound || isMoved(failure) {
				s.forget()
			}
			if delay, ok := failure.RetryDelay(); ok {
				wait = max(wait, delay)
			}
		}
		return started, min(wait, maxDelay), err
	}

	// Before the stream is opened: what is finished does not come again then.
	switch err := s.acknowledge(streaming, conn); {
	case err == nil || isMoved(err):
	case isPassing(err):
		return broken(passing{err})
	default:
		return broken(err)
	}
	stream, err := switchboardv1.NewEventServiceClient(conn).Subscribe(streaming, request)
	if err != nil {
		return broken(err)
	}
	if request.GetSubscription() != "" {
		acknowledging.Go(func() { s.acknowledgeAll(streaming, conn, cancel) })
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
			return broken(io.ErrUnexpectedEOF)
		}
		if err != nil {
			return broken(err)
		}
		switch response := response.GetResponse().(type) {
		case *switchboardv1.SubscribeResponse_Started:
			started = true
			limit = 2 * response.Started.GetHeartbeatInterval().AsDuration()
			if limit <= 0 {
				limit = 2 * defaultHeartbeat
			}
			s.start(response.Started)
		case *switchboardv1.SubscribeResponse_Event:
			s.resets = 0
			s.give(response.Event)
			if !yield(response.Event, nil) {
				return started, 0, nil
			}
			s.finish(response.Event)
		case *switchboardv1.SubscribeResponse_Heartbeat:
			s.resets = 0
			s.moveTo(response.Heartbeat.GetCursor())
		case *switchboardv1.SubscribeResponse_Gap:
			s.resets = 0
			if s.onGap != nil {
				if err := s.onGap(response.Gap); err != nil {
					return started, 0, ended{err}
				}
			}
			s.moveTo(response.Gap.GetResumeCursor())
		case *switchboardv1.SubscribeResponse_Closing:
			wait = response.Closing.GetRetryAfter().AsDuration()
			switch response.Closing.GetReason() {
			case switchboardv1.ClosingReason_CLOSING_REASON_SUBSCRIPTION_CHANGED,
				switchboardv1.ClosingReason_CLOSING_REASON_SUBSCRIPTION_DELETED:
				// What is on its way is about the subscription as it was.
				s.forget()
			case switchboardv1.ClosingReason_CLOSING_REASON_SHUTDOWN:
				s.moveTo(response.Closing.GetCursor())
			default:
				closing = true
				s.moveTo(response.Closing.GetCursor())
			}
		}
	}
}

// next is the request for the next stream; with max_events, those that are left.
func (s *Subscription) next() *switchboardv1.SubscribeRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	request := proto.CloneOf(s.request)
	if s.cursor != "" && request.GetSubscription() == "" {
		request.Start = &switchboardv1.SubscribeRequest_AfterCursor{AfterCursor: s.cursor}
	}
	request.MaxEvents -= min(s.given, request.MaxEvents)
	return request
}

// mendable tells whether a new stream can go on where one failed.
func (s *Subscription) mendable(err error) bool {
	if err == errSilent || err == io.ErrUnexpectedEOF {
		return true
	}
	if _, ok := err.(passing); ok {
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
func (s *Subscription) start(started *switchboardv1.SubscribeStarted) {
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
func (s *Subscription) give(event *switchboardv1.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current = event
}

// finish says that the event at hand is dealt with. Others are already, or have never come.
func (s *Subscription) finish(event *switchboardv1.Event) {
	s.mu.Lock()
	atHand := s.current != nil && event != nil && event.GetCursor() == s.current.GetCursor()
	if atHand {
		s.current = nil
		s.given++
	}
	s.mu.Unlock()
	if atHand {
		s.moveTo(event.GetCursor())
	}
}

// moveTo says that all before a place is dealt with.
func (s *Subscription) moveTo(cursor string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cursor == "" || cursor == s.cursor {
		return
	}
	s.cursor = cursor
	if s.request.GetSubscription() != "" {
		s.pending = place{cursor: cursor, generation: s.generation}
		s.wake()
	}
}

// connect puts the connection of the next stream in the place of the last one's.
func (s *Subscription) connect(conn *grpc.ClientConn) {
	s.mu.Lock()
	last := s.conn
	s.conn, s.current = conn, nil
	s.mu.Unlock()
	if last != nil {
		last.Close()
	}
}
