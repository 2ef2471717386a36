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
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.FlowServiceGrpc;
import switchboard.v1.MediaHeader;
import switchboard.v1.MessageServiceGrpc;
import switchboard.v1.SendMediaRequest;
import switchboard.v1.SendMediaResponse;
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.TemplateServiceGrpc;
import switchboard.v1.UploadTemplateMediaHeader;
import switchboard.v1.UploadTemplateMediaRequest;
import switchboard.v1.UploadTemplateMediaResponse;
import switchboard.v1.WebhookServiceGrpc;

/**
 * A connection to Switchboard. Make one and share it: it may be used by any number of threads at once.
 *
 * <p>Calls go through the generated stubs. The accessors here give the blocking ones; any other is made of {@link
 * #channel()}:
 *
 * <pre>{@code
 * MessageServiceGrpc.newFutureStub(client.channel())
 * }</pre>
 *
 * <p>Every stub of this client gives a {@code request_id} to what can have one and has none, and repeats what fails with
 * UNAVAILABLE and is safe to repeat: reads, and writes with a {@code request_id}; within the call's deadline, after the
 * delay that the server asks for. Give each call a deadline: {@code client.messages().withDeadlineAfter(...)}.
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
     * Begins a client.
     *
     * @param target where the server is, {@code host:port} or whatever else gRPC can resolve
     * @return the builder
     */
    public static Builder builder(String target) {
        return new Builder(target);
    }

    /**
     * Returns the channel that stubs of any kind can be made of.
     *
     * @return the channel; it lives as long as this client
     */
    public Channel channel() {
        return channel;
    }

    /**
     * Returns the calls about accounts.
     *
     * @return a blocking stub
     */
    public AccountServiceGrpc.AccountServiceBlockingStub accounts() {
        return AccountServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the calls about contacts.
     *
     * @return a blocking stub
     */
    public ContactServiceGrpc.ContactServiceBlockingStub contacts() {
        return ContactServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the calls about events. To listen to them, {@link #subscribe(SubscribeRequest)}.
     *
     * @return a blocking stub
     */
    public EventServiceGrpc.EventServiceBlockingStub events() {
        return EventServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the calls about flows.
     *
     * @return a blocking stub
     */
    public FlowServiceGrpc.FlowServiceBlockingStub flows() {
        return FlowServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the calls about messages. To send a file, {@link #sendMedia}.
     *
     * @return a blocking stub
     */
    public MessageServiceGrpc.MessageServiceBlockingStub messages() {
        return MessageServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the calls about templates. To upload a file for one, {@link #uploadTemplateMedia}.
     *
     * @return a blocking stub
     */
    public TemplateServiceGrpc.TemplateServiceBlockingStub templates() {
        return TemplateServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Returns the calls about webhooks.
     *
     * @return a blocking stub
     */
    public WebhookServiceGrpc.WebhookServiceBlockingStub webhooks() {
        return WebhookServiceGrpc.newBlockingStub(channel);
    }

    /**
     * Sends a file to a customer: {@code MessageService.SendMedia}.
     *
     * @param header where it goes; an empty {@code request_id} is filled in
     * @param file the file
     * @param timeout how long all of it may take, further attempts included
     * @return the server's answer
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
     * @param header what it is for; an empty {@code request_id} is filled in
     * @param file the file
     * @param timeout how long all of it may take, further attempts included
     * @return the server's answer
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
     * Listens to events, on a connection of its own that begins to be made at once.
     *
     * <p>With the id of a named {@code subscription}, which {@code CreateSubscription} makes, the server keeps the place,
     * and the stream acknowledges what the loop has dealt with.
     *
     * @param request which events, and from where on; its {@code expired_policy} must not be {@code SKIP_WITH_GAP}
     * @return the events
     */
    public EventStream subscribe(SubscribeRequest request) {
        if (request.getExpiredPolicy() == ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP) {
            throw new IllegalArgumentException("EXPIRED_POLICY_SKIP_WITH_GAP needs somebody to tell of a gap");
        }
        return subscribe(request, gap -> {});
    }

    /**
     * Listens to events, and hears of gaps if the request's {@code expired_policy} is {@code SKIP_WITH_GAP}.
     *
     * @param request which events, and from where on
     * @param onGap is told, in the thread and at the point of the loop, that events are missing; what it throws ends the
     *     loop
     * @return the events
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
     * Closes the connection and ends all streams of events. Calls that are under way may still end for a few seconds. It
     * returns at once, or, when there is something to acknowledge of a named subscription, within two seconds.
     */
    @Override
    public void close() {
        closed = true;
        CompletableFuture.allOf(streams.stream().map(EventStream::closeAsync).toArray(CompletableFuture<?>[]::new))
                .join();
        transport.shutdown();
        CompletableFuture.delayedExecutor(5, TimeUnit.SECONDS, Runnable::run).execute(transport::shutdownNow);
    }

    /** Says how to connect. */
    public static final class Builder {
        /** What is this machine whatever resolves it. */
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
         * Chooses how the connection is secured. The default is TLS with the authorities that Java trusts.
         *
         * @param credentials gRPC's own, such as of {@link TlsChannelCredentials#newBuilder()}
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
         * Sends a token with every call, as {@code authorization: Bearer <token>}. In plaintext it never leaves this
         * machine.
         *
         * @param token the token
         * @return this builder
         * @throws IllegalArgumentException if it cannot be a token
         */
        public Builder token(String token) {
            this.token = new BearerToken(token);
            return this;
        }

        /**
         * Says how many attempts a call may take, the first included. The default is 4; 1 means that nothing is repeated.
         *
         * @param attempts the number, at least 1
         * @return this builder
         */
        public Builder maxAttempts(int attempts) {
            if (attempts < 1) {
                throw new IllegalArgumentException("there is at least one attempt");
            }
            this.maxAttempts = attempts;
            return this;
        }

        /**
         * Changes anything else about the channels, such as interceptors, the executor or the most bytes of a message. It is
         * called for each channel: the one of the calls, and one for each connection of a stream of events.
         *
         * @param configure is given each channel's builder
         * @return this builder
         */
        public Builder configure(Consumer<ManagedChannelBuilder<?>> configure) {
            this.configure = Objects.requireNonNull(configure, "configure");
            return this;
        }

        /** For tests, which cannot wait that long. */
        Builder connectionTimings(Duration connectTimeout, Duration firstBackoff) {
            this.connectTimeout = connectTimeout;
            this.firstBackoff = firstBackoff;
            return this;
        }

        /** For tests of what a close acknowledges, on machines that are slow. */
        Builder finalAcknowledgeTimeout(Duration timeout) {
            this.finalAcknowledgeTimeout = timeout;
            return this;
        }

        /**
         * Makes the client. It connects with the first call.
         *
         * @return the client
         * @throws IllegalStateException if a token would go in plaintext beyond loopback
         */
        public SwitchboardClient build() {
            boolean plaintext = credentials.withoutBearerTokens() instanceof InsecureChannelCredentials;
            if (token != null && plaintext && !LOOPBACK.matcher(target).matches()) {
                throw new IllegalStateException("a token is not sent in plaintext beyond loopback");
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
