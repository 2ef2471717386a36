// Command send_template sends a template with a picture in its header and prints the message's id.
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
		Account: "demo-connectby",
		To:      "+15550100001",
		Content: &switchboardv1.SendMessageRequest_Template{Template: &switchboardv1.TemplateMessage{
			Name:     "summer_sale",
			Language: "en_US",
			Header: &switchboardv1.TemplateHeader{Header: &switchboardv1.TemplateHeader_Image{
				Image: &switchboardv1.HeaderMedia{Source: &switchboardv1.HeaderMedia_Url{Url: "https://example.com/summer.jpg"}},
			}},
			Body: []*switchboardv1.Parameter{{Value: &switchboardv1.Parameter_Text{Text: "Asha"}}},
			Buttons: []*switchboardv1.TemplateButton{
				{Index: 1, Value: &switchboardv1.TemplateButton_UrlSuffix{UrlSuffix: "summer"}},
			},
		}},
	})
	if failure, ok := errors.AsType[*switchboard.Error](err); ok {
		for _, violation := range failure.Violations {
			log.Printf("%s: %s (%s)", violation.Field, violation.Description, violation.Reason)
		}
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent", sent.GetMessage().GetMessageId())
}
