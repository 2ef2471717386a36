// Command answer replies to customers' questions until it is interrupted. After a restart, it resumes at the position
// that the server stores for its named subscription.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc/codes"

	"switchboard.example/go/switchboard"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// subscription is the id of the named subscription. Use one per program: two programs that share one both receive every
// event.
const subscription = "answer"

func main() {
	log.SetFlags(0)
	client, err := switchboard.NewClient(cmp.Or(os.Getenv("SWITCHBOARD_ADDRESS"), "127.0.0.1:50051"),
		switchboard.WithLogger(slog.Default()))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, client); err != nil && ctx.Err() == nil {
		log.Fatal(err)
	}
}

// run replies until ctx ends.
func run(ctx context.Context, client *switchboard.Client) error {
	// The first start creates the subscription. A later one changes its filter, if the program has another one now.
	if _, err := client.EnsureSubscription(ctx, &switchboardv1.CreateSubscriptionRequest{
		SubscriptionId: subscription,
		Subscription: &switchboardv1.Subscription{
			Filter: &switchboardv1.EventFilter{Types: []string{"message.received"}},
		},
		Start: &switchboardv1.CreateSubscriptionRequest_Position{
			Position: switchboardv1.StartPosition_START_POSITION_EARLIEST,
		},
	}); err != nil {
		return err
	}
	events := client.Subscribe(&switchboardv1.SubscribeRequest{
		Start: &switchboardv1.SubscribeRequest_SubscriptionId{SubscriptionId: subscription},
	})
	for event, err := range events.Events(ctx) {
		if err != nil {
			return err
		}
		// Continuing finishes the event. Returning does not: the server delivers the event again after a restart.
		if err := answer(ctx, client, event); err != nil {
			return err
		}
	}
	return nil
}

// answer replies to a question. While the provider throttles or the server restarts, it waits and tries again. It
// returns an error only if the event must not be finished.
func answer(ctx context.Context, client *switchboard.Client, event *switchboardv1.Event) error {
	received := event.GetMessageReceived()
	if !strings.HasSuffix(received.GetText().GetBody(), "?") {
		return nil
	}
	request := &switchboardv1.SendMessageRequest{
		Account: event.GetAccount(),
		To:      received.GetSender().GetAddress(),
		// If the event is delivered again, this id prevents a second reply. With the subscription in it, another
		// service can reply to the same event.
		RequestId: subscription + ":" + event.GetEventId(),
		Content: &switchboardv1.SendMessageRequest_Text{
			Text: &switchboardv1.Text{Body: "Thank you for asking! We are open from nine to five."},
		},
	}
	for pause := time.Second; ; pause = min(2*pause, 30*time.Second) {
		sent, err := send(ctx, client, request)
		if err == nil {
			fmt.Println("answered", event.GetEventId(), "with", sent.GetMessageId())
			return nil
		}
		failure, ok := errors.AsType[*switchboard.Error](err)
		if !ok || ctx.Err() != nil {
			return err
		}
		switch decide(failure) {
		case skip:
			log.Printf("no answer to %s: %v", event.GetEventId(), failure)
			return nil
		case end:
			return failure
		}
		asked, _ := failure.RetryDelay()
		select {
		case <-time.After(max(pause, asked) + rand.N(time.Second)):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func send(
	ctx context.Context, client *switchboard.Client, request *switchboardv1.SendMessageRequest,
) (*switchboardv1.Message, error) {
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	sent, err := client.Messages.SendMessage(ctx, request)
	return sent.GetMessage(), err
}

// decision is what to do after a failed reply.
type decision string

const (
	wait decision = "wait" // Try again later: this message can still be sent.
	skip decision = "skip" // This message will never be accepted, or an earlier attempt may have sent it.
	end  decision = "end"  // An operator must repair something. Keep the event.
)

func decide(failure *switchboard.Error) decision {
	switch switchboard.ParseReason(failure.Reason) {
	case switchboardv1.Reason_REASON_REQUEST_INVALID,
		switchboardv1.Reason_REASON_REQUEST_ID_REUSED,
		switchboardv1.Reason_REASON_PROVIDER_UNSUPPORTED,
		switchboardv1.Reason_REASON_SEND_OUTCOME_UNKNOWN,
		switchboardv1.Reason_REASON_PROVIDER_CAPPED,
		switchboardv1.Reason_REASON_PROVIDER_REFUSED,
		switchboardv1.Reason_REASON_SESSION_WINDOW_CLOSED,
		switchboardv1.Reason_REASON_RECIPIENT_NOT_REACHABLE,
		switchboardv1.Reason_REASON_RECIPIENT_OPTED_OUT,
		switchboardv1.Reason_REASON_RECIPIENT_INVALID,
		switchboardv1.Reason_REASON_CONTENT_REJECTED:
		return skip
	}
	if _, ok := failure.RetryDelay(); ok {
		return wait
	}
	switch failure.Code {
	// The server's timer may end a call before the client's does. The code is then Canceled.
	case codes.Unavailable, codes.ResourceExhausted, codes.DeadlineExceeded, codes.Canceled:
		return wait
	default:
		return end
	}
}
