package e2e

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/fieldmaskpb"

	"switchboard.example/go/switchboard"
	sandboxv1 "switchboard.example/go/switchboard/sandbox/v1"
	switchboardv1 "switchboard.example/go/switchboard/v1"
)

// calledMethods stores the names of the methods that were called successfully.
type calledMethods struct {
	mu    sync.Mutex
	names map[string]bool
}

func (c *calledMethods) add(method string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[method] = true
}

func (c *calledMethods) option() switchboard.Option {
	return switchboard.WithDialOptions(
		grpc.WithChainUnaryInterceptor(func(
			ctx context.Context, method string, request, response any,
			conn *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption,
		) error {
			err := invoke(ctx, method, request, response, conn, options...)
			if err == nil {
				c.add(method)
			}
			return err
		}),
		grpc.WithChainStreamInterceptor(func(
			ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
			open grpc.Streamer, options ...grpc.CallOption,
		) (grpc.ClientStream, error) {
			stream, err := open(ctx, desc, conn, method, options...)
			return &recordedStream{ClientStream: stream, onMessage: func() { c.add(method) }}, err
		}),
	)
}

type recordedStream struct {
	grpc.ClientStream
	onMessage func()
}

func (s *recordedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil {
		s.onMessage()
	}
	return err
}

// picture returns a small PNG; each number gives a different one.
func picture(t *testing.T, number int) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := png.Encode(&file, image.NewGray(image.Rect(0, 0, 1+number, 1))); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// Calls every RPC of the contract successfully.
func TestEveryRPCSucceeds(t *testing.T) {
	calls := &calledMethods{names: map[string]bool{}}
	client := connect(t, startSandbox(t).address, calls.option())

	t.Run("Accounts", func(t *testing.T) {
		list, err := client.Accounts.ListAccounts(testContext(t), &switchboardv1.ListAccountsRequest{})
		if err != nil || len(list.GetAccounts()) != 2 || list.GetAccounts()[0].GetAccount() != connectby {
			t.Fatalf("got %v, %v", list, err)
		}
		got, err := client.Accounts.GetAccount(testContext(t), &switchboardv1.GetAccountRequest{Account: connectly})
		if err != nil || got.GetAccount().GetProvider() != switchboardv1.Provider_PROVIDER_CONNECTLY ||
			!got.GetAccount().GetCapabilities().GetReceivesMessages() {
			t.Errorf("got %v, %v", got, err)
		}
	})

	t.Run("Contacts", func(t *testing.T) {
		created, err := client.Contacts.CreateContact(testContext(t), &switchboardv1.CreateContactRequest{
			Account: connectby,
			Contact: &switchboardv1.Contact{Name: "Asha Rao", CountryCode: "91", PhoneNumber: "98123 45670"},
		})
		if err != nil || created.GetContact().GetContactId() == "" || created.GetReplayed() {
			t.Fatalf("got %v, %v", created, err)
		}
		id := created.GetContact().GetContactId()
		if _, err := client.Contacts.UpdateContact(testContext(t), &switchboardv1.UpdateContactRequest{
			Account: connectby, Contact: &switchboardv1.Contact{ContactId: id, Name: "Asha R. Rao"},
			UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"name"}},
		}); err != nil {
			t.Error(err)
		}
		if name := contactNames(t, client)[id]; name != "Asha R. Rao" {
			t.Errorf("the contact's name is %q", name)
		}
		if _, err := client.Contacts.DeleteContact(testContext(t), &switchboardv1.DeleteContactRequest{
			Account: connectby, ContactId: id,
		}); err != nil {
			t.Error(err)
		}
		if name, ok := contactNames(t, client)[id]; ok {
			t.Errorf("the contact %q is still there", name)
		}
	})

	t.Run("Flows", func(t *testing.T) {
		list, err := client.Flows.ListFlowResponses(testContext(t), &switchboardv1.ListFlowResponsesRequest{Account: connectby})
		if err != nil || len(list.GetFlowResponses()) == 0 || list.GetFlowResponses()[0].GetFlowId() == "" {
			t.Errorf("got %v, %v", list, err)
		}
	})

	t.Run("Templates", func(t *testing.T) {
		list, err := client.Templates.ListTemplates(testContext(t), &switchboardv1.ListTemplatesRequest{Account: connectby})
		if err != nil || len(list.GetTemplates()) == 0 {
			t.Fatalf("got %v, %v", list, err)
		}
		got, err := client.Templates.GetTemplate(testContext(t), &switchboardv1.GetTemplateRequest{
			Account: connectly, Name: "order_update", Language: "en",
		})
		if err != nil || got.GetTemplate().GetStatus() != switchboardv1.TemplateStatus_TEMPLATE_STATUS_APPROVED {
			t.Errorf("got %v, %v", got, err)
		}
		uploaded, err := client.UploadTemplateMedia(testContext(t),
			&switchboardv1.UploadTemplateMediaHeader{Account: connectby}, bytes.NewReader(picture(t, 0)))
		if err != nil || !strings.HasSuffix(uploaded.GetUrl(), ".png") {
			t.Errorf("got %v, %v", uploaded, err)
		}
	})

	t.Run("SendMessage", func(t *testing.T) {
		sent, err := client.Messages.SendMessage(testContext(t), textRequest(connectly, "Hello!"))
		if err != nil || sent.GetReplayed() ||
			sent.GetMessage().GetState() != switchboardv1.MessageState_MESSAGE_STATE_ACCEPTED {
			t.Fatalf("got %v, %v", sent, err)
		}
		id := sent.GetMessage().GetRequestId()
		if len(id) != 36 {
			t.Fatalf("the request_id is %q", id)
		}
		again := textRequest(connectly, "Hello!")
		again.RequestId = id
		replayed, err := client.Messages.SendMessage(testContext(t), again)
		if err != nil || !replayed.GetReplayed() || replayed.GetMessage().GetMessageId() != sent.GetMessage().GetMessageId() {
			t.Errorf("got %v, %v", replayed, err)
		}
		got, err := client.Messages.GetMessage(testContext(t), &switchboardv1.GetMessageRequest{
			Account: connectly, Key: &switchboardv1.GetMessageRequest_RequestId{RequestId: id},
		})
		if err != nil || got.GetMessage().GetMessageId() != sent.GetMessage().GetMessageId() {
			t.Errorf("got %v, %v", got, err)
		}
		list, err := client.Messages.ListMessages(testContext(t), &switchboardv1.ListMessagesRequest{
			Account: connectly, PageSize: 1,
		})
		if err != nil || len(list.GetMessages()) != 1 ||
			list.GetMessages()[0].GetMessageId() != sent.GetMessage().GetMessageId() {
			t.Errorf("got %v, %v", list, err)
		}
		watchToTerminal(t, client, sent.GetMessage().GetMessageId())
	})

	t.Run("SendMedia", func(t *testing.T) {
		// The file spans several chunks and must arrive complete.
		letter := strings.Repeat("Dear Ada, thank you.\n", 30_000)
		sent, err := client.SendMedia(testContext(t), &switchboardv1.MediaHeader{
			Account: connectby, To: customer, FileName: "letter.txt", RequestId: "letter-1",
		}, strings.NewReader(letter))
		if err != nil || sent.GetMessage().GetState() != switchboardv1.MessageState_MESSAGE_STATE_ACCEPTED {
			t.Fatalf("got %v, %v", sent, err)
		}
		// The idempotency check covers the content, so a replay proves that the server received the same bytes twice.
		again, err := client.SendMedia(testContext(t), &switchboardv1.MediaHeader{
			Account: connectby, To: customer, FileName: "letter.txt", RequestId: "letter-1",
		}, io.MultiReader(strings.NewReader(letter[:1]), strings.NewReader(letter[1:])))
		if err != nil || !again.GetReplayed() {
			t.Errorf("got %v, %v", again, err)
		}
	})

	t.Run("SendMessages", func(t *testing.T) { sendMany(t, client) })

	t.Run("Conversation", func(t *testing.T) {
		if err := inject(testContext(t), client, "Do you deliver on Sundays?"); err != nil {
			t.Fatal(err)
		}
		got, err := client.Conversations.GetConversation(testContext(t), &switchboardv1.GetConversationRequest{
			Account: connectly, Customer: customer,
		})
		if err != nil || !got.GetConversation().GetSessionOpen() {
			t.Errorf("got %v, %v", got, err)
		}
	})

	t.Run("WebhookRegistrations", func(t *testing.T) { webhookRegistrations(t, client) })

	t.Run("Events", func(t *testing.T) {
		list, err := client.Events.ListEvents(testContext(t), &switchboardv1.ListEventsRequest{
			Anchor:   &switchboardv1.ListEventsRequest_Position{Position: switchboardv1.StartPosition_START_POSITION_EARLIEST},
			PageSize: 1,
		})
		if err != nil || len(list.GetEvents()) != 1 {
			t.Fatalf("got %v, %v", list, err)
		}
		request := &switchboardv1.SubscribeRequest{
			Start:     &switchboardv1.SubscribeRequest_Position{Position: switchboardv1.StartPosition_START_POSITION_EARLIEST},
			MaxEvents: 1,
		}
		stream := client.Subscribe(request)
		for event, err := range stream.Events(testContext(t)) {
			if err != nil || event.GetEventId() != list.GetEvents()[0].GetEventId() {
				t.Errorf("got %v, %v", event, err)
			}
		}
		if stream.Cursor() != list.GetEvents()[0].GetCursor() {
			t.Errorf("the cursor is %q", stream.Cursor())
		}
	})

	t.Run("Subscriptions", func(t *testing.T) { subscriptions(t, client) })

	services := 0
	protoregistry.GlobalFiles.RangeFilesByPackage("switchboard.v1", func(file protoreflect.FileDescriptor) bool {
		for s := range file.Services().Len() {
			service := file.Services().Get(s)
			services++
			for m := range service.Methods().Len() {
				name := fmt.Sprintf("/%s/%s", service.FullName(), service.Methods().Get(m).Name())
				if !calls.names[name] {
					t.Errorf("no test called %s successfully", name)
				}
			}
		}
		return true
	})
	if services != 9 {
		t.Errorf("there are %d services; Client has fields for 9", services)
	}
}

