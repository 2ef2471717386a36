package e2e

import (
	"context"
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
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"switchboard.example/go/switchboard"
	sandboxv1 "switchboard.example/go/switchboard/sandbox/v1"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

const shop = "shop"

// createSubscription creates a subscription that starts at the earliest event. Without types, it matches messages of
// customers.
func createSubscription(t *testing.T, client *switchboard.Client, types ...string) {
	t.Helper()
	if len(types) == 0 {
		types = []string{"message.received"}
	}
	if _, err := client.Subscriptions.CreateSubscription(testContext(t), &switchboardv1.CreateSubscriptionRequest{
		SubscriptionId: shop,
		Subscription:   &switchboardv1.Subscription{Filter: &switchboardv1.EventFilter{Types: types}},
		Start: &switchboardv1.CreateSubscriptionRequest_Position{
			Position: switchboardv1.StartPosition_START_POSITION_EARLIEST,
		},
	}); err != nil {
		t.Fatal(err)
	}
}

func getSubscription(t *testing.T, client *switchboard.Client, name string) *switchboardv1.Subscription {
	t.Helper()
	got, err := client.Subscriptions.GetSubscription(testContext(t), &switchboardv1.GetSubscriptionRequest{SubscriptionId: name})
	if err != nil {
		t.Fatal(err)
	}
	return got.GetSubscription()
}

// named returns a request for the subscription, with a heartbeat every second.
func named() *switchboardv1.SubscribeRequest {
	return &switchboardv1.SubscribeRequest{
		Start:             &switchboardv1.SubscribeRequest_SubscriptionId{SubscriptionId: shop},
		HeartbeatInterval: durationpb.New(time.Second),
	}
}

func injectAll(t *testing.T, client *switchboard.Client, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if err := inject(testContext(t), client, text); err != nil {
			t.Fatal(err)
		}
	}
}

// readTexts reads events until the text last, and leaves the loop without finishing that event.
func readTexts(t *testing.T, s *switchboard.EventStream, last string) (texts []string) {
	t.Helper()
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if texts = append(texts, textOf(event)); textOf(event) == last {
			break
		}
	}
	return texts
}

func wantTexts(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("the texts are %q, not %q", got, want)
	}
}

func TestServerRestartsLoseNoEventOfNamedSubscription(t *testing.T) {
	store := filepath.Join(t.TempDir(), "store")
	proxy := startProxy(t, "")
	server := startWithProxy(t, proxy, "--store", store)
	client := connect(t, proxy.address)
	createSubscription(t, client)

	ctx, cancel := context.WithTimeout(t.Context(), 3*testTimeout)
	defer cancel()
	stop, stopped := make(chan struct{}), make(chan []string, 1)
	go func() {
		var accepted []string
		defer func() { stopped <- accepted }()
		for number := 0; ; number++ {
			select {
			case <-stop:
				return
			case <-ctx.Done():
				return
			default:
			}
			text := fmt.Sprintf("text %d", number)
			answer, err := sandboxClient(client).InjectMessage(ctx, &sandboxv1.InjectMessageRequest{
				Account: connectly, Sender: customer, Text: text,
			}, grpc.WaitForReady(true))
			if err == nil && answer.GetWebhookStatus() == 200 {
				accepted = append(accepted, text)
			}
		}
	}()

	type loop struct{ texts, ids []string }
	const last = "the last text"
	// read kills the server that many times, and leaves the loop with an unfinished event. If restarts is negative, it
	// reads until the last text.
	read := func(client *switchboard.Client, restarts int) (read loop) {
		reconnects, killed, some := 0, 0, 0
		s := client.Subscribe(named(), switchboard.OnReconnect(func(cause error) {
			t.Logf("after %d restarts: %v", killed, cause)
			reconnects++
		}))
		for event, err := range s.Events(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			read.texts, read.ids = append(read.texts, textOf(event)), append(read.ids, event.GetEventId())
			if textOf(event) == last {
				return read
			}
			// Events already buffered in the client can arrive after the server was killed.
			if some++; some < 20 || reconnects < killed || restarts < 0 {
				continue
			}
			if killed == restarts {
				return read
			}
			// Kill and restart the server while this event is being processed.
			killed, some = killed+1, 0
			server.stop(t, syscall.SIGKILL)
			server = startWithProxy(t, proxy, "--store", store)
		}
		t.Fatal("the loop ended without an error")
		return read
	}

	loops := []loop{read(client, 2)}
	// Another program resumes after an orderly shutdown.
	server.stop(t, syscall.SIGTERM)
	server = startWithProxy(t, proxy, "--store", store)
	loops = append(loops, read(connect(t, proxy.address), 1))
	close(stop)
	accepted := <-stopped
	injectAll(t, client, last)
	loops = append(loops, read(connect(t, proxy.address), -1))

	var seen []string
	for number, each := range loops {
		ids := slices.Sorted(slices.Values(each.ids))
		if len(slices.Compact(ids)) != len(each.ids) {
			t.Errorf("in loop %d, an event was delivered twice", number)
		}
		// The next loop receives the unfinished event again, and no other.
		if number > 0 {
			if before := loops[number-1]; each.ids[0] != before.ids[len(before.ids)-1] {
				t.Errorf("loop %d begins with %q, but the previous loop ended with %q", number, each.texts[0],
					before.texts[len(before.texts)-1])
			}
			each.texts = each.texts[1:]
		}
		seen = append(seen, each.texts...)
	}
	next := 0
	for _, text := range seen {
		if next < len(accepted) && text == accepted[next] {
			next++
		}
	}
	if next < len(accepted) {
		t.Errorf("the server accepted %q, but no loop delivered it in order", accepted[next])
	}
	t.Logf("%d events, %d of them with confirmed acceptance", len(seen), len(accepted))
}

