package switchboard.client;

import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptors;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.TlsChannelCredentials;
import java.time.Duration;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import switchboard.v1.AccountServiceGrpc;
import switchboard.v1.ContactServiceGrpc;
import switchboard.v1.ConversationServiceGrpc;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.FlowServiceGrpc;
import switchboard.v1.MediaHeader;
import switchboard.v1.MessageServiceGrpc;
import switchboard.v1.SendMediaRequest;
import switchboard.v1.SendMediaResponse;
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscriptionServiceGrpc;
import switchboard.v1.TemplateServiceGrpc;
import switchboard.v1.UploadTemplateMediaHeader;
import switchboard.v1.UploadTemplateMediaRequest;
import switchboard.v1.UploadTemplateMediaResponse;
import switchboard.v1.WebhookRegistrationServiceGrpc;

/**
 * A connection to Switchboard. Create one and share it: it is thread-safe.
 *
 * <p>Calls use the generated stubs. The accessors of this class return blocking stubs. Create other stubs from {@link
 * #channel()}:
 *
 * <pre>{@code
 * MessageServiceGrpc.newFutureStub(client.channel())
 * }</pre>
 *
 * <p>Every stub of this client generates a missing {@code request_id} and retries safe calls that fail with
 * UNAVAILABLE: reads, and writes with a {@code request_id}. Retries stay within the deadline of the call and wait for
 * the delay that the server requests. Set a deadline on each call: {@code client.messages().withDeadlineAfter(...)}.
 */
public final class SwitchboardClient implements AutoCloseable {
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration MAX_BACKOFF = Duration.ofSeconds(10);
    private static final Duration FINAL_ACKNOWLEDGE_TIMEOUT = Duration.ofSeconds(2);

    private final Builder builder;
    private final ManagedChannel transport;
    private final RetryPolicy retries;
    private final Channel channel;
    private final Set<EventStream> streams = ConcurrentHashMap.newKeySet();
    private volatile boolean closed;

    private SwitchboardClient(Builder builder) {
        this.builder = builder;
        this.retries = RetryPolicy.ofAttempts(builder.maxAttempts);
        this.transport = builder.dial();
        this.channel = ClientInterceptors.interceptForward(
                builder.authorized(transport), new RequestIds(), new Retries(transport, retries));
    }

    /**
     * Creates a builder.
     *
     * @param target the address of the server: {@code host:port} or another gRPC target
     * @return the builder
     */
    public static Builder builder(String target) {
        return new Builder(target);
    }

    /**
     * Returns the channel, from which stubs of any kind can be created.
     *
     * @return the channel; it is closed with this client
     */
    public Channel channel() {
        return channel;
    }

