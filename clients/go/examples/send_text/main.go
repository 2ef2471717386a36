// Command send_text sends a text and prints the message's id.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
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

	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	sent, err := client.Messages.SendMessage(ctx, &switchboardv1.SendMessageRequest{
		Account: "demo-connectly",
		To:      "+15550100001",
		Content: &switchboardv1.SendMessageRequest_Text{Text: &switchboardv1.Text{Body: "Hello!"}},
	})
	if failure, ok := errors.AsType[*switchboard.Error](err); ok &&
		switchboard.ParseReason(failure.Reason) == switchboardv1.Reason_REASON_SESSION_WINDOW_CLOSED {
		log.Fatal("the session window is closed: only templates can be sent to this customer")
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent", sent.GetMessage().GetMessageId())
}