func TestUnfinishedEventIsRedeliveredToNextLoop(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	createSubscription(t, client)
	injectAll(t, client, "one", "two", "three")
	s := client.Subscribe(named())
	wantTexts(t, readTexts(t, s, "two"), "one", "two")
	// The loop acknowledges finished events before it ends.
	if got := getSubscription(t, client, shop); got.GetCursor() != s.Cursor() {
		t.Errorf("the subscription is at %v, the loop at %q", got, s.Cursor())
	}
	wantTexts(t, readTexts(t, client.Subscribe(named()), "three"), "two", "three")

	// Acknowledge finishes an event even if the loop ends with it.
	s = client.Subscribe(named())
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Acknowledge(testContext(t), event); err != nil {
			t.Error(err)
		}
		if got := getSubscription(t, client, shop); got.GetCursor() != event.GetCursor() || textOf(event) != "three" {
			t.Errorf("got %v after event %q", got, textOf(event))
		}
		break
	}
	injectAll(t, client, "four")
	wantTexts(t, readTexts(t, client.Subscribe(named()), "four"), "four")
}

func TestSeekBackReplaysEvents(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	createSubscription(t, client)
	injectAll(t, client, "one", "two")
	var causes []error
	s := client.Subscribe(named(), switchboard.OnReconnect(func(cause error) { causes = append(causes, cause) }))
	var texts []string
	for event, err := range s.Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if texts = append(texts, textOf(event)); len(texts) == 4 {
			break
		}
		if len(texts) > 2 {
			continue
		}
		// Move the subscription while the second event is unfinished. Its acknowledgement then has an old generation.
		if textOf(event) == "two" {
			if _, err := client.Subscriptions.SeekSubscription(testContext(t), &switchboardv1.SeekSubscriptionRequest{
				SubscriptionId: shop,
				Target: &switchboardv1.SeekSubscriptionRequest_Position{
					Position: switchboardv1.StartPosition_START_POSITION_EARLIEST,
				},
			}); err != nil {
				t.Fatal(err)
			}
			wantReason(t, s.Acknowledge(testContext(t), event), codes.FailedPrecondition, "SUBSCRIPTION_GENERATION_STALE")
		}
	}
	wantTexts(t, texts, "one", "two", "one", "two")
	if len(causes) != 1 {
		t.Fatalf("got reconnect causes %v", causes)
	}
	wantReason(t, causes[0], codes.Unavailable, "SUBSCRIPTION_CHANGED")
}

