package e2e

import (
	"context"
	"errors"
	"io"
	"sync"
	"testing"

	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// bystander is an event stream that must survive what other calls do to its connection.
type bystander struct {
	ended chan error
}

func watchAll(t *testing.T, events switchboardv1.EventServiceClient) *bystander {
	t.Helper()
	stream, err := events.Subscribe(testContext(t), &switchboardv1.SubscribeRequest{})
	if err != nil {
		t.Fatal(err)
	}
	// The first message proves that the stream is open.
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	b := &bystander{ended: make(chan error, 1)}
	go func() {
		for {
			if _, err := stream.Recv(); err != nil {
				b.ended <- err
				return
			}
		}
	}()
	return b
}

func (b *bystander) assertOpen(t *testing.T) {
	t.Helper()
	select {
	case err := <-b.ended:
		t.Errorf("the other stream of the connection ended: %v", err)
	default:
	}
}

// grpc-go writes each small message into a frame of its own.
func TestManyTinyMessagesKeepTheConnection(t *testing.T) {
	const count = 20_000
	t.Setenv("SWITCHBOARD__ACCOUNTS__DEMO_CONNECTLY__GATE__CALLS_PER_SECOND", "100000")
	client := connect(t, startSandbox(t).address)
	other := watchAll(t, client.Events)
	stream, err := client.Messages.SendMessages(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	var sending sync.WaitGroup
	sending.Go(func() {
		for range count {
			err := stream.Send(&switchboardv1.SendMessagesRequest{Request: &switchboardv1.SendMessageRequest{
				Account: connectly, To: customer,
				Content: &switchboardv1.SendMessageRequest_Text{Text: &switchboardv1.Text{Body: "hi"}},
			}})
			if err != nil {
				t.Errorf("sending: %v", err)
				return
			}
		}
		_ = stream.CloseSend()
	})
	accepted := 0
	for {
		response, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatalf("after %d responses: %v", accepted, err)
		}
		if failure := response.GetFailure(); failure != nil {
			t.Fatalf("after %d responses: %v", accepted, failure)
		}
		accepted++
	}
	sending.Wait()
	if accepted != count {
		t.Errorf("%d of %d messages were accepted", accepted, count)
	}
	other.assertOpen(t)
}

// A program that stops cancels all its calls at once.
func TestBurstOfCancelledCallsKeepsTheConnection(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	other := watchAll(t, client.Events)
	for range 30 {
		ctx, cancel := context.WithCancel(testContext(t))
		var calls sync.WaitGroup
		var opened sync.WaitGroup
		for n := range 200 {
			opened.Add(1)
			calls.Go(func() {
				if n%2 == 0 {
					stream, err := client.Events.Subscribe(ctx, &switchboardv1.SubscribeRequest{})
					opened.Done()
					if err == nil {
						for err == nil {
							_, err = stream.Recv()
						}
					}
					return
				}
				opened.Done()
				_, _ = client.Events.ListEvents(ctx, &switchboardv1.ListEventsRequest{})
			})
		}
		opened.Wait()
		cancel()
		calls.Wait()
		// The server accepts streams in order, so it has seen the whole burst when this call returns.
		if _, err := client.Accounts.ListAccounts(testContext(t), &switchboardv1.ListAccountsRequest{}); err != nil {
			t.Fatalf("a call after the burst: %v", err)
		}
		other.assertOpen(t)
	}
}
