// Command upload_media sends a file to a customer and prints the message's id. The file is a JPEG or PNG, an MP4 or 3GPP, a
// PDF, an Office document or a text.
package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"switchboard.example/go/switchboard"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: upload_media FILE")
	}
	file, err := os.Open(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	defer file.Close()

	client, err := switchboard.NewClient(cmp.Or(os.Getenv("SWITCHBOARD_ADDRESS"), "127.0.0.1:50051"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	sent, err := client.SendMedia(ctx, &switchboardv1.MediaHeader{
		Account:  "demo-connectby",
		To:       "+15550100001",
		FileName: filepath.Base(file.Name()),
	}, file)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("sent", sent.GetMessage().GetMessageId())
}
