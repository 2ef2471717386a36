// Command answer listens to customers and answers their questions, until it is interrupted.
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

	"switchboard.example/go/switchboard"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

func main() {
	log.SetFlags(0)
	client, err := switchboard.NewClient(cmp.Or(os.Getenv("SWITCHBOARD_ADDRESS"), "127.0.0.1:50051"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	events := client.Subscribe(&switchboardv1.SubscribeRequest{
		Filter: &switchboardv1.EventFilter{Types: []string{"message.received"}},
		Start:  &switchboardv1.SubscribeRequest_Position{Position: switchboardv1.StartPosition_START_POSITION_EARLIEST},
	})
	for event, err := range events.Events(ctx) {
		if errors.Is(err, context.Canceled) {
			break
		}
		if err != nil {
			log.Fatal(err)
		}
		if err := answer(ctx, client, event); err != nil {
			log.Print(err)
		}
	}
	// A real program keeps this, and gives it as after_cursor when it starts again.
	fmt.Println("stopped behind", events.Cursor())
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
