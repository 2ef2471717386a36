package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.ByteString;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthCheckResponse.ServingStatus;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.reflection.v1.ServerReflectionGrpc;
import io.grpc.reflection.v1.ServerReflectionRequest;
import io.grpc.reflection.v1.ServerReflectionResponse;
import io.grpc.stub.StreamObserver;
import java.io.ByteArrayInputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Iterator;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentSkipListSet;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.MethodOrderer;
import org.junit.jupiter.api.Order;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestMethodOrder;
import org.junit.jupiter.api.io.TempDir;
import switchboard.sandbox.v1.InjectMessageRequest;
import switchboard.v1.AcknowledgeRequest;
import switchboard.v1.Contact;
import switchboard.v1.CreateContactRequest;
import switchboard.v1.CreateSubscriptionRequest;
import switchboard.v1.CreateWebhookRegistrationRequest;
import switchboard.v1.DeleteContactRequest;
import switchboard.v1.DeleteSubscriptionRequest;
import switchboard.v1.DeleteWebhookRegistrationRequest;
import switchboard.v1.Event;
import switchboard.v1.EventFilter;
import switchboard.v1.GetAccountRequest;
import switchboard.v1.GetConversationRequest;
import switchboard.v1.GetMessageRequest;
import switchboard.v1.GetSubscriptionRequest;
import switchboard.v1.GetTemplateRequest;
import switchboard.v1.HeaderMedia;
import switchboard.v1.ListAccountsRequest;
import switchboard.v1.ListContactsRequest;
import switchboard.v1.ListEventsRequest;
import switchboard.v1.ListFlowResponsesRequest;
import switchboard.v1.ListMessagesRequest;
import switchboard.v1.ListSubscriptionsRequest;
import switchboard.v1.ListTemplatesRequest;
import switchboard.v1.ListWebhookRegistrationsRequest;
import switchboard.v1.MediaHeader;
import switchboard.v1.Message;
import switchboard.v1.MessageServiceGrpc;
import switchboard.v1.MessageState;
import switchboard.v1.OnConflict;
import switchboard.v1.Parameter;
import switchboard.v1.Reason;
import switchboard.v1.SeekSubscriptionRequest;
import switchboard.v1.SendMediaResponse;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.SendMessagesRequest;
import switchboard.v1.SendMessagesResponse;
import switchboard.v1.StartPosition;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.Subscription;
import switchboard.v1.TemplateButton;
import switchboard.v1.TemplateHeader;
import switchboard.v1.TemplateMessage;
import switchboard.v1.Text;
import switchboard.v1.UpdateContactRequest;
import switchboard.v1.UpdateSubscriptionRequest;
import switchboard.v1.UpdateWebhookRegistrationRequest;
import switchboard.v1.UploadTemplateMediaHeader;
import switchboard.v1.VerifyWebhookSignatureRequest;
import switchboard.v1.WatchEndReason;
import switchboard.v1.WatchMessageRequest;
import switchboard.v1.WatchMessageResponse;
import switchboard.v1.WebhookRegistration;
import switchboard.v1.WebhookRegistrationTopic;
import switchboard.v1.WebhookSignatureCheck;

/** Calls every RPC of the contract once, with the real server. */
@TestMethodOrder(MethodOrderer.OrderAnnotation.class)
class EveryRpcTest {
    private static final String CONNECTBY = "demo-connectby";
    private static final String CONNECTLY = "demo-connectly";
    private static final String CUSTOMER = "+15550100001";
    private static final Duration LONG = Duration.ofSeconds(20);

    /** An image of one pixel. */
    private static final byte[] PICTURE = Base64.getDecoder()
            .decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==");

    /** The methods that succeeded. */
    private static final Set<String> SUCCEEDED = new ConcurrentSkipListSet<>();

    private static Sandbox sandbox;
    private static SwitchboardClient client;

    @BeforeAll
    static void start() throws Exception {
        sandbox = Sandbox.start();
        client = sandbox.client(channel -> channel.intercept(new Recorder()));
    }

    @AfterAll
    static void stop() {
        client.close();
        sandbox.close();
    }

    @Test
    void accounts() {
        var accounts = client.accounts()
                .withDeadlineAfter(LONG)
                .listAccounts(ListAccountsRequest.getDefaultInstance())
                .getAccountsList();
        assertEquals(
                List.of(CONNECTBY, CONNECTLY),
                accounts.stream().map(account -> account.getAccount()).toList());

        var account = client.accounts()
                .withDeadlineAfter(LONG)
                .getAccount(GetAccountRequest.newBuilder().setAccount(CONNECTLY).build())
                .getAccount();
        assertTrue(account.getCapabilities().getReportsStatuses());
    }

