package switchboard

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

const (
	// acknowledgeInterval is the least time between two acknowledgements that nobody asked for.
	acknowledgeInterval = time.Second
	// finalAcknowledgeTimeout is how long the end of a loop waits for its last acknowledgement.
	finalAcknowledgeTimeout = 2 * time.Second
)

// place is what is to be acknowledged.
type position struct {
	cursor     string
	generation uint64
}

// refused is an acknowledgement's error that a stream is given up for.
type acknowledgeError struct{ error }

// passing is an acknowledgement's error that another try may not have.
type transientError struct{ error }

func (t transientError) Unwrap() error { return t.error }

// Acknowledge finishes with an event of a named subscription, and returns when the server has on disk that it and all
// before it are dealt with. It is for the body of a loop, or for after it, and the event is the last one that the body
// was given; nil stands for those that the loop has finished with anyway. Without it, the loop acknowledges by itself:
// see [Client.Subscribe].
//
// After UNAVAILABLE and a deadline, the loop tries again. The reason SUBSCRIPTION_GENERATION_STALE says that somebody has
// moved the subscription or given it another filter: the event may come again.
func (s *EventStream) Acknowledge(ctx context.Context, event *switchboardv1.Event) error {
	if s.request.GetSubscription() == "" {
		return errors.New("switchboard: only a named subscription can be acknowledged")
	}
	if err := s.lockAcknowledge(ctx); err != nil {
		return err
	}
	defer s.unlockAcknowledge()
	s.finish(event)
	s.mu.Lock()
	conn := s.conn
	s.mu.Unlock()
	if conn == nil {
		var err error
		if conn, err = s.client.dial(); err != nil {
			return err
		}
		defer conn.Close()
	}
	return s.acknowledgeLocked(ctx, conn)
}

// acknowledgeLoop acknowledges what is finished while a stream is open. What cannot be mended breaks the stream off.
func (s *EventStream) acknowledgeLoop(ctx context.Context, conn *grpc.ClientConn, abort context.CancelCauseFunc) {
	for {
		select {
		case <-s.hasPending:
		case <-ctx.Done():
			return
		}
		pause := acknowledgeInterval
		calling, cancel := context.WithTimeout(ctx, s.startTimeout)
		err := s.acknowledge(calling, conn)
		cancel()
		switch {
		case err == nil || isSubscriptionChanged(err):
		case ctx.Err() != nil:
			return
		case isTransient(err):
			if failure, ok := errors.AsType[*Error](err); ok {
				delay, _ := failure.RetryDelay()
				pause = max(pause, min(delay, maxServerDelay))
			}
			s.signalPending()
		default:
			abort(acknowledgeError{err})
			return
		}
		if sleep(ctx, pause) != nil {
			return
		}
	}
}

// acknowledge makes one attempt to acknowledge what is finished.
func (s *EventStream) acknowledge(ctx context.Context, conn grpc.ClientConnInterface) error {
	if err := s.lockAcknowledge(ctx); err != nil {
		return err
	}
	defer s.unlockAcknowledge()
	return s.acknowledgeLocked(ctx, conn)
}

// acknowledgeLocked does that under the lock. What the server has refused for good is not kept: with the next stream, it
// could be a place of another subscription.
func (s *EventStream) acknowledgeLocked(ctx context.Context, conn grpc.ClientConnInterface) error {
	s.mu.Lock()
	pending := s.pending
	s.mu.Unlock()
	if pending == (position{}) {
		return nil
	}
	_, err := switchboardv1.NewEventServiceClient(conn).Acknowledge(ctx, &switchboardv1.AcknowledgeRequest{
		Subscription: s.request.GetSubscription(), Cursor: pending.cursor, Generation: pending.generation,
	})
	if failure, ok := errors.AsType[*Error](err); ok && (failure.Reason == "" || isTransient(err)) {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pending == pending {
		s.pending = position{}
	}
	return err
}

// lock makes acknowledgements come one at a time, so that none is made twice and [EventStream.Acknowledge] is told what
// became of its own.
func (s *EventStream) lockAcknowledge(ctx context.Context) error {
	select {
	case s.acknowledging <- struct{}{}:
		return nil
	case <-ctx.Done():
		return newError(status.FromContextError(ctx.Err()), "")
	}
}

func (s *EventStream) unlockAcknowledge() { <-s.acknowledging }

// wake lets acknowledgeLoop look at what is finished.
func (s *EventStream) signalPending() {
	select {
	case s.hasPending <- struct{}{}:
	default:
	}
}

// forget drops what is not acknowledged yet.
func (s *EventStream) dropPending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = position{}
}

// disconnect acknowledges what is finished, as well as it can, when a loop ends.
func (s *EventStream) disconnect(ctx context.Context) {
	s.mu.Lock()
	conn := s.conn
	s.conn = nil
	s.mu.Unlock()
	if conn == nil {
		return
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), finalAcknowledgeTimeout)
	defer cancel()
	_ = s.acknowledge(ctx, conn)
}

// isSubscriptionChanged tells whether an acknowledgement came after the subscription was changed. That is no failure: the server ends
// the stream, and the next one starts where the subscription is now.
func isSubscriptionChanged(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	return ok && (failure.Reason == "SUBSCRIPTION_GENERATION_STALE" || failure.Reason == "SUBSCRIPTION_CHANGED")
}

// isTransient tells whether an acknowledgement is to be tried again: the server could not be reached, or did not answer.
func isTransient(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	if !ok || isSubscriptionChanged(err) {
		return false
	}
	return failure.Code == codes.Unavailable || failure.Code == codes.DeadlineExceeded || failure.isReset()
}
