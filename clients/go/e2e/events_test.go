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

func TestNothingIsLostOrGivenTwiceWhileTheServerIsRestarted(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	front := startProxy(t, "")
	server := startBehind(t, front, "--store", store)
	client := connect(t, front.address)

	// Customers write all the time.
	stop, stopped := make(chan struct{}), make(chan []string, 1)
	go func() {
		var taken []string
		defer func() { stopped <- taken }()
		for number := 0; ; number++ {
			select {
			case <-stop:
				return
			default:
			}
			text := fmt.Sprintf("text %d", number)
			answer, err := steer(client).InjectMessage(t.Context(), &sandboxv1.InjectMessageRequest{
				Account: connectly, Sender: customer, Text: text,
			}, grpc.WaitForReady(true))
			if err == nil && answer.GetWebhookStatus() == 200 {
				taken = append(taken, text)
			}
		}
	}()

	const last = "the last text"
	came := make(chan string, 100_000)
	broke := make(chan error, 100_000)
	subscription := client.Subscribe(receivedTexts(switchboardv1.StartPosition_START_POSITION_EARLIEST),
		switchboard.OnReconnect(func(cause error) { broke <- cause }))
	ctx := testContext(t)
	read := make(chan error, 1)
	var seen, ids []string
	go func() {
		for event, err := range subscription.Events(ctx) {
			if err != nil {
				read <- err
				return
			}
			seen, ids = append(seen, textOf(event)), append(ids, event.GetId())
			came <- textOf(event)
			if textOf(event) == last {
				read <- nil
				return
			}
		}
		read <- errors.New("the loop ended by itself")
	}()

	// someEvents waits until events come, after those that have come already.
	someEvents := func() {
		t.Helper()
		for len(came) > 0 {
			<-came
		}
		for range 20 {
			select {
			case <-came:
			case err := <-read:
				t.Fatal(err)
			case <-ctx.Done():
				t.Fatal("no events come")
			}
		}
	}
	someEvents()
	// Killed, and stopped as an operator stops it.
	for _, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGKILL} {
		for len(broke) > 0 {
			<-broke
		}
		server.stop(t, signal)
		select {
		case cause := <-broke:
			t.Logf("after %v: %v", signal, cause)
		case err := <-read:
			t.Fatal(err)
		case <-ctx.Done():
			t.Fatal("it does not notice that the server is gone")
		}
		server = startBehind(t, front, "--store", store)
		someEvents()
	}
	close(stop)
	taken := <-stopped
	if err := inject(ctx, client, last); err != nil {
		t.Fatal(err)
	}
	if err := <-read; err != nil {
		t.Fatal(err)
	}

	slices.Sort(ids)
	if unique := len(slices.Compact(ids)); unique != len(seen) {
		t.Errorf("of %d events, %d are different ones", len(seen), unique)
	}
	// Those that the server took for certain, in their order. Of the others, nobody can tell.
	next := 0
	for _, text := range seen {
		if next < len(taken) && text == taken[next] {
			next++
		}
	}
	if next < len(taken) {
		t.Errorf("%q was taken by the server and not seen, or not in its place", taken[next])
	}
	t.Logf("%d events, %d of them taken for certain", len(seen), len(taken))
}

func TestAConnectionThatFallsSilentIsLeft(t *testing.T) {
	server := startSandbox(t)
	proxy := startProxy(t, server.address)
	direct, through := connect(t, server.address), connect(t, proxy.address)
	request := receivedTexts(switchboardv1.StartPosition_START_POSITION_EARLIEST)
	request.HeartbeatInterval = durationpb.New(time.Second)
	var causes []error
	subscription := through.Subscribe(request, switchboard.OnReconnect(func(cause error) { causes = append(causes, cause) }))

	if err := inject(testContext(t), direct, "one"); err != nil {
		t.Fatal(err)
	}
	var texts []string
	for event, err := range subscription.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, textOf(event))
		if len(texts) == 2 {
			break
		}
		proxy.fallSilent()
		if err := inject(testContext(t), direct, "two"); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(texts, []string{"one", "two"}) {
		t.Errorf("the texts are %q", texts)
	}
	if len(causes) != 1 || proxy.connections() != 2 {
		t.Errorf("it came back over %d connections because of %v", proxy.connections(), causes)
	}
}

func TestHeartbeatsKeepAQuietStreamOpen(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	request := receivedTexts(switchboardv1.StartPosition_START_POSITION_LATEST)
	request.HeartbeatInterval = durationpb.New(time.Second)
	request.IdleTimeout = durationpb.New(4 * time.Second)
	subscription := client.Subscribe(request, switchboard.OnReconnect(func(cause error) { t.Errorf("it broke: %v", cause) }))
	for event, err := range subscription.Events(testContext(t)) {
		t.Errorf("got %v, %v", event, err)
	}
	if subscription.Cursor() == "" {
		t.Error("there is no cursor to go on from")
	}
}

func TestACursorOfAnotherJournalEndsTheLoop(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	subscription := client.Subscribe(&switchboardv1.SubscribeRequest{
		Start: &switchboardv1.SubscribeRequest_AfterCursor{AfterCursor: "made-up"},
	})
	var errs []error
	for _, err := range subscription.Events(testContext(t)) {
		errs = append(errs, err)
	}
	if len(errs) != 1 {
		t.Fatalf("it ended with %v", errs)
	}
	failure, ok := errors.AsType[*switchboard.Error](errs[0])
	if !ok || failure.Code != codes.InvalidArgument || failure.Reason != "CURSOR_MALFORMED" ||
		len(failure.Violations) != 1 || failure.Violations[0].Field != "after_cursor" {
		t.Errorf("it ended with %v", errs[0])
	}
}
