// Command answer replies to customers' questions until it is interrupted. After a restart, it resumes at the position
// that the server stores for its named subscription.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"switchboard.example/go/switchboard"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// subscription is the id of the named subscription. Use one per program: two programs that share one both receive every
// event.
const subscription = "answer"

func main() {
	log.SetFlags(0)
	client, err := switchboard.NewClient(cmp.Or(os.Getenv("SWITCHBOARD_ADDRESS"), "127.0.0.1:50051"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := create(ctx, client); err != nil {
		log.Fatal(err)
	}
	events := client.Subscribe(&switchboardv1.SubscribeRequest{
		Start: &switchboardv1.SubscribeRequest_SubscriptionId{SubscriptionId: subscription},
	})
	for event, err := range events.Events(ctx) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		// Continuing finishes the event. Leaving the loop does not: the server delivers the event again after a restart.
		switch err := answer(ctx, client, event); {
		case ctx.Err() != nil:
			return
		case status.Code(err) == codes.Unavailable:
			log.Fatal(err)
		case err != nil:
			log.Print(err)
		}
	}
}

// create creates the subscription on the first start.
func create(ctx context.Context, client *switchboard.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := client.Subscriptions.CreateSubscription(ctx, &switchboardv1.CreateSubscriptionRequest{
		SubscriptionId: subscription,
		Subscription: &switchboardv1.Subscription{
			Filter: &switchboardv1.EventFilter{Types: []string{"message.received"}},
		},
		Start: &switchboardv1.CreateSubscriptionRequest_Position{
			Position: switchboardv1.StartPosition_START_POSITION_EARLIEST,
		},
	})
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return err
}

// answer replies to a question. The request_id is derived from the event, so a redelivered event does not cause a
// second reply.
func answer(ctx context.Context, client *switchboard.Client, event *switchboardv1.Event) error {
	received := event.GetMessageReceived()
	if !strings.HasSuffix(received.GetText().GetBody(), "?") {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	sent, err := client.Messages.SendMessage(ctx, &switchboardv1.SendMessageRequest{
		Account:   event.GetAccount(),
		To:        received.GetSender().GetAddress(),
		RequestId: "answer-" + event.GetEventId(),
		Content: &switchboardv1.SendMessageRequest_Text{
			Text: &switchboardv1.Text{Body: "Thank you for asking! We are open from nine to five."},
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("answered", event.GetEventId(), "with", sent.GetMessage().GetMessageId())
	return nil
}