    /**
     * Returns the stub of {@code AccountService}.
     *
     * @return a blocking stub
     */
    public AccountServiceGrpc.AccountServiceBlockingStub accounts() {
        return AccountServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the stub of {@code ContactService}.
     *
     * @return a blocking stub
     */
    public ContactServiceGrpc.ContactServiceBlockingStub contacts() {
        return ContactServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the stub of {@code ConversationService}.
     *
     * @return a blocking stub
     */
    public ConversationServiceGrpc.ConversationServiceBlockingStub conversations() {
        return ConversationServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the stub of {@code EventService}. To stream events, use {@link #subscribe(SubscribeRequest)}.
     *
     * @return a blocking stub
     */
    public EventServiceGrpc.EventServiceBlockingStub events() {
        return EventServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the stub of {@code FlowService}.
     *
     * @return a blocking stub
     */
    public FlowServiceGrpc.FlowServiceBlockingStub flows() {
        return FlowServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the stub of {@code MessageService}. To send a file, use {@link #sendMedia}.
     *
     * @return a blocking stub
     */
    public MessageServiceGrpc.MessageServiceBlockingStub messages() {
        return MessageServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the stub of {@code SubscriptionService}. An {@link EventStream} acknowledges events by itself.
     *
     * @return a blocking stub
     */
    public SubscriptionServiceGrpc.SubscriptionServiceBlockingStub subscriptions() {
        return SubscriptionServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the stub of {@code TemplateService}. To upload a file, use {@link #uploadTemplateMedia}.
     *
     * @return a blocking stub
     */
    public TemplateServiceGrpc.TemplateServiceBlockingStub templates() {
        return TemplateServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the stub of {@code WebhookRegistrationService}.
     *
     * @return a blocking stub
     */
    public WebhookRegistrationServiceGrpc.WebhookRegistrationServiceBlockingStub webhookRegistrations() {
        return WebhookRegistrationServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Sends a file to a customer: {@code MessageService.SendMedia}.
     *
     * @param header the account, the recipient and the file name; a missing {@code request_id} is generated
     * @param file the file
     * @param timeout the maximum duration of the call, including retries
     * @return the response
     * @throws SwitchboardException if the call fails
     * @throws java.io.UncheckedIOException if the file cannot be read
     */
    public SendMediaResponse sendMedia(MediaHeader header, Upload file, Duration timeout) {
        return file.send(
                transport,
                channel,
                retries,
                MessageServiceGrpc.getSendMediaMethod(),
                Deadline.after(timeout.toNanos(), TimeUnit.NANOSECONDS),
                SendMediaRequest.newBuilder().setHeader(RequestIds.fill(header)).build(),
                chunk -> SendMediaRequest.newBuilder().setChunk(chunk).build());
    }

    /**
     * Uploads a file for a template's header: {@code TemplateService.UploadTemplateMedia}.
     *
     * @param header the account and the file name; a missing {@code request_id} is generated
     * @param file the file
     * @param timeout the maximum duration of the call, including retries
     * @return the response
     * @throws SwitchboardException if the call fails
     * @throws java.io.UncheckedIOException if the file cannot be read
     */
    public UploadTemplateMediaResponse uploadTemplateMedia(
            UploadTemplateMediaHeader header, Upload file, Duration timeout) {
        return file.send(
                transport,
                channel,
                retries,
                TemplateServiceGrpc.getUploadTemplateMediaMethod(),
                Deadline.after(timeout.toNanos(), TimeUnit.NANOSECONDS),
                UploadTemplateMediaRequest.newBuilder()
                        .setHeader(RequestIds.fill(header))
                        .build(),
                chunk -> UploadTemplateMediaRequest.newBuilder().setChunk(chunk).build());
    }

    /**
     * Streams events on a separate connection, which is opened at once.
     *
     * <p>If the request names a {@code subscription_id}, which {@code CreateSubscription} creates, the server stores the
     * position, and the stream acknowledges the events that the loop has finished.
     *
     * @param request the filter and the start position; {@code expired_policy} must not be {@code SKIP_WITH_GAP}
     * @return the event stream
     */
    public EventStream subscribe(SubscribeRequest request) {
        if (request.getExpiredPolicy() == ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP) {
            throw new IllegalArgumentException(
                    "EXPIRED_POLICY_SKIP_WITH_GAP requires a gap consumer: call subscribe(request, onGap)");
        }
        return subscribe(request, gap -> {});
    }

    /**
     * Streams events, and reports gaps if {@code expired_policy} of the request is {@code SKIP_WITH_GAP}.
     *
     * @param request the filter and the start position
     * @param onGap receives each gap, on the thread of the loop and in order with the events; an exception that it
     *     throws ends the loop
     * @return the event stream
     */
    public EventStream subscribe(SubscribeRequest request, Consumer<SubscribeGap> onGap) {
        RetryPolicy backoff = new RetryPolicy(0, builder.firstBackoff, MAX_BACKOFF);
        EventStream stream = new EventStream(
                builder::dial,
                builder::authorized,
                request,
                onGap,
                builder.connectTimeout,
                builder.finalAcknowledgeTimeout,
                backoff,
                streams::remove);
        streams.add(stream);
        if (closed) {
            stream.close();
        }
        return stream;
    }

    /**
     * Closes the connection and all event streams. Active calls may still finish for a few seconds. The method returns
     * at once, or within two seconds if events of a named subscription must be acknowledged.
     */
    @Override
    public void close() {
        closed = true;
        CompletableFuture.allOf(streams.stream().map(EventStream::closeAsync).toArray(CompletableFuture<?>[]::new))
                .join();
        transport.shutdown();
        CompletableFuture.delayedExecutor(5, TimeUnit.SECONDS, Runnable::run).execute(transport::shutdownNow);
    }

    /** Configures the connection. */
    public static final class Builder {
        /** Targets that are always this machine, independent of name resolution. */
        private static final Pattern LOOPBACK = Pattern.compile(
                "(dns:///)?(localhost|127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}|\\[::1])(:\\d+)?", Pattern.CASE_INSENSITIVE);

        private final String target;
        private ChannelCredentials credentials = TlsChannelCredentials.create();
        private BearerToken token;
        private int maxAttempts = 4;
        private Consumer<ManagedChannelBuilder<?>> configure = channel -> {};
        private Duration connectTimeout = CONNECT_TIMEOUT;
        private Duration finalAcknowledgeTimeout = FINAL_ACKNOWLEDGE_TIMEOUT;
        private Duration firstBackoff = Duration.ofMillis(200);

        private Builder(String target) {
            this.target = Objects.requireNonNull(target, "target");
        }

        /**
         * Sets the channel credentials. The default is TLS with the certificate authorities of the Java runtime.
         *
         * @param credentials gRPC credentials, such as from {@link TlsChannelCredentials#newBuilder()}
         * @return this builder
         */
        public Builder credentials(ChannelCredentials credentials) {
            this.credentials = Objects.requireNonNull(credentials, "credentials");
            return this;
        }

        /**
         * Connects without TLS.
         *
         * @return this builder
         */
        public Builder plaintext() {
            return credentials(InsecureChannelCredentials.create());
        }

        /**
         * Sends a token with every call, as {@code authorization: Bearer <token>}. Without TLS, the token is sent only
         * to loopback addresses.
         *
         * @param token the token
         * @return this builder
         * @throws IllegalArgumentException if the token is empty or contains other than visible ASCII characters
         */
        public Builder token(String token) {
            this.token = new BearerToken(token);
            return this;
        }

        /**
         * Sets the maximum number of attempts of a call, including the first. The default is 4; 1 disables retries.
         *
         * @param attempts the number, at least 1
         * @return this builder
         */
        public Builder maxAttempts(int attempts) {
            if (attempts < 1) {
                throw new IllegalArgumentException("attempts must be at least 1");
            }
            this.maxAttempts = attempts;
            return this;
        }

        /**
         * Customizes the channels, for example their interceptors, executor or maximum message size. The function is
         * called for each channel: the channel of the calls, and one for each connection of an event stream.
         *
         * @param configure receives the builder of each channel
         * @return this builder
         */
        public Builder configure(Consumer<ManagedChannelBuilder<?>> configure) {
            this.configure = Objects.requireNonNull(configure, "configure");
            return this;
        }

        /** Shortens the timings for tests. */
        Builder connectionTimings(Duration connectTimeout, Duration firstBackoff) {
            this.connectTimeout = connectTimeout;
            this.firstBackoff = firstBackoff;
            return this;
        }

        /** Extends the timeout for tests on slow machines. */
        Builder finalAcknowledgeTimeout(Duration timeout) {
            this.finalAcknowledgeTimeout = timeout;
            return this;
        }

        /**
         * Creates the client. It connects at the first call.
         *
         * @return the client
         * @throws IllegalStateException if the token would be sent in plaintext beyond loopback
         */
        public SwitchboardClient build() {
            boolean plaintext = credentials.withoutBearerTokens() instanceof InsecureChannelCredentials;
            if (token != null && plaintext && !LOOPBACK.matcher(target).matches()) {
                throw new IllegalStateException("a token must not be sent in plaintext beyond loopback: use TLS");
            }
            return new SwitchboardClient(this);
        }

        private ManagedChannel dial() {
            ManagedChannelBuilder<?> channel = Grpc.newChannelBuilder(target, credentials)
                    .keepAliveTime(30, TimeUnit.SECONDS)
                    .keepAliveTimeout(10, TimeUnit.SECONDS)
                    .keepAliveWithoutCalls(false)
                    .disableServiceConfigLookUp();
            configure.accept(channel);
            return channel.build();
        }

        private Channel authorized(Channel channel) {
            return token == null ? channel : ClientInterceptors.intercept(channel, token);
        }
    }
}