// contactNames returns the names of all contacts by id.
func contactNames(t *testing.T, client *switchboard.Client) map[string]string {
	t.Helper()
	names := map[string]string{}
	request := &switchboardv1.ListContactsRequest{Account: connectby}
	for {
		list, err := client.Contacts.ListContacts(testContext(t), request)
		if err != nil {
			t.Fatal(err)
		}
		for _, contact := range list.GetContacts() {
			names[contact.GetContactId()] = contact.GetName()
		}
		if request.PageToken = list.GetNextPageToken(); request.PageToken == "" {
			return names
		}
	}
}

// stateOrder is the place of a state in the contract's order of states, which is not the order of the numbers.
func stateOrder(t *testing.T, state switchboardv1.MessageState) int {
	t.Helper()
	order := slices.Index([]switchboardv1.MessageState{
		switchboardv1.MessageState_MESSAGE_STATE_UNSPECIFIED,
		switchboardv1.MessageState_MESSAGE_STATE_PENDING,
		switchboardv1.MessageState_MESSAGE_STATE_UNKNOWN,
		switchboardv1.MessageState_MESSAGE_STATE_ACCEPTED,
		switchboardv1.MessageState_MESSAGE_STATE_SENT,
		switchboardv1.MessageState_MESSAGE_STATE_FAILED,
		switchboardv1.MessageState_MESSAGE_STATE_DELIVERED,
		switchboardv1.MessageState_MESSAGE_STATE_READ,
	}, state)
	if order < 0 {
		t.Errorf("unexpected state %v", state)
	}
	return order
}