    @Test
    void contacts() {
        var contacts = client.contacts().withDeadlineAfter(LONG);
        var created = contacts.createContact(CreateContactRequest.newBuilder()
                .setAccount(CONNECTBY)
                .setContact(Contact.newBuilder()
                        .setName("Asha Rao")
                        .setCountryCode("91")
                        .setPhoneNumber("9812345670"))
                .build());
        assertEquals("Asha Rao", created.getContact().getName());
        String id = created.getContact().getContactId();
        assertFalse(id.isEmpty());

        contacts.updateContact(UpdateContactRequest.newBuilder()
                .setAccount(CONNECTBY)
                .setContact(Contact.newBuilder().setContactId(id).setName("Asha R. Rao"))
                .build());
        assertEquals(List.of("Asha R. Rao"), names(id));
        contacts.deleteContact(DeleteContactRequest.newBuilder()
                .setAccount(CONNECTBY)
                .setContactId(id)
                .build());
        assertEquals(List.of(), names(id));
    }

    /** Returns the names of the contacts with this id, from all pages. */
    private static List<String> names(String id) {
        List<String> names = new ArrayList<>();
        String page = "";
        do {
            var response = client.contacts()
                    .withDeadlineAfter(LONG)
                    .listContacts(ListContactsRequest.newBuilder()
                            .setAccount(CONNECTBY)
                            .setPageToken(page)
                            .build());
            response.getContactsList().stream()
                    .filter(contact -> contact.getContactId().equals(id))
                    .forEach(contact -> names.add(contact.getName()));
            page = response.getNextPageToken();
        } while (!page.isEmpty());
        return names;
    }

    @Test
    void flows() {
        var response = client.flows()
                .withDeadlineAfter(LONG)
                .listFlowResponses(ListFlowResponsesRequest.newBuilder()
                        .setAccount(CONNECTBY)
                        .build());
        assertEquals("Asha", response.getFlowResponses(0).getAnswersMap().get("screen_0_Name_0"));
    }

    @Test
    void templates() {
        var templates = client.templates().withDeadlineAfter(LONG);
        var listed = templates.listTemplates(
                ListTemplatesRequest.newBuilder().setAccount(CONNECTBY).build());
        assertTrue(listed.getTemplatesCount() > 0);
        var template = templates
                .getTemplate(GetTemplateRequest.newBuilder()
                        .setAccount(CONNECTLY)
                        .setName("order_update")
                        .setLanguage("en")
                        .build())
                .getTemplate();
        assertEquals("order_update", template.getName());
    }

    @Test
    void templateWithUploadedPictureIsSent() {
        var uploaded = client.uploadTemplateMedia(
                UploadTemplateMediaHeader.newBuilder().setAccount(CONNECTBY).build(), Upload.of(PICTURE), LONG);
        assertTrue(uploaded.getUrl().endsWith(".png"), uploaded.getUrl());

        var sent = client.messages()
                .withDeadlineAfter(LONG)
                .sendMessage(SendMessageRequest.newBuilder()
                        .setAccount(CONNECTBY)
                        .setTo(CUSTOMER)
                        .setTemplate(TemplateMessage.newBuilder()
                                .setName("summer_sale")
                                .setLanguage("en_US")
                                .setHeader(TemplateHeader.newBuilder()
                                        .setImage(HeaderMedia.newBuilder().setUrl(uploaded.getUrl())))
                                .addBody(Parameter.newBuilder().setText("Asha"))
                                .addButtons(
                                        TemplateButton.newBuilder().setIndex(1).setUrlSuffix("summer")))
                        .build());
        assertEquals(MessageState.MESSAGE_STATE_ACCEPTED, sent.getMessage().getState());
    }

