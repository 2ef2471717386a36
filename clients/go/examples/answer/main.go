// Command answer listens to customers and answers their questions, until it is interrupted. When it is started again, it
// goes on where it was: the server keeps its place, under a name.
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

// subscription is the name. Each program has its own: two that share one would both get every event.
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
		Start: &switchboardv1.SubscribeRequest_Subscription{Subscription: subscription},
	})
	for event, err := range events.Events(ctx) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		// To go on finishes the event. To leave the loop does not: it comes again when the program is back.
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

// create makes the subscription, at the first start.
func create(ctx context.Context, client *switchboard.Client) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	_, err := client.Events.CreateSubscription(ctx, &switchboardv1.CreateSubscriptionRequest{
		Subscription: subscription,
		Filter:       &switchboardv1.EventFilter{Types: []string{"message.received"}},
		Start: &switchboardv1.CreateSubscriptionRequest_Position{
			Position: switchboardv1.StartPosition_START_POSITION_EARLIEST,
		},
	})
	if status.Code(err) == codes.AlreadyExists {
		return nil
	}
	return err
}

// answer answers a question. Should the event come again, after a crash, its request_id keeps a second answer back.
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
		RequestId: "answer-" + event.GetId(),
		Content: &switchboardv1.SendMessageRequest_Text{
			Text: &switchboardv1.Text{Body: "Thank you for asking! We are open from nine to five."},
		},
	})
	if err != nil {
		return err
	}
	fmt.Println("answered", event.GetId(), "with", sent.GetMessage().GetMessageId())
	return nil
}
