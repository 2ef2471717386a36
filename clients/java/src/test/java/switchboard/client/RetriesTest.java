package switchboard.client;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertDoesNotThrow;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import com.google.protobuf.Message;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Context;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ClientCalls;
import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Random;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Executors;
import java.util.concurrent.ForkJoinPool;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.MethodSource;
import switchboard.v1.AccountServiceGrpc;
import switchboard.v1.CreateContactRequest;
import switchboard.v1.CreateWebhookRegistrationRequest;
import switchboard.v1.GetAccountRequest;
import switchboard.v1.GetAccountResponse;
import switchboard.v1.MediaHeader;
import switchboard.v1.MessageServiceGrpc;
import switchboard.v1.SendMediaRequest;
import switchboard.v1.SendMediaResponse;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.UploadTemplateMediaHeader;
import switchboard.v1.UploadTemplateMediaRequest;
import switchboard.v1.WatchMessageRequest;

/** Retries, with a server of scripted failures. */
class RetriesTest {
    private static final Duration LONG = Duration.ofSeconds(20);

    private static final Set<String> READS = Set.of(
            "ListAccounts",
            "GetAccount",
            "ListContacts",
            "ListEvents",
            "GetSubscription",
            "ListSubscriptions",
            "ListFlowResponses",
            "GetMessage",
            "GetConversation",
            "ListTemplates",
            "GetTemplate",
            "ListMessages",
            "ListWebhookRegistrations",
            "VerifyWebhookSignature");
    private static final Set<String> REPEATABLE_WRITES =
            Set.of("CreateContact", "SendMessage", "CreateWebhookRegistration");
    private static final Set<String> OTHER_WRITES = Set.of(
            "UpdateContact",
            "DeleteContact",
            "UpdateWebhookRegistration",
            "DeleteWebhookRegistration",
            "CreateSubscription",
            "UpdateSubscription",
            "SeekSubscription",
            "DeleteSubscription",
            "Acknowledge");

    private FakeServer server;
    private SwitchboardClient client;

    @BeforeEach
    void start() throws Exception {
        server = new FakeServer();
        client = client(server.address(), 4);
    }

    @AfterEach
    void stop() {
        client.close();
        server.close();
    }

    private static SwitchboardClient client(String address, int maxAttempts) {
        return SwitchboardClient.builder(address)
                .plaintext()
                .maxAttempts(maxAttempts)
                .connectionTimings(Duration.ofSeconds(10), Duration.ofMillis(20))
                .build();
    }

    private void failFirst(int times, StatusRuntimeException failure) {
        server.failures = number -> number <= times ? failure : null;
    }

    private static StatusRuntimeException unavailable() {
        return FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", -1);
    }

    static Stream<MethodDescriptor<?, ?>> unary() {
        return FakeServer.SERVICES.stream()
                .map(ServiceDescriptor::getMethods)
                .flatMap(methods -> methods.stream())
                .filter(method -> method.getType() == MethodType.UNARY);
    }

    @SuppressWarnings("unchecked") // The marshaller creates the request type of the method.
    private <Q, R> R call(MethodDescriptor<Q, R> method) {
        Q request = ((PrototypeMarshaller<Q>) method.getRequestMarshaller()).getMessagePrototype();
        return ClientCalls.blockingUnaryCall(
                client.channel(), method, CallOptions.DEFAULT.withDeadlineAfter(20, TimeUnit.SECONDS), request);
    }

    /** A parallel stream blocks all threads of the common pool, so retries must not need them. */
    @Test
    void retryWorksWhileTheCommonPoolIsBlocked() {
        int threads = ForkJoinPool.getCommonPoolParallelism();
        assertTrue(threads > 1, "with one thread, Java does not use the pool");
        CountDownLatch all = new CountDownLatch(threads);
        failFirst(threads, unavailable());
        var stub = client.accounts().withDeadlineAfter(LONG);
        var calls = Stream.generate(() -> ForkJoinPool.commonPool().submit(() -> {
                    all.countDown();
                    all.await();
                    return stub.getAccount(GetAccountRequest.getDefaultInstance());
                }))
                .limit(threads)
                .toList();
        calls.forEach(call -> assertDoesNotThrow(() -> call.get(20, TimeUnit.SECONDS)));
        assertEquals(2 * threads, server.calls.size());
    }