    @Test
    void messages() {
        var messages = client.messages().withDeadlineAfter(LONG);
        Message sent = messages.sendMessage(text(CONNECTBY, "").build()).getMessage();
        assertEquals(MessageState.MESSAGE_STATE_ACCEPTED, sent.getState());
        assertFalse(sent.getRequestId().isEmpty(), "the client generated an id");

        Message got = messages.getMessage(GetMessageRequest.newBuilder()
                        .setAccount(CONNECTBY)
                        .setRequestId(sent.getRequestId())
                        .build())
                .getMessage();
        assertEquals(sent.getMessageId(), got.getMessageId());

        var listed = messages.listMessages(
                ListMessagesRequest.newBuilder().setAccount(CONNECTBY).build());
        assertTrue(
                listed.getMessagesList().stream().anyMatch(m -> m.getMessageId().equals(sent.getMessageId())));

        Iterator<WatchMessageResponse> watched = messages.watchMessage(WatchMessageRequest.newBuilder()
                .setAccount(CONNECTBY)
                .setMessageId(sent.getMessageId())
                .build());
        assertEquals(sent.getMessageId(), watched.next().getMessage().getMessageId());
        assertEquals(
                WatchEndReason.WATCH_END_REASON_NOT_TRACKED,
                watched.next().getEnded().getReason());
        assertFalse(watched.hasNext());
    }

    @Test
    void repeatedRequestIdReturnsTheFirstMessage() {
        var request = text(CONNECTLY, "order-77").build();
        var messages = client.messages().withDeadlineAfter(LONG);
        var first = messages.sendMessage(request);
        var second = messages.sendMessage(request);
        assertTrue(second.getReplayed());
        assertEquals(first.getMessage().getMessageId(), second.getMessage().getMessageId());
    }

    @Test
    void media(@TempDir Path folder) throws Exception {
        byte[] letter = "Dear Ada, thank you.\n".repeat(50_000).getBytes(StandardCharsets.UTF_8);
        Path file = Files.write(folder.resolve("letter.txt"), letter);
        MediaHeader header = MediaHeader.newBuilder()
                .setAccount(CONNECTBY)
                .setTo(CUSTOMER)
                .setFileName("letter.txt")
                .setRequestId("letter-1")
                .build();
        SendMediaResponse first = client.sendMedia(header, Upload.of(letter), LONG);
        assertEquals(MessageState.MESSAGE_STATE_ACCEPTED, first.getMessage().getState());
        // The same bytes from another source are the same request, which proves that each source is sent completely.
        SendMediaResponse second = client.sendMedia(header, Upload.of(new ByteArrayInputStream(letter)), LONG);
        assertTrue(second.getReplayed());
        assertTrue(client.sendMedia(header, Upload.of(file), LONG).getReplayed());
    }

    @Test
    void sendMessagesAnswersEveryMessage() throws Exception {
        Collector<SendMessagesResponse> answers = new Collector<>();
        StreamObserver<SendMessagesRequest> stream =
                MessageServiceGrpc.newStub(client.channel()).sendMessages(answers);
        for (int i = 0; i < 20; i++) {
            stream.onNext(SendMessagesRequest.newBuilder()
                    .setTag("tag-" + i)
                    .setRequest(text(CONNECTLY, "many-" + i))
                    .build());
        }
        stream.onNext(SendMessagesRequest.newBuilder()
                .setTag("wrong")
                .setRequest(text(CONNECTLY, "invalid").setTo("unknown"))
                .build());
        stream.onCompleted();

        Set<String> answered = new TreeSet<>();
        for (SendMessagesResponse answer : answers.await()) {
            if (answer.hasResponse()) {
                answered.add(answer.getTag());
                continue;
            }
            assertEquals("wrong", answer.getTag());
            SwitchboardException e = SwitchboardException.of(answer.getFailure());
            assertEquals(Status.Code.INVALID_ARGUMENT, e.getCode());
            assertEquals("REQUEST_INVALID", e.getReason());
            assertEquals("to", e.getFieldViolations().get(0).getField());
        }
        assertEquals(20, answered.size());
    }

    @Test
    void conversationAndEvents() {
        String customer = "+15550100044";
        inject(customer, "Do you deliver on Sundays?");
        var conversation = client.conversations()
                .withDeadlineAfter(LONG)
                .getConversation(GetConversationRequest.newBuilder()
                        .setAccount(CONNECTLY)
                        .setCustomer(customer)
                        .build())
                .getConversation();
        assertTrue(conversation.getSessionOpen());

        EventFilter received =
                EventFilter.newBuilder().addTypes("message.received").build();
        var page = client.events()
                .withDeadlineAfter(LONG)
                .listEvents(ListEventsRequest.newBuilder()
                        .setPosition(StartPosition.START_POSITION_EARLIEST)
                        .setFilter(received)
                        .build());
        List<String> seen = new ArrayList<>();
        try (EventStream events = client.subscribe(SubscribeRequest.newBuilder()
                .setPosition(StartPosition.START_POSITION_EARLIEST)
                .setFilter(received)
                .setMaxEvents(page.getEventsCount())
                .build())) {
            for (Event event : events) {
                seen.add(event.getEventId());
            }
        }
        assertTrue(page.getEventsCount() > 0);
        assertEquals(page.getEventsList().stream().map(Event::getEventId).toList(), seen);
    }

