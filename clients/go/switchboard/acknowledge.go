package switchboard

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

const (
	// acknowledgeInterval is the minimum time between two automatic acknowledgements.
	acknowledgeInterval = time.Second
	// finalAcknowledgeTimeout is how long the end of a loop waits for the last acknowledgement.
	finalAcknowledgeTimeout = 2 * time.Second
)

// position is a cursor to acknowledge, and the generation of the subscription that issued it.
type position struct {
	cursor     string
	generation uint64
}

// acknowledgeError is a failed acknowledgement that aborts the stream.
type acknowledgeError struct{ error }

// transientError is a failed acknowledgement that may succeed on a retry.
type transientError struct{ error }

func (t transientError) Unwrap() error { return t.error }

// Acknowledge finishes an event of a named subscription. It returns once the server has durably stored that this event
// and all events before it are acknowledged. Call it in the loop's body or after the loop, with the last event that the
// loop delivered. With nil, it acknowledges the events that the loop has already finished. Calling it is optional,
// because the loop also acknowledges automatically: see [Client.Subscribe].
//
// After UNAVAILABLE or a passed deadline, the loop retries the acknowledgement. The reason
// SUBSCRIPTION_GENERATION_STALE means that the subscription was moved or its filter was changed. The server may then
// deliver the event again.
func (s *EventStream) Acknowledge(ctx context.Context, event *switchboardv1.Event) error {
	if s.request.GetSubscriptionId() == "" {
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

// acknowledgeLoop acknowledges finished events while a stream is open. An error that a retry cannot fix aborts the
// stream.
func (s *EventStream) acknowledgeLoop(ctx context.Context, conn *grpc.ClientConn, abort context.CancelCauseFunc) {
	for {
		select {
		case <-s.hasPending:
		case <-ctx.Done():
			return
		}
		pause := acknowledgeInterval
		callCtx, cancel := context.WithTimeout(ctx, s.startTimeout)
		err := s.acknowledge(callCtx, conn)
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
			s.client.retry.log.LogAttrs(ctx, slog.LevelInfo, "switchboard acknowledgement failed, retrying",
				slog.String("subscription_id", s.request.GetSubscriptionId()), slog.Duration("delay", pause), slog.Any("error", err))
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

// acknowledge makes one attempt to acknowledge the pending position.
func (s *EventStream) acknowledge(ctx context.Context, conn grpc.ClientConnInterface) error {
	if err := s.lockAcknowledge(ctx); err != nil {
		return err
	}
	defer s.unlockAcknowledge()
	return s.acknowledgeLocked(ctx, conn)
}

// acknowledgeLocked is acknowledge for a caller that holds the lock. It drops a position that the server has refused,
// because a subscription recreated under the same id could otherwise receive it with the next stream.
func (s *EventStream) acknowledgeLocked(ctx context.Context, conn grpc.ClientConnInterface) error {
	s.mu.Lock()
	pending := s.pending
	s.mu.Unlock()
	if pending == (position{}) {
		return nil
	}
	_, err := switchboardv1.NewSubscriptionServiceClient(conn).Acknowledge(ctx, &switchboardv1.AcknowledgeRequest{
		SubscriptionId: s.request.GetSubscriptionId(), Cursor: pending.cursor, Generation: pending.generation,
	}, grpc.WaitForReady(false)) // The loop retries, with a new connection.
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

// lockAcknowledge serialises acknowledgements. Without it, a position could be acknowledged twice, and
// [EventStream.Acknowledge] could miss its own result.
func (s *EventStream) lockAcknowledge(ctx context.Context) error {
	select {
	case s.acknowledging <- struct{}{}:
		return nil
	case <-ctx.Done():
		return contextError(ctx.Err(), "")
	}
}

func (s *EventStream) unlockAcknowledge() { <-s.acknowledging }

// signalPending wakes acknowledgeLoop.
func (s *EventStream) signalPending() {
	select {
	case s.hasPending <- struct{}{}:
	default:
	}
}

// dropPending discards the position that is not acknowledged yet.
func (s *EventStream) dropPending() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.pending = position{}
}

// disconnect makes one last attempt to acknowledge the pending position, then closes the stream's connection.
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

// isSubscriptionChanged reports whether an acknowledgement was refused because the subscription has changed. The loop
// does not treat it as a failure: the server ends the stream, and the next stream starts at the subscription's new
// position.
func isSubscriptionChanged(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	if !ok {
		return false
	}
	switch ParseReason(failure.Reason) {
	case switchboardv1.Reason_REASON_SUBSCRIPTION_GENERATION_STALE, switchboardv1.Reason_REASON_SUBSCRIPTION_CHANGED:
		return true
	default:
		return false
	}
}

// isTransient reports whether to retry an acknowledgement, because the server was unreachable or did not reply.
func isTransient(err error) bool {
	failure, ok := errors.AsType[*Error](err)
	if !ok || isSubscriptionChanged(err) {
		return false
	}
	return failure.Code == codes.Unavailable || failure.Code == codes.DeadlineExceeded || failure.isReset()
}
