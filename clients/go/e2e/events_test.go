package e2e

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"switchboard.example/go/switchboard"
	sandboxv1 "switchboard.example/go/switchboard/sandbox/v1"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

func TestServerRestartsLoseAndRepeatNoEvent(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	proxy := startProxy(t, "")
	server := startWithProxy(t, proxy, "--store", store)
	client := connect(t, proxy.address)

	// Customers keep sending messages.
	stop, stopped := make(chan struct{}), make(chan []string, 1)
	go func() {
		var accepted []string
		defer func() { stopped <- accepted }()
		for number := 0; ; number++ {
			select {
			case <-stop:
				return
			default:
			}
			text := fmt.Sprintf("text %d", number)
			answer, err := sandboxClient(client).InjectMessage(t.Context(), &sandboxv1.InjectMessageRequest{
				Account: connectly, Sender: customer, Text: text,
			}, grpc.WaitForReady(true))
			if err == nil && answer.GetWebhookStatus() == 200 {
				accepted = append(accepted, text)
			}
		}
	}()

	const last = "the last text"
	received := make(chan string, 100_000)
	reconnects := make(chan error, 100_000)
	stream := client.Subscribe(receivedTexts(switchboardv1.StartPosition_START_POSITION_EARLIEST),
		switchboard.OnReconnect(func(cause error) { reconnects <- cause }))
	ctx := testContext(t)
	read := make(chan error, 1)
	var seen, ids []string
	go func() {
		for event, err := range stream.Events(ctx) {
			if err != nil {
				read <- err
				return
			}
			seen, ids = append(seen, textOf(event)), append(ids, event.GetEventId())
			received <- textOf(event)
			if textOf(event) == last {
				read <- nil
				return
			}
		}
		read <- errors.New("the loop ended without an error")
	}()

	// waitForEvents waits for new events.
	waitForEvents := func() {
		t.Helper()
		for len(received) > 0 {
			<-received
		}
		for range 20 {
			select {
			case <-received:
			case err := <-read:
				t.Fatal(err)
			case <-ctx.Done():
				t.Fatal("no events arrived")
			}
		}
	}
	waitForEvents()
	// SIGTERM is an orderly shutdown.
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		for len(reconnects) > 0 {
			<-reconnects
		}
		server.stop(t, signal)
		select {
		case cause := <-reconnects:
			t.Logf("after %v: %v", signal, cause)
		case err := <-read:
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("the loop did not detect that the server stopped")
		}
		server = startWithProxy(t, proxy, "--store", store)
		waitForEvents()
	}
	close(stop)
	accepted := <-stopped
	if err := inject(ctx, client, last); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}

	slices.Sort(ids)
	if unique := len(slices.Compact(ids)); unique != len(seen) {
		t.Errorf("got %d events, but only %d distinct ids", len(seen), unique)
	}
	// Compare only the messages whose acceptance the server confirmed, in order. The others may or may not be stored.
	next := 0
	for _, text := range seen {
		if next < len(accepted) && text == accepted[next] {
			next++
		}
	}
	if next < len(accepted) {
		t.Errorf("the server accepted %q, but the loop did not deliver it in order", accepted[next])
	}
	t.Logf("%d events, %d of them with confirmed acceptance", len(seen), len(accepted))
}

func TestStalledConnectionIsReplaced(t *testing.T) {
	server := startSandbox(t)
	proxy := startProxy(t, server.address)
	direct, through := connect(t, server.address), connect(t, proxy.address)
	request := receivedTexts(switchboardv1.StartPosition_START_POSITION_EARLIEST)
	request.HeartbeatInterval = durationpb.New(time.Second)
	var causes []error
	stream := through.Subscribe(request, switchboard.OnReconnect(func(cause error) { causes = append(causes, cause) }))

	if err := inject(testContext(t), direct, "one"); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for event, err := range stream.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, textOf(event))
		if len(texts) == 2 {
			break
		}
		proxy.stall()
		if err := inject(testContext(t), direct, "two"); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(texts, []string{"one", "two"}) {
		t.Errorf("the texts are %q", texts)
	}
	if len(causes) != 1 || proxy.connections() != 2 {
		t.Errorf("got %d connections and reconnect causes %v", proxy.connections(), causes)
	}
}

func TestHeartbeatsKeepIdleStreamOpen(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	request := receivedTexts(switchboardv1.StartPosition_START_POSITION_LATEST)
	request.HeartbeatInterval = durationpb.New(time.Second)
	request.IdleTimeout = durationpb.New(4 * time.Second)
	stream := client.Subscribe(request, switchboard.OnReconnect(func(cause error) { t.Errorf("unexpected reconnect: %v", cause) }))
	for event, err := range stream.Events(testContext(t)) {
		t.Errorf("got %v, %v", event, err)
	}
	if stream.Cursor() == "" {
		t.Error("the cursor is empty")
	}
}

func TestMalformedCursorEndsLoop(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	stream := client.Subscribe(&switchboardv1.SubscribeRequest{
		Start: &switchboardv1.SubscribeRequest_AfterCursor{AfterCursor: "made-up"},
	})
	var errs []error
	for _, err := range stream.Events(testContext(t)) {
		errs = append(errs, err)
	}
	if len(errs) != 1 {
		t.Fatalf("the loop ended with %v", errs)
	}
	failure, ok := errors.AsType[*switchboard.Error](errs[0])
	if !ok || failure.Code != codes.InvalidArgument || failure.Reason != "CURSOR_MALFORMED" ||
		len(failure.Violations) != 1 || failure.Violations[0].Field != "after_cursor" {
		t.Errorf("the loop ended with %v", errs[0])
	}
}
