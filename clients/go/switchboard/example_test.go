package switchboard_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"switchboard.example/go/switchboard"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

func ExampleNewClient() {
	// TLS, except on loopback. The token never travels in plaintext beyond loopback.
	client, err := switchboard.NewClient(os.Getenv("SWITCHBOARD_ADDRESS"),
		switchboard.WithToken(os.Getenv("SWITCHBOARD_TOKEN")))
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
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(sent.GetMessage().GetState())
	// Output: MESSAGE_STATE_ACCEPTED
}

func ExampleError() {
	client, err := switchboard.NewClient(os.Getenv("SWITCHBOARD_ADDRESS"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = client.Messages.SendMessage(context.Background(), &switchboardv1.SendMessageRequest{
		Account: "demo-connectly",
		Content: &switchboardv1.SendMessageRequest_Text{Text: &switchboardv1.Text{Body: "Hello!"}},
	})
	if failure, ok := errors.AsType[*switchboard.Error](err); ok {
		fmt.Println(failure.Code, failure.Reason)
		for _, violation := range failure.Violations {
			fmt.Println(violation.Field, violation.Reason)
		}
	}
	// Output:
	// InvalidArgument REQUEST_INVALID
	// to REQUIRED
}

func ExampleClient_Subscribe() {
	client, err := switchboard.NewClient(os.Getenv("SWITCHBOARD_ADDRESS"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	events := client.Subscribe(&switchboardv1.SubscribeRequest{
		Filter:    &switchboardv1.EventFilter{Types: []string{"message.received"}},
		MaxEvents: 2, // Without this, the loop runs until its context ends.
	})
	for event, err := range events.Events(context.Background()) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(event.GetMessageReceived().GetText().GetBody())
	}
	fmt.Println("resume after", events.Cursor())
	// Output:
	// Do you deliver on Sundays?
	// Thanks!
	// resume after c2
}

func ExampleParseReason() {
	client, err := switchboard.NewClient(os.Getenv("SWITCHBOARD_ADDRESS"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	_, err = client.Messages.SendMessage(context.Background(), &switchboardv1.SendMessageRequest{
		Account: "demo-connectly",
		Content: &switchboardv1.SendMessageRequest_Text{Text: &switchboardv1.Text{Body: "Hello!"}},
	})
	if failure, ok := errors.AsType[*switchboard.Error](err); ok {
		switch switchboard.ParseReason(failure.Reason) {
		case switchboardv1.Reason_REASON_REQUEST_INVALID:
			fmt.Println("fix the request")
		case switchboardv1.Reason_REASON_SESSION_WINDOW_CLOSED:
			fmt.Println("send a template")
		default:
			fmt.Println(failure)
		}
	}
	// Output: fix the request
}

func ExampleErrorFrom() {
	// Events, messages and responses of SendMessages contain such a failure.
	failure := &switchboardv1.Failure{Reason: "RECIPIENT_NOT_REACHABLE", Code: int32(codes.FailedPrecondition)}
	fmt.Println(switchboard.ErrorFrom(failure))
	// Output: switchboard: FailedPrecondition RECIPIENT_NOT_REACHABLE
}

// The examples run against a server with fixed responses.
func TestMain(m *testing.M) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	switchboardv1.RegisterMessageServiceServer(server, exampleMessages{})
	switchboardv1.RegisterEventServiceServer(server, exampleEvents{})
	go server.Serve(listener) // Returns when the process exits.
	os.Setenv("SWITCHBOARD_ADDRESS", listener.Addr().String())
	os.Setenv("SWITCHBOARD_TOKEN", "")
	os.Exit(m.Run())
}

type exampleMessages struct {
	switchboardv1.UnimplementedMessageServiceServer
}

func (exampleMessages) SendMessage(
	_ context.Context, request *switchboardv1.SendMessageRequest,
) (*switchboardv1.SendMessageResponse, error) {
	if !strings.HasPrefix(request.GetTo(), "+") {
		return nil, switchboard.ErrorFrom(&switchboardv1.Failure{
			Code:            int32(codes.InvalidArgument),
			Reason:          "REQUEST_INVALID",
			FieldViolations: []*switchboardv1.FieldViolation{{Field: "to", Reason: "REQUIRED"}},
		})
	}
	return &switchboardv1.SendMessageResponse{
		Message: &switchboardv1.Message{State: switchboardv1.MessageState_MESSAGE_STATE_ACCEPTED},
	}, nil
}

type exampleEvents struct {
	switchboardv1.UnimplementedEventServiceServer
}

func (exampleEvents) Subscribe(
	_ *switchboardv1.SubscribeRequest, stream switchboardv1.EventService_SubscribeServer,
) error {
	answers := []*switchboardv1.SubscribeResponse{{
		Response: &switchboardv1.SubscribeResponse_Started{Started: &switchboardv1.SubscribeStarted{Cursor: "c0"}},
	}}
	for _, event := range []struct{ cursor, text string }{{"c1", "Do you deliver on Sundays?"}, {"c2", "Thanks!"}} {
		answers = append(answers, &switchboardv1.SubscribeResponse{Response: &switchboardv1.SubscribeResponse_Event{
			Event: &switchboardv1.Event{Cursor: event.cursor, Payload: &switchboardv1.Event_MessageReceived{
				MessageReceived: &switchboardv1.MessageReceived{
					Content: &switchboardv1.MessageReceived_Text{Text: &switchboardv1.Text{Body: event.text}},
				},
			}},
		}})
	}
	answers = append(answers, &switchboardv1.SubscribeResponse{Response: &switchboardv1.SubscribeResponse_Closing{
		Closing: &switchboardv1.SubscribeClosing{
			Cursor: "c2", Reason: switchboardv1.ClosingReason_CLOSING_REASON_MAX_EVENTS,
		},
	}})
	for _, answer := range answers {
		if err := stream.Send(answer); err != nil {
			return err
		}
	}
	return nil
}