func watchToTerminal(t *testing.T, client *switchboard.Client, id string) {
	t.Helper()
	stream, err := client.Messages.WatchMessage(testContext(t), &switchboardv1.WatchMessageRequest{
		Account: connectly, Key: &switchboardv1.WatchMessageRequest_MessageId{MessageId: id},
	})
	if err != nil {
		t.Fatal(err)
	}
	state := switchboardv1.MessageState_MESSAGE_STATE_UNSPECIFIED
	ended := false
	for {
		response, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if message := response.GetMessage(); message != nil {
			if stateOrder(t, message.GetState()) < stateOrder(t, state) {
				t.Errorf("the state went back from %v to %v", state, message.GetState())
			}
			state = message.GetState()
		}
		if reason := response.GetEnded().GetReason(); reason != switchboardv1.WatchEndReason_WATCH_END_REASON_UNSPECIFIED {
			ended = reason == switchboardv1.WatchEndReason_WATCH_END_REASON_TERMINAL
		}
	}
	if state != switchboardv1.MessageState_MESSAGE_STATE_READ || !ended {
		t.Errorf("the last state is %v, ended: %v", state, ended)
	}
}

func sendMany(t *testing.T, client *switchboard.Client) {
	t.Helper()
	stream, err := client.Messages.SendMessages(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	bad := textRequest(connectly, "Hello!")
	bad.To = "nobody"
	for tag, request := range map[string]*switchboardv1.SendMessageRequest{"good": textRequest(connectly, "Hello!"), "bad": bad} {
		if err := stream.Send(&switchboardv1.SendMessagesRequest{Tag: tag, Request: request}); err != nil {
			t.Fatal(err)
		}
	}
	if err := stream.CloseSend(); err != nil {
		t.Fatal(err)
	}
	answers := map[string]*switchboardv1.SendMessagesResponse{}
	for {
		answer, err := stream.Recv()
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		answers[answer.GetTag()] = answer
	}
	if answers["good"].GetResponse().GetMessage().GetMessageId() == "" {
		t.Errorf("got response %v", answers["good"])
	}
	wantInvalid(t, switchboard.ErrorFrom(answers["bad"].GetFailure()), "to", "MALFORMED")
}

func webhookRegistrations(t *testing.T, client *switchboard.Client) {
	t.Helper()
	created, err := client.WebhookRegistrations.CreateWebhookRegistration(testContext(t),
		&switchboardv1.CreateWebhookRegistrationRequest{
			Account: connectly,
			WebhookRegistration: &switchboardv1.WebhookRegistration{
				Topic:   switchboardv1.WebhookRegistrationTopic_WEBHOOK_REGISTRATION_TOPIC_REPORT,
				Address: "https://hooks.example.com/reports",
			},
		})
	if err != nil {
		t.Fatal(err)
	}
	id, address := created.GetWebhookRegistration().GetWebhookRegistrationId(), "https://hooks.example.com/new"
	if _, err := client.WebhookRegistrations.UpdateWebhookRegistration(testContext(t),
		&switchboardv1.UpdateWebhookRegistrationRequest{
			Account:             connectly,
			WebhookRegistration: &switchboardv1.WebhookRegistration{WebhookRegistrationId: id, Address: address},
			UpdateMask:          &fieldmaskpb.FieldMask{Paths: []string{"address"}},
		}); err != nil {
		t.Fatal(err)
	}
	list, err := client.WebhookRegistrations.ListWebhookRegistrations(testContext(t),
		&switchboardv1.ListWebhookRegistrationsRequest{Account: connectly})
	if err != nil {
		t.Fatal(err)
	}
	found := ""
	for _, registration := range list.GetWebhookRegistrations() {
		if registration.GetWebhookRegistrationId() == id {
			found = registration.GetAddress()
		}
	}
	if found != address {
		t.Errorf("the address is %q", found)
	}
	if _, err := client.WebhookRegistrations.DeleteWebhookRegistration(testContext(t),
		&switchboardv1.DeleteWebhookRegistrationRequest{Account: connectly, WebhookRegistrationId: id}); err != nil {
		t.Error(err)
	}
	verified, err := client.WebhookRegistrations.VerifyWebhookSignature(testContext(t),
		&switchboardv1.VerifyWebhookSignatureRequest{Account: connectly, Body: []byte("{}"), Signature: "AAAA"})
	if err != nil || verified.GetValid() ||
		verified.GetFailedCheck() != switchboardv1.WebhookSignatureCheck_WEBHOOK_SIGNATURE_CHECK_SIGNATURE_FORMAT {
		t.Errorf("got %v, %v", verified, err)
	}
}

func subscriptions(t *testing.T, client *switchboard.Client) {
	t.Helper()
	const name = "every-call"
	create := func() error {
		_, err := client.Subscriptions.CreateSubscription(testContext(t), &switchboardv1.CreateSubscriptionRequest{
			SubscriptionId: name,
			Subscription: &switchboardv1.Subscription{
				Filter: &switchboardv1.EventFilter{Types: []string{"message.received"}},
			},
			Start: &switchboardv1.CreateSubscriptionRequest_Position{
				Position: switchboardv1.StartPosition_START_POSITION_EARLIEST,
			},
		})
		return err
	}
	if err := create(); err != nil {
		t.Fatal(err)
	}
	wantReason(t, create(), codes.AlreadyExists, "SUBSCRIPTION_EXISTS")
	first := getSubscription(t, client, name)
	if first.GetGeneration() != 1 || first.GetLagEvents() == 0 {
		t.Errorf("got %v", first)
	}
	list, err := client.Subscriptions.ListSubscriptions(testContext(t), &switchboardv1.ListSubscriptionsRequest{})
	if err != nil || len(list.GetSubscriptions()) != 1 || list.GetSubscriptions()[0].GetSubscriptionId() != name {
		t.Errorf("got %v, %v", list, err)
	}
	updated, err := client.Subscriptions.UpdateSubscription(testContext(t), &switchboardv1.UpdateSubscriptionRequest{
		Subscription: &switchboardv1.Subscription{
			SubscriptionId: name, Filter: &switchboardv1.EventFilter{Accounts: []string{connectly}},
		},
		UpdateMask: &fieldmaskpb.FieldMask{Paths: []string{"filter"}},
	})
	if err != nil || updated.GetSubscription().GetGeneration() != 2 ||
		!slices.Equal(updated.GetSubscription().GetFilter().GetAccounts(), []string{connectly}) {
		t.Errorf("got %v, %v", updated, err)
	}
	sought, err := client.Subscriptions.SeekSubscription(testContext(t), &switchboardv1.SeekSubscriptionRequest{
		SubscriptionId: name,
		Target: &switchboardv1.SeekSubscriptionRequest_Position{
			Position: switchboardv1.StartPosition_START_POSITION_EARLIEST,
		},
	})
	if err != nil || sought.GetSubscription().GetGeneration() != 3 {
		t.Errorf("got %v, %v", sought, err)
	}
	events, err := client.Events.ListEvents(testContext(t), &switchboardv1.ListEventsRequest{PageSize: 1})
	if err != nil {
		t.Fatal(err)
	}
	request := &switchboardv1.AcknowledgeRequest{SubscriptionId: name, Cursor: events.GetNextCursor(), Generation: 2}
	_, err = client.Subscriptions.Acknowledge(testContext(t), request)
	wantReason(t, err, codes.FailedPrecondition, "SUBSCRIPTION_GENERATION_STALE")
	request.Generation = 3
	acknowledged, err := client.Subscriptions.Acknowledge(testContext(t), request)
	if err != nil || acknowledged.GetCursor() != events.GetNextCursor() {
		t.Errorf("got %v, %v", acknowledged, err)
	}
	if got := getSubscription(t, client, name); got.GetCursor() != events.GetNextCursor() || got.GetAcknowledgeTime() == nil {
		t.Errorf("got %v", got)
	}
	remove := func() error {
		_, err := client.Subscriptions.DeleteSubscription(testContext(t), &switchboardv1.DeleteSubscriptionRequest{SubscriptionId: name})
		return err
	}
	if err := remove(); err != nil {
		t.Error(err)
	}
	wantReason(t, remove(), codes.NotFound, "SUBSCRIPTION_NOT_FOUND")
}

func TestHealthAndReflectionAreServed(t *testing.T) {
	client := connect(t, startSandbox(t).address)
	health, err := grpc_health_v1.NewHealthClient(client.Conn()).Check(testContext(t),
		&grpc_health_v1.HealthCheckRequest{Service: switchboardv1.EventService_ServiceDesc.ServiceName})
	if err != nil || health.GetStatus() != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("got %v, %v", health, err)
	}

	stream, err := grpc_reflection_v1.NewServerReflectionClient(client.Conn()).ServerReflectionInfo(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_ListServices{},
	}); err != nil {
		t.Fatal(err)
	}
	answer, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	served := map[string]bool{}
	for _, service := range answer.GetListServicesResponse().GetService() {
		served[service.GetName()] = true
	}
	// The generated code must cover exactly the services that the server serves.
	generated := map[string]bool{sandboxv1.SandboxService_ServiceDesc.ServiceName: true}
	protoregistry.GlobalFiles.RangeFilesByPackage("switchboard.v1", func(file protoreflect.FileDescriptor) bool {
		for s := range file.Services().Len() {
			generated[string(file.Services().Get(s).FullName())] = true
		}
		return true
	})
	for name := range served {
		if strings.HasPrefix(name, "switchboard.") && !generated[name] {
			t.Errorf("nothing was generated for %s", name)
		}
	}
	for name := range generated {
		if !served[name] {
			t.Errorf("the server does not serve %s", name)
		}
	}
}