    @Test
    void subscriptions() {
        var subscriptions = client.subscriptions().withDeadlineAfter(LONG);
        String id = "billing";
        var made = subscriptions
                .createSubscription(CreateSubscriptionRequest.newBuilder()
                        .setSubscriptionId(id)
                        .setPosition(StartPosition.START_POSITION_EARLIEST)
                        .build())
                .getSubscription();
        assertEquals(1, made.getGeneration());
        inject("+15550100045", "Where is my order?");
        inject("+15550100045", "Hello?");

        var updated = subscriptions
                .updateSubscription(UpdateSubscriptionRequest.newBuilder()
                        .setSubscription(Subscription.newBuilder()
                                .setSubscriptionId(id)
                                .setFilter(EventFilter.newBuilder().addTypes("message.received")))
                        .build())
                .getSubscription();
        assertEquals(2, updated.getGeneration());
        Event first;
        try (EventStream stream = client.subscribe(
                SubscribeRequest.newBuilder().setSubscriptionId(id).build())) {
            first = stream.iterator().next();
        }
        assertEquals(made.getCursor(), subscription(id).getCursor(), "it was not acknowledged");
        var acknowledged = subscriptions.acknowledge(AcknowledgeRequest.newBuilder()
                .setSubscriptionId(id)
                .setCursor(first.getCursor())
                .setGeneration(2)
                .build());
        assertEquals(first.getCursor(), acknowledged.getCursor());
        assertEquals(first.getCursor(), subscription(id).getCursor());

        var sought = subscriptions
                .seekSubscription(SeekSubscriptionRequest.newBuilder()
                        .setSubscriptionId(id)
                        .setPosition(StartPosition.START_POSITION_LATEST)
                        .build())
                .getSubscription();
        assertTrue(sought.hasLagEvents());
        assertEquals(0, sought.getLagEvents());
        assertEquals(3, sought.getGeneration());
        assertEquals(
                List.of(id),
                subscriptions
                        .listSubscriptions(ListSubscriptionsRequest.getDefaultInstance())
                        .getSubscriptionsList()
                        .stream()
                        .map(Subscription::getSubscriptionId)
                        .toList());
        subscriptions.deleteSubscription(
                DeleteSubscriptionRequest.newBuilder().setSubscriptionId(id).build());
        assertEquals(
                "SUBSCRIPTION_NOT_FOUND",
                SwitchboardException.of(assertThrows(StatusRuntimeException.class, () -> subscription(id)))
                        .getReason());
    }

    private static Subscription subscription(String id) {
        return client.subscriptions()
                .withDeadlineAfter(LONG)
                .getSubscription(GetSubscriptionRequest.newBuilder()
                        .setSubscriptionId(id)
                        .build())
                .getSubscription();
    }

    @Test
    void webhookRegistrations() {
        var registrations = client.webhookRegistrations().withDeadlineAfter(LONG);
        var request = CreateWebhookRegistrationRequest.newBuilder()
                .setAccount(CONNECTLY)
                .setWebhookRegistration(WebhookRegistration.newBuilder()
                        .setTopic(WebhookRegistrationTopic.WEBHOOK_REGISTRATION_TOPIC_REPORT)
                        .setAddress("https://hooks.example.com/reports"));
        var created = registrations.createWebhookRegistration(
                request.setOnConflict(OnConflict.ON_CONFLICT_REPLACE).build());
        String id = created.getWebhookRegistration().getWebhookRegistrationId();
        var second = request.setOnConflict(OnConflict.ON_CONFLICT_FAIL).build();
        SwitchboardException e = SwitchboardException.of(
                assertThrows(StatusRuntimeException.class, () -> registrations.createWebhookRegistration(second)));
        assertEquals(Reason.REASON_WEBHOOK_REGISTRATION_EXISTS, Reasons.parse(e.getReason()));
        assertEquals(id, e.getMetadata().get("webhook_registration_id"));

        registrations.updateWebhookRegistration(UpdateWebhookRegistrationRequest.newBuilder()
                .setAccount(CONNECTLY)
                .setWebhookRegistration(WebhookRegistration.newBuilder()
                        .setWebhookRegistrationId(id)
                        .setAddress("https://hooks.example.com/new"))
                .build());
        assertEquals("https://hooks.example.com/new", address(id));
        registrations.deleteWebhookRegistration(DeleteWebhookRegistrationRequest.newBuilder()
                .setAccount(CONNECTLY)
                .setWebhookRegistrationId(id)
                .build());
        assertEquals("", address(id));

        var verified = registrations.verifyWebhookSignature(VerifyWebhookSignatureRequest.newBuilder()
                .setAccount(CONNECTLY)
                .setBody(ByteString.copyFromUtf8("{}"))
                .setSignature("AAAA")
                .build());
        assertEquals(WebhookSignatureCheck.WEBHOOK_SIGNATURE_CHECK_SIGNATURE_FORMAT, verified.getFailedCheck());
    }

