package switchboard.client;

import io.grpc.Channel;
import io.grpc.ChannelCredentials;
import io.grpc.ClientInterceptors;
import io.grpc.Deadline;
import io.grpc.Grpc;
import io.grpc.InsecureChannelCredentials;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.TlsChannelCredentials;
import java.time.Duration;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.regex.Pattern;
import switchboard.v1.AccountServiceGrpc;
import switchboard.v1.ContactServiceGrpc;
import switchboard.v1.ConversationServiceGrpc;
import switchboard.v1.CreateSubscriptionRequest;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.FlowServiceGrpc;
import switchboard.v1.MediaHeader;
import switchboard.v1.MessageServiceGrpc;
import switchboard.v1.SendMediaRequest;
import switchboard.v1.SendMediaResponse;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.Subscription;
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
 * UNAVAILABLE: reads, and writes with a {@code request_id}. The budget of a call is its deadline: until then, it waits
 * for a connection and is retried. Set a deadline on each call: {@code client.messages().withDeadlineAfter(...)}. A call
 * without a deadline is retried for 60 seconds. If the wait for the next attempt would exceed the deadline, or the server
 * requests a delay of more than 30 seconds, the call fails at once with the last error.
 */
public final class SwitchboardClient implements AutoCloseable {
    private static final Duration CONNECT_TIMEOUT = Duration.ofSeconds(10);
    private static final Duration MAX_BACKOFF = Duration.ofSeconds(10);
    private static final Duration FINAL_ACKNOWLEDGE_TIMEOUT = Duration.ofSeconds(2);
    /** How long active calls may continue after {@link #close}. */
    private static final Duration GRACE = Duration.ofSeconds(5);

    /** How long {@link #close} waits for the threads of cancelled calls. */
    private static final Duration TERMINATION_TIMEOUT = Duration.ofSeconds(5);

    /** The version of this library, which the user agent contains. */
    static final String VERSION = "0.1.0";

    private static final Pattern URL = Pattern.compile("https?://", Pattern.CASE_INSENSITIVE);

    private final Builder builder;
    private final Background background = new Background();
    private final Channels channels;
    private final ManagedChannel transport;
    private final RetryPolicy retries;
    private final Channel channel;
    private final EventStream.Environment streamEnvironment;
    private final Set<EventStream> streams = ConcurrentHashMap.newKeySet();
    private volatile boolean closed;

    private SwitchboardClient(Builder builder) {
        this.builder = builder;
        this.retries = RetryPolicy.ofAttempts(builder.maxAttempts);
        this.channels = new Channels(builder::dial);
        this.transport = channels.dial();
        this.channel = ClientInterceptors.interceptForward(
                builder.authorized(transport), new RequestIds(), new Retries(transport, retries, background));
        Reconnects.watch(transport, retries, background);
        this.streamEnvironment = new EventStream.Environment(
                channels::dial,
                builder::authorized,
                transport,
                background,
                builder.connectTimeout,
                builder.finalAcknowledgeTimeout,
                new RetryPolicy(Integer.MAX_VALUE, builder.firstBackoff, MAX_BACKOFF),
                streams::remove);
    }

    /**
     * Creates a builder.
     *
     * @param target the address of the server: {@code host:port} or another gRPC target
     * @return the builder
     * @throws IllegalArgumentException if the target is empty or a URL, because gRPC could never connect to it
     */
    public static Builder builder(String target) {
        if (target.isEmpty()) {
            throw new IllegalArgumentException("the target is empty: use host:port");
        }
        if (URL.matcher(target).lookingAt()) {
            throw new IllegalArgumentException("the target " + target + " is a URL: use host:port");
        }
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
     * Makes the server store the named subscription of the request, and returns it. Call it when the program starts.
     *
     * <p>If no subscription of this id exists, it creates one at the request's start position. If one exists with another
     * filter or other labels, it changes these and keeps the position; open streams of the subscription then continue
     * with the new filter. An absent filter means all events, and absent labels mean none.
     *
     * @param request the wanted subscription
     * @param timeout the maximum duration. Every step is retried after UNAVAILABLE, because a repeated step changes
     *     nothing
     * @return the stored subscription
     * @throws StatusRuntimeException if a step fails
     */
    public Subscription ensureSubscription(CreateSubscriptionRequest request, Duration timeout) {
        return new EnsureSubscription(subscriptions().withDeadlineAfter(timeout).withOption(Retries.REPEATABLE, true))
                .ensure(request);
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
        return subscribe(request, SubscribeOptions.defaults());
    }

    /**
     * Streams events, and reports gaps and reconnects.
     *
     * @param request the filter and the start position
     * @param options the functions that receive the reports
     * @return the event stream
     */
    public EventStream subscribe(SubscribeRequest request, SubscribeOptions options) {
        boolean gaps = request.getExpiredPolicy() == ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP;
        if (gaps && !options.acceptsGaps()) {
            throw new IllegalArgumentException(
                    "EXPIRED_POLICY_SKIP_WITH_GAP requires SubscribeOptions.onGap, which receives the gap");
        }
        EventStream stream = new EventStream(streamEnvironment, request, options);
        streams.add(stream);
        if (closed) {
            stream.close();
        }
        return stream;
    }

    /**
     * Closes all event streams and the connections, and returns when they are closed. Waiting takes up to two seconds if
     * events of a named subscription must be acknowledged. Active calls may finish for five seconds more; then they are
     * cancelled. A call that waits for its next attempt fails at once. An interrupt does not shorten the wait.
     */
    @Override
    public void close() {
        closed = true;
        List<EventStream> open = List.copyOf(streams);
        open.forEach(EventStream::startClosing);
        long acknowledgeUntil = System.nanoTime() + builder.finalAcknowledgeTimeout.toNanos();
        open.forEach(stream -> stream.awaitClosed(acknowledgeUntil));
        long cancelAt = System.nanoTime() + GRACE.toNanos();
        long deadline = cancelAt + TERMINATION_TIMEOUT.toNanos();
        transport.shutdown(); // First, so a call that waits for its next attempt fails.
        background.close(cancelAt);
        channels.close(cancelAt, deadline);
    }

    /** Whether no channel has a thread any more. */
    boolean isTerminated() {
        return channels.areTerminated();
    }

    /** Configures the connection. */
    public static final class Builder {
        /** Targets that are always this machine, independent of name resolution. */
        private static final Pattern LOOPBACK = Pattern.compile(
                "(dns:///)?(localhost|127\\.\\d{1,3}\\.\\d{1,3}\\.\\d{1,3}|\\[::1])(:\\d+)?", Pattern.CASE_INSENSITIVE);

        private final String target;
        private ChannelCredentials credentials = TlsChannelCredentials.create();
        private BearerToken token;
        private int maxAttempts = Integer.MAX_VALUE;
        private Consumer<ManagedChannelBuilder<?>> configure = channel -> {};
        private Duration connectTimeout = CONNECT_TIMEOUT;
        private Duration finalAcknowledgeTimeout = FINAL_ACKNOWLEDGE_TIMEOUT;
        private Duration firstBackoff = Duration.ofMillis(200);

        private Builder(String target) {
            this.target = target;
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
         * Sets the maximum number of attempts of a call, including the first. By default, only the deadline of the call
         * limits them. 1 disables retries, and calls then fail at once if the server cannot be reached.
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
                    .userAgent("switchboard-java/" + VERSION)
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