func TestChangedFilterAppliesToOpenLoop(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	createSubscription(t, client)
	injectAll(t, client, "one")
	var received []string
	for event, err := range client.Subscribe(named()).Events(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		if received = append(received, event.GetType()); event.GetType() == "message.accepted" {
			break
		}
		if _, err := client.Subscriptions.UpdateSubscription(testContext(t), &switchboardv1.UpdateSubscriptionRequest{
			Subscription: &switchboardv1.Subscription{
				SubscriptionId: shop, Filter: &switchboardv1.EventFilter{Types: []string{"message.accepted"}},
			},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"filter"}},
		}); err != nil {
			t.Fatal(err)
		}
		injectAll(t, client, "two")
		if _, err := client.Messages.SendMessage(testContext(t), textRequest(connectly, "Hello!")); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(received, []string{"message.received", "message.accepted"}) {
		t.Errorf("got event types %q", received)
	}
}

func TestDeletedSubscriptionEndsLoop(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	createSubscription(t, client)
	injectAll(t, client, "one")
	var errs []error
	for event, err := range client.Subscribe(named()).Events(testContext(t)) {
		if err != nil {
			errs = append(errs, err)
			continue
		}
		if textOf(event) != "one" || len(errs) > 0 {
			t.Errorf("got %q after %v", textOf(event), errs)
		}
		if _, err := client.Subscriptions.DeleteSubscription(testContext(t),
			&switchboardv1.DeleteSubscriptionRequest{SubscriptionId: shop}); err != nil {
			t.Fatal(err)
		}
	}
	if len(errs) != 1 {
		t.Fatalf("the loop ended with %v", errs)
	}
	wantReason(t, errs[0], codes.NotFound, "SUBSCRIPTION_NOT_FOUND")
}

func TestHeartbeatsReduceLagToZero(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	createSubscription(t, client, "report.*")
	injectAll(t, client, "one", "two")
	if got := getSubscription(t, client, shop); got.GetLagEvents() == 0 {
		t.Fatalf("the subscription has no lag: %v", got)
	}
	ctx, cancel := context.WithCancel(testContext(t))
	defer cancel()
	ended := make(chan error, 1)
	go func() {
		for event, err := range client.Subscribe(named()).Events(ctx) {
			if event != nil {
				err = fmt.Errorf("unexpected event %s", event.GetType())
			}
			ended <- err
			return
		}
	}()
	for getSubscription(t, client, shop).GetLagEvents() > 0 {
		select {
		case err := <-ended:
			t.Fatal(err)
		case <-time.After(50 * time.Millisecond): // Poll again.
		}
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the loop ended with %v", err)
	}
}

func TestEnsureSubscriptionChangesOnlyWhatDiffers(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	ensure := func(labels map[string]string, types ...string) *switchboardv1.Subscription {
		t.Helper()
		ensured, err := client.EnsureSubscription(testContext(t), &switchboardv1.CreateSubscriptionRequest{
			SubscriptionId: shop,
			Subscription:   &switchboardv1.Subscription{Filter: &switchboardv1.EventFilter{Types: types}, Labels: labels},
		})
		if err != nil {
			t.Fatal(err)
		}
		return ensured
	}
	created := ensure(nil, "message.received", "message.status")
	if again := ensure(nil, "message.status", "message.received"); again.GetGeneration() != created.GetGeneration() {
		t.Errorf("an equal subscription got generation %d after %d", again.GetGeneration(), created.GetGeneration())
	}
	labelled := ensure(map[string]string{"team": "shop"}, "message.received", "message.status")
	if labelled.GetGeneration() != created.GetGeneration() || labelled.GetLabels()["team"] != "shop" {
		t.Errorf("got %v", labelled)
	}
	filtered := ensure(map[string]string{"team": "shop"}, "message.*")
	if filtered.GetGeneration() == created.GetGeneration() || !slices.Equal(filtered.GetFilter().GetTypes(), []string{"message.*"}) {
		t.Errorf("got %v", filtered)
	}
	if cleared := ensure(nil); len(cleared.GetFilter().GetTypes()) > 0 || len(cleared.GetLabels()) > 0 {
		t.Errorf("got %v", cleared)
	}
}