    /** Interceptors may block, so an attempt must not run on the thread that the JVM has for all delays. */
    @Test
    void retriedAttemptRunsOnAThreadOfTheClient() {
        List<String> threads = new CopyOnWriteArrayList<>();
        failFirst(1, unavailable());
        try (SwitchboardClient intercepted = SwitchboardClient.builder(server.address())
                .plaintext()
                .configure(channel -> channel.intercept(new ClientInterceptor() {
                    @Override
                    public <Q, R> ClientCall<Q, R> interceptCall(
                            MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
                        threads.add(Thread.currentThread().getName());
                        return next.newCall(method, options);
                    }
                }))
                .build()) {
            intercepted.accounts().withDeadlineAfter(LONG).getAccount(GetAccountRequest.getDefaultInstance());
        }
        assertEquals(List.of(Thread.currentThread().getName(), "switchboard-worker"), threads);
    }

    @ParameterizedTest
    @MethodSource("unary")
    void onlySafeMethodsAreRetried(MethodDescriptor<?, ?> method) {
        failFirst(2, unavailable());
        String name = method.getBareMethodName();
        if (READS.contains(name) || REPEATABLE_WRITES.contains(name)) {
            call(method);
            assertEquals(3, server.calls.size());
            assertEquals(
                    1,
                    Set.copyOf(server.calls.stream()
                                    .map(FakeServer.Call::messages)
                                    .toList())
                            .size());
        } else {
            assertTrue(OTHER_WRITES.contains(name), "unclassified method: " + name);
            var e = assertThrows(StatusRuntimeException.class, () -> call(method));
            assertEquals(Status.Code.UNAVAILABLE, e.getStatus().getCode());
            assertEquals(1, server.calls.size());
        }
        assertEquals(REPEATABLE_WRITES.contains(name), !requestIds().isEmpty(), "only retried writes have an id");
    }

    @ParameterizedTest
    @EnumSource(
            value = Status.Code.class,
            mode = EnumSource.Mode.EXCLUDE,
            names = {"OK", "UNAVAILABLE"})
    void otherCodeThanUnavailableIsNotRetried(Status.Code code) {
        failFirst(1, FakeServer.failure(code, "SCRIPTED", 0));
        var e = assertThrows(StatusRuntimeException.class, this::getAccount);
        assertEquals(code, e.getStatus().getCode());
        assertThrows(StatusRuntimeException.class, () -> {
            failFirst(2, FakeServer.failure(code, "SCRIPTED", 0));
            client.messages().sendMessage(SendMessageRequest.getDefaultInstance());
        });
        assertEquals(2, server.calls.size());
    }

    /** Returns the received values of all fields named request_id. */
    private Set<String> requestIds() {
        Set<String> ids = new HashSet<>();
        for (FakeServer.Call call : server.calls) {
            for (Object message : call.messages()) {
                collect((Message) message, ids);
            }
        }
        return ids;
    }

    private static void collect(Message message, Set<String> ids) {
        message.getAllFields().forEach((field, value) -> {
            if (field.getName().equals("request_id")) {
                ids.add((String) value);
            } else if (value instanceof Message inner) {
                collect(inner, ids);
            }
        });
    }

    @Test
    void missingRequestIdIsGeneratedAndGivenOneIsKept() {
        client.messages().sendMessage(SendMessageRequest.getDefaultInstance());
        client.messages().sendMessage(SendMessageRequest.getDefaultInstance());
        assertEquals(2, requestIds().size());
        failFirst(3, unavailable());
        client.messages()
                .sendMessage(SendMessageRequest.newBuilder()
                        .setRequestId("order-77")
                        .setResendAfterAttempt(1)
                        .build());
        var last = (SendMessageRequest)
                server.calls.get(server.calls.size() - 1).messages().get(0);
        assertEquals("order-77", last.getRequestId());
        assertEquals(1, last.getResendAfterAttempt());
    }

    /** Iterates the contract, so a new request with an id is included. */
    @Test
    void everyRequestWithAnIdFieldGetsAnId() throws Exception {
        List<String> found = new ArrayList<>();
        for (Contract.Rpc rpc : Contract.rpcs()) {
            var input = rpc.method().getInputType();
            if (READS.contains(rpc.method().getName()) || rpc.method().getName().equals("WatchMessage")) {
                continue; // In these requests it looks up a message.
            }
            Message request = (Message) Class.forName("switchboard.v1." + input.getName())
                    .getMethod("getDefaultInstance")
                    .invoke(null);
            var header = input.findFieldByName("header");
            if (header != null) {
                var builder = request.toBuilder();
                request = builder.setField(
                                header, builder.newBuilderForField(header).build())
                        .build();
            }
            var owner = header == null ? input : header.getMessageType();
            if (owner.findFieldByName("request_id") != null) {
                found.add(rpc.method().getName());
                Set<String> ids = new HashSet<>();
                collect(RequestIds.fill(request), ids);
                assertEquals(1, ids.size(), rpc.fullName());
                assertFalse(ids.contains(""), rpc.fullName());
            } else {
                assertEquals(request, RequestIds.fill(request));
            }
        }
        assertEquals(
                List.of(
                        "CreateContact",
                        "SendMessage",
                        "SendMedia",
                        "UploadTemplateMedia",
                        "CreateWebhookRegistration"),
                found);
    }