    private static String address(String id) {
        return client
                .webhookRegistrations()
                .withDeadlineAfter(LONG)
                .listWebhookRegistrations(ListWebhookRegistrationsRequest.newBuilder()
                        .setAccount(CONNECTLY)
                        .build())
                .getWebhookRegistrationsList()
                .stream()
                .filter(registration -> registration.getWebhookRegistrationId().equals(id))
                .map(registration -> registration.getAddress())
                .findAny()
                .orElse("");
    }

    @Test
    void health() {
        var health = HealthGrpc.newBlockingStub(client.channel()).withDeadlineAfter(LONG);
        assertEquals(
                ServingStatus.SERVING,
                health.check(HealthCheckRequest.newBuilder()
                                .setService("switchboard.v1.MessageService")
                                .build())
                        .getStatus());
    }

    @Test
    void reflection() throws Exception {
        Collector<ServerReflectionResponse> answers = new Collector<>();
        var asking = ServerReflectionGrpc.newStub(client.channel()).serverReflectionInfo(answers);
        asking.onNext(ServerReflectionRequest.newBuilder().setListServices("").build());
        asking.onCompleted();
        List<String> served = answers.await().get(0).getListServicesResponse().getServiceList().stream()
                .map(service -> service.getName())
                .filter(name -> name.startsWith("switchboard.v1."))
                .toList();
        assertEquals(
                FakeServer.SERVICES.stream().map(service -> service.getName()).toList(),
                served.stream().sorted().toList());
    }

    @Test
    @Order(Integer.MAX_VALUE)
    void everyRpcIsCalled() {
        Set<String> all = new TreeSet<>();
        for (Contract.Rpc rpc : Contract.rpcs()) {
            all.add(rpc.fullName());
        }
        all.removeAll(SUCCEEDED);
        assertEquals(Set.of(), all, "methods that were not called or did not succeed");
    }

    private static SendMessageRequest.Builder text(String account, String requestId) {
        return SendMessageRequest.newBuilder()
                .setAccount(account)
                .setTo(CUSTOMER)
                .setRequestId(requestId)
                .setText(Text.newBuilder().setBody("Hello!"));
    }

    private static void inject(String customer, String text) {
        var injected = Sandbox.faults(client)
                .injectMessage(InjectMessageRequest.newBuilder()
                        .setAccount(CONNECTLY)
                        .setSender(customer)
                        .setText(text)
                        .build());
        assertEquals(200, injected.getWebhookStatus());
    }

    /** Records the methods that ended with OK. */
    private static final class Recorder implements ClientInterceptor {
        @Override
        public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
            return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
                @Override
                public void start(Listener<R> listener, Metadata headers) {
                    super.start(
                            new SimpleForwardingClientCallListener<>(listener) {
                                @Override
                                public void onClose(Status status, Metadata trailers) {
                                    if (status.isOk()) {
                                        SUCCEEDED.add(method.getFullMethodName());
                                    }
                                    super.onClose(status, trailers);
                                }
                            },
                            headers);
                }
            };
        }
    }

    /** Returns all responses of a stream. */
    private static final class Collector<T> implements StreamObserver<T> {
        private final List<T> messages = new ArrayList<>();
        private final CompletableFuture<List<T>> all = new CompletableFuture<>();

        List<T> await() throws Exception {
            return all.get(20, TimeUnit.SECONDS);
        }

        @Override
        public void onNext(T message) {
            messages.add(message);
        }

        @Override
        public void onError(Throwable e) {
            all.completeExceptionally(e);
        }

        @Override
        public void onCompleted() {
            all.complete(messages);
        }
    }
}