    @Test
    void retriesStopAfterMaxAttempts() {
        failFirst(100, unavailable());
        assertThrows(StatusRuntimeException.class, this::getAccount);
        assertEquals(4, server.calls.size());
        try (SwitchboardClient once = client(server.address(), 1)) {
            assertThrows(StatusRuntimeException.class, () -> once.accounts()
                    .getAccount(GetAccountRequest.getDefaultInstance()));
        }
        assertEquals(5, server.calls.size());
    }

    @Test
    void serverDelayIsWaitedFor() {
        failFirst(1, FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", 900));
        getAccount();
        assertTrue(server.calls.get(1).time() - server.calls.get(0).time() >= 900_000_000);
    }

    @Test
    void delayBeyondTheDeadlineFailsAtOnce() {
        failFirst(1, FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", 30_000));
        long before = System.nanoTime();
        var e = SwitchboardException.of(assertThrows(StatusRuntimeException.class, this::getAccount));
        assertEquals("SERVER_STOPPING", e.getReason());
        assertEquals(Duration.ofSeconds(30), e.getRetryDelay().orElseThrow());
        assertTrue(System.nanoTime() - before < 10_000_000_000L);
        assertEquals(1, server.calls.size());

        // The same with a deadline of the gRPC context.
        failFirst(2, FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", 30_000));
        var timer = Executors.newSingleThreadScheduledExecutor();
        try {
            Context.current().withDeadlineAfter(5, TimeUnit.SECONDS, timer).run(() -> {
                assertThrows(StatusRuntimeException.class, () -> client.accounts()
                        .getAccount(GetAccountRequest.getDefaultInstance()));
            });
        } finally {
            timer.shutdownNow();
        }
        assertEquals(2, server.calls.size());
    }

    @Test
    void delayOverThirtySecondsFailsAtOnce() {
        server.failures = number -> FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", 30_001);
        var stub = client.accounts().withDeadlineAfter(Duration.ofMinutes(10));
        var e = SwitchboardException.of(assertThrows(
                StatusRuntimeException.class, () -> stub.getAccount(GetAccountRequest.getDefaultInstance())));
        assertEquals(Duration.ofMillis(30_001), e.getRetryDelay().orElseThrow());
        assertThrows(
                SwitchboardException.class,
                () -> client.sendMedia(
                        MediaHeader.getDefaultInstance(), Upload.of(new byte[] {1}), Duration.ofMinutes(10)));
        assertEquals(2, server.calls.size());

        // An event stream waits for the full limit.
        assertEquals(Duration.ofSeconds(30).toNanos(), RetryPolicy.bounded(Duration.ofDays(1)));
        assertEquals(Duration.ofSeconds(30).toNanos(), RetryPolicy.bounded(Duration.ofSeconds(30)));
        assertEquals(1, RetryPolicy.bounded(Duration.ofNanos(1)));
    }

    private void failsWithItsId(Executable call) {
        var e = SwitchboardException.of(assertThrows(Exception.class, call));
        FakeServer.Call last = server.calls.get(server.calls.size() - 1);
        Set<String> ids = new HashSet<>();
        collect((Message) last.messages().get(0), ids);
        assertEquals(Set.of(e.getRequestId()), ids);
        assertNotEquals("", e.getRequestId());
    }

    @Test
    void failureHasTheRequestIdOfTheWrite() {
        failFirst(100, FakeServer.failure(Status.Code.FAILED_PRECONDITION, "SEND_OUTCOME_UNKNOWN", -1));
        var messages = client.messages().withDeadlineAfter(LONG);
        var message = SendMessageRequest.getDefaultInstance();
        failsWithItsId(() -> messages.sendMessage(message));
        failsWithItsId(() -> client.contacts().createContact(CreateContactRequest.getDefaultInstance()));
        failsWithItsId(() -> client.webhookRegistrations()
                .createWebhookRegistration(CreateWebhookRegistrationRequest.getDefaultInstance()));
        failsWithItsId(() -> client.sendMedia(MediaHeader.getDefaultInstance(), Upload.of(new byte[] {1}), LONG));
        failsWithItsId(() -> client.uploadTemplateMedia(
                UploadTemplateMediaHeader.getDefaultInstance(), Upload.of(new byte[] {1}), LONG));
        failsWithItsId(() -> MessageServiceGrpc.newFutureStub(client.channel())
                .sendMessage(message)
                .get(20, TimeUnit.SECONDS));

        var own = message.toBuilder().setRequestId("Bestellung-7-ä").build();
        var e = SwitchboardException.of(assertThrows(StatusRuntimeException.class, () -> messages.sendMessage(own)));
        assertEquals("Bestellung-7-ä", e.getRequestId());
        e = SwitchboardException.of(assertThrows(StatusRuntimeException.class, this::getAccount));
        assertEquals("", e.getRequestId(), "a read has no id");
    }

    /** The program needs the id here, because the outcome of the write is unknown. */
    @Test
    void localFailureHasTheRequestIdOfTheWrite() throws Exception {
        try (Proxy proxy = new Proxy(server.port(), Proxy.Behavior.SILENCE);
                SwitchboardClient client = client(proxy.address(), 4)) {
            var late = SwitchboardException.of(assertThrows(StatusRuntimeException.class, () -> client.messages()
                    .withDeadlineAfter(Duration.ofMillis(200))
                    .sendMessage(SendMessageRequest.getDefaultInstance())));
            assertEquals(Status.Code.DEADLINE_EXCEEDED, late.getCode());
            assertNotEquals("", late.getRequestId());

            MediaHeader header = MediaHeader.newBuilder().setRequestId("mine").build();
            Thread.currentThread().interrupt();
            var interrupted = assertThrows(
                    SwitchboardException.class, () -> client.sendMedia(header, Upload.of(new byte[] {1}), LONG));
            assertTrue(Thread.interrupted());
            assertEquals(Status.Code.CANCELLED, interrupted.getCode());
            assertEquals("mine", interrupted.getRequestId());
        }
    }

    /** A cancellation during the delay between two attempts, when no call is active. */
    @Test
    void cancelDuringBackoffEndsTheCall() throws Exception {
        failFirst(100, FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", 30_000));
        Semaphore failed = new Semaphore(0);
        try (SwitchboardClient client = SwitchboardClient.builder(server.address())
                .plaintext()
                .configure(channel -> channel.intercept(onClosed(failed::release)))
                .build()) {
            var call = client.channel().newCall(AccountServiceGrpc.getGetAccountMethod(), CallOptions.DEFAULT);
            var future = ClientCalls.futureUnaryCall(call, GetAccountRequest.getDefaultInstance());
            assertTrue(failed.tryAcquire(10, TimeUnit.SECONDS));
            call.cancel("enough", null);
            SwitchboardException e = SwitchboardException.of(
                    assertThrows(ExecutionException.class, () -> future.get(10, TimeUnit.SECONDS)));
            assertEquals(Status.Code.CANCELLED, e.getCode());
            assertEquals("enough", e.getStatus().getDescription());

            CompletableFuture<Throwable> ended = new CompletableFuture<>();
            Thread blocked = new Thread(() -> {
                try {
                    client.accounts().getAccount(GetAccountRequest.getDefaultInstance());
                    ended.complete(null);
                } catch (StatusRuntimeException thrown) {
                    ended.complete(thrown);
                }
            });
            failed.drainPermits();
            blocked.start();
            assertTrue(failed.tryAcquire(10, TimeUnit.SECONDS));
            blocked.interrupt();
            SwitchboardException interrupted = SwitchboardException.of(ended.get(10, TimeUnit.SECONDS));
            assertEquals(Status.Code.CANCELLED, interrupted.getCode());
        }
        assertEquals(2, server.calls.size());
    }

    /** Runs a callback after a call has ended and its listeners were notified. */
    private static ClientInterceptor onClosed(Runnable then) {
        return new ClientInterceptor() {
            @Override
            public <Q, R> ClientCall<Q, R> interceptCall(
                    MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
                return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
                    @Override
                    public void start(Listener<R> listener, Metadata headers) {
                        super.start(
                                new SimpleForwardingClientCallListener<>(listener) {
                                    @Override
                                    public void onClose(Status status, Metadata trailers) {
                                        super.onClose(status, trailers);
                                        then.run();
                                    }
                                },
                                headers);
                    }
                };
            }
        };
    }

    @Test
    void streamsAreNotRetried() throws Exception {
        failFirst(100, unavailable());
        assertThrows(StatusRuntimeException.class, () -> client.messages()
                .watchMessage(WatchMessageRequest.getDefaultInstance())
                .next());
        assertEquals(1, server.calls.size());

        // An upload through a stub gets an id, but no retry.
        CompletableFuture<SendMediaResponse> answer = new CompletableFuture<>();
        var stream = MessageServiceGrpc.newStub(client.channel()).sendMedia(new io.grpc.stub.StreamObserver<>() {
            @Override
            public void onNext(SendMediaResponse response) {
                answer.complete(response);
            }

            @Override
            public void onError(Throwable e) {
                answer.completeExceptionally(e);
            }

            @Override
            public void onCompleted() {}
        });
        stream.onNext(SendMediaRequest.newBuilder()
                .setHeader(MediaHeader.getDefaultInstance())
                .build());
        stream.onCompleted();
        assertThrows(Exception.class, () -> answer.get(10, TimeUnit.SECONDS));
        assertEquals(2, server.calls.size());
        assertEquals(1, requestIds().size());
    }

    @Test
    void uploadOfBytesIsRetriedFromTheStart() throws Exception {
        byte[] file = new byte[3_000_000];
        new Random(7).nextBytes(file);
        failFirst(2, unavailable());
        client.sendMedia(MediaHeader.getDefaultInstance(), Upload.of(file), LONG);
        assertEquals(3, server.calls.size());
        assertEquals(1, requestIds().size());
        assertNotEquals(Set.of(""), requestIds());
        for (FakeServer.Call call : server.calls) {
            ByteArrayOutputStream received = new ByteArrayOutputStream();
            for (Object message : call.messages()) {
                ((SendMediaRequest) message).getChunk().writeTo(received);
            }
            assertArrayEquals(file, received.toByteArray());
        }

        failFirst(5, unavailable());
        client.uploadTemplateMedia(UploadTemplateMediaHeader.getDefaultInstance(), Upload.of(file), LONG);
        assertEquals(6, server.calls.size());
        assertEquals(
                1,
                Set.copyOf(server.calls.subList(3, 6).stream()
                                .map(call -> ((UploadTemplateMediaRequest)
                                                call.messages().get(0))
                                        .getHeader()
                                        .getRequestId())
                                .toList())
                        .size());
    }

    @Test
    void uploadOfAnInputStreamIsNotRetried() {
        failFirst(1, unavailable());
        Upload stream = Upload.of(new ByteArrayInputStream(new byte[] {1, 2, 3}));
        var e = assertThrows(
                SwitchboardException.class, () -> client.sendMedia(MediaHeader.getDefaultInstance(), stream, LONG));
        assertEquals(Status.Code.UNAVAILABLE, e.getCode());
        assertEquals(1, server.calls.size());
    }

    /** With gRPC's own backoff, every attempt of the first second would fail. */
    @Test
    void retryReconnectsAtOnce() throws Exception {
        try (Proxy proxy =
                        new Proxy(server.port(), Proxy.Behavior.CLOSE, Proxy.Behavior.CLOSE, Proxy.Behavior.FORWARD);
                SwitchboardClient client = client(proxy.address(), 3)) {
            client.accounts().withDeadlineAfter(LONG).getAccount(GetAccountRequest.getDefaultInstance());
            assertTrue(proxy.connections() >= 3);
            assertEquals(1, server.calls.size());
        }
        try (Proxy proxy =
                        new Proxy(server.port(), Proxy.Behavior.CLOSE, Proxy.Behavior.CLOSE, Proxy.Behavior.FORWARD);
                SwitchboardClient client = client(proxy.address(), 3)) {
            client.sendMedia(MediaHeader.getDefaultInstance(), Upload.of(new byte[] {1}), LONG);
            assertTrue(proxy.connections() >= 3);
        }
    }

    @Test
    void closedClientDoesNotRetry() {
        client.close();
        long before = System.nanoTime();
        assertThrows(StatusRuntimeException.class, this::getAccount);
        assertTrue(System.nanoTime() - before < 5_000_000_000L);
        assertEquals(List.of(), server.calls);
    }

    @Test
    void backoffGrowsWithJitter() {
        RetryPolicy policy = RetryPolicy.ofAttempts(4);
        Set<Long> seen = new HashSet<>();
        for (int failures = 1; failures < 40; failures++) {
            long whole = Math.min(200_000_000L << Math.min(failures - 1, 10), 5_000_000_000L);
            long delay = policy.backoff(failures);
            assertTrue(delay >= whole / 2 && delay <= whole, failures + ": " + delay);
            seen.add(delay);
        }
        assertTrue(seen.size() > 30);
    }

    private GetAccountResponse getAccount() {
        return client.accounts().withDeadlineAfter(LONG).getAccount(GetAccountRequest.getDefaultInstance());
    }
}
