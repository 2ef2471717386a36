package switchboard.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import switchboard.v1.AcknowledgeRequest;
import switchboard.v1.AcknowledgeResponse;
import switchboard.v1.Event;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.Reason;
import switchboard.v1.SubscribeClosing;
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;
import switchboard.v1.SubscribeStarted;
import switchboard.v1.SubscriptionServiceGrpc;

/**
 * A stream of events that reconnects by itself:
 *
 * <pre>{@code
 * try (EventStream events = client.subscribe(request)) {
 *     for (Event event : events) {
 *         handle(event);
 *     }
 * }
 * }</pre>
 *
 * <p>The stream has its own connection. If the connection breaks or falls silent, or if the server restarts, the stream
 * reopens at its position: no event is lost or delivered twice by a reconnect. The loop ends at {@code max_events} or
 * {@code idle_timeout} of the request and when the stream is closed. It ends with a {@link SwitchboardException} if the
 * server rejects the request, for example because the cursor has expired. UNAVAILABLE never ends the loop. INTERNAL,
 * UNKNOWN and CANCELLED without a reason mean that an intermediary reset the stream or that a message cannot be
 * decoded. The sixth such failure in a row, without a response in between, ends the loop.
 *
 * <p>If the request names a {@code subscription_id}, the server stores the position. The stream acknowledges finished
 * events within about a second, with each heartbeat, before it reopens, and when the loop ends or the stream is closed.
 * So each event is delivered at least once over all streams of the subscription. One stream delivers it once, unless
 * the subscription is changed: then the stream continues from the new state. A loop that is left by {@code break} or by
 * an exception has not finished its current event, so the server redelivers that event.
 *
 * <p>One thread runs the loop; it may be a virtual thread. Any thread may read {@link #cursor()} and {@link #close} the
 * stream. An interrupt ends the loop with a {@code CANCELLED} failure. The stream prefetches only a few events.
 */
public final class EventStream implements Iterable<Event>, AutoCloseable {
    /** The maximum number of prefetched messages. */
    private static final int PREFETCH = 16;

    /** How many consecutive resets without a reason and without a response are retried. */
    private static final int MAX_RESETS = 5;

    private static final Duration DEFAULT_HEARTBEAT = Duration.ofSeconds(15);

    /** The minimum interval between two automatic acknowledgements. */
    private static final Duration ACKNOWLEDGE_INTERVAL = Duration.ofSeconds(1);

    /** A finished cursor, and the generation of the subscription that it belongs to. */
    private record Position(String cursor, long generation) {}

    private final Supplier<ManagedChannel> dial;
    private final Function<Channel, Channel> intercepted;
    private final SubscribeRequest request;
    private final Consumer<SubscribeGap> onGap;
    private final Duration connectTimeout;
    private final Duration finalAcknowledgeTimeout;
    private final RetryPolicy backoff;
    private final Consumer<EventStream> onClosed;
    private final Context context = Context.current();

    // Used only by the thread that runs the loop.
    private Event next;
    private String position;
    private long generation;
    private long delivered;
    private SwitchboardException failure;

    private volatile String cursor;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by the lock.
    private Connection connection;
    private Position unacknowledged;
    private Position acknowledged;
    private CompletableFuture<Void> finalAcknowledgements = CompletableFuture.completedFuture(null);
    private int failures;
    private int resets;
    private long openAt;
    private boolean iterated;
    private boolean ended;
    private boolean closed;

    EventStream(
            Supplier<ManagedChannel> dial,
            Function<Channel, Channel> intercepted,
            SubscribeRequest request,
            Consumer<SubscribeGap> onGap,
            Duration connectTimeout,
            Duration finalAcknowledgeTimeout,
            RetryPolicy backoff,
            Consumer<EventStream> onClosed) {
        this.dial = dial;
        this.intercepted = intercepted;
        this.request = request;
        this.onGap = onGap;
        this.connectTimeout = connectTimeout;
        this.finalAcknowledgeTimeout = finalAcknowledgeTimeout;
        this.backoff = backoff;
        this.onClosed = onClosed;
        this.position = request.getAfterCursor();
        this.cursor = position;
        lock.lock();
        try {
            connection = new Connection();
            connection.open();
        } finally {
            lock.unlock();
        }
    }

    /**
     * Returns the iterator of events. It can be called once, because there is one pass over the stream.
     *
     * @return the iterator; {@code hasNext} finishes the previous event and waits for the next one
     */
    @Override
    public Iterator<Event> iterator() {
        lock.lock();
        try {
            if (iterated) {
                throw new IllegalStateException("an event stream can be iterated only once: call subscribe again");
            }
            iterated = true;
        } finally {
            lock.unlock();
        }
        return new Iterator<>() {
            @Override
            public boolean hasNext() {
                return advance();
            }

            @Override
            public Event next() {
                if (!advance()) {
                    throw new NoSuchElementException();
                }
                Event event = next;
                next = null;
                position = event.getCursor();
                delivered++;
                return event;
            }
        };
    }

    /**
     * Returns the cursor after the last finished event. Save it, and pass it as {@code after_cursor} of a later stream.
     * An event is finished when the loop asks for the next one. Heartbeats advance the cursor too.
     *
     * @return the cursor; empty before the first response of the server, unless the request had one
     */
    public Optional<String> cursor() {
        return cursor.isEmpty() ? Optional.empty() : Optional.of(cursor);
    }

    /**
     * Finishes the current event and all before it, and returns when the server has persisted the acknowledgement. If
     * the loop is left after that, the event is not redelivered. The call is optional, because the stream acknowledges
     * finished events by itself, a little later. Call it from the thread that runs the loop.
     *
     * @param timeout the maximum duration of the call
     * @throws SwitchboardException if the server cannot be reached or rejects the acknowledgement. After UNAVAILABLE
     *     and DEADLINE_EXCEEDED the stream retries by itself. {@code SUBSCRIPTION_GENERATION_STALE} means that the
     *     subscription was changed, so the event may be redelivered
     * @throws IllegalStateException if the request named no subscription
     */
    public void acknowledge(Duration timeout) {
        if (!request.hasSubscriptionId()) {
            throw new IllegalStateException(
                    "only a named subscription can be acknowledged: set SubscribeRequest.subscription_id");
        }
        finish();
        CompletableFuture<Void> answered;
        ManagedChannel ownChannel = null;
        lock.lock();
        try {
            // Sent even if the stream knows that the subscription changed, because the server's error reports it.
            Position finished = new Position(cursor, generation);
            if (cursor.isEmpty() || finished.equals(acknowledged)) {
                return;
            } else if (connection == null) {
                ownChannel = dial.get();
            }
            answered = acknowledge(finished, ownChannel == null ? connection.channel : ownChannel, timeout);
        } finally {
            lock.unlock();
        }
        try {
            answered.get();
        } catch (ExecutionException e) {
            acknowledgeSoon();
            throw SwitchboardException.of(e);
        } catch (InterruptedException e) {
            throw interrupted(e);
        } finally {
            if (ownChannel != null) {
                ownChannel.shutdownNow();
            }
        }
    }

    /**
     * Closes the stream and ends the loop over it, even if the loop is waiting. For a named subscription, it
     * acknowledges the finished events and waits up to two seconds for that.
     */
    @Override
    public void close() {
        closeAsync().join();
    }

    /** Closes the stream. The future always completes normally, after the final acknowledgement or its timeout. */
    CompletableFuture<Void> closeAsync() {
        lock.lock();
        try {
            closed = true;
            ManagedChannel channel = null;
            if (connection != null) {
                connection.cancel();
                channel = connection.channel;
                connection = null;
            }
            if (unacknowledged != null) {
                ManagedChannel last = channel == null ? dial.get() : channel;
                CompletableFuture<Void> finalAcknowledgement = acknowledge(
                                unacknowledged, last, finalAcknowledgeTimeout)
                        .exceptionally(e -> null) // The server redelivers the events then.
                        .completeOnTimeout(null, finalAcknowledgeTimeout.toNanos(), TimeUnit.NANOSECONDS)
                        .whenComplete((done, e) -> last.shutdownNow());
                finalAcknowledgements = CompletableFuture.allOf(finalAcknowledgements, finalAcknowledgement);
                unacknowledged = null;
            } else if (channel != null) {
                channel.shutdownNow();
            }
            changed.signalAll();
            onClosed.accept(this);
            return finalAcknowledgements;
        } finally {
            lock.unlock();
        }
    }

    private boolean advance() {
        if (next != null) {
            return true;
        }
        finish();
        acknowledgeSoon();
        while (failure == null) {
            SubscribeResponse response;
            try {
                response = takeNext();
            } catch (SwitchboardException e) {
                failure = e;
                close();
                break;
            } catch (InterruptedException e) {
                throw interrupted(e);
            }
            if (response == null) {
                close();
                return false;
            }
            switch (response.getResponseCase()) {
                case EVENT -> {
                    next = response.getEvent();
                    return true;
                }
                case STARTED -> start(response.getStarted());
                case HEARTBEAT -> advanceTo(response.getHeartbeat().getCursor());
                case CLOSING -> advanceTo(response.getClosing().getCursor());
                case GAP -> {
                    onGap.accept(response.getGap());
                    advanceTo(response.getGap().getResumeCursor());
                }
                default -> {
                    // A response type of a newer server.
                }
            }
        }
        throw failure;
    }

    private static SwitchboardException interrupted(InterruptedException e) {
        Thread.currentThread().interrupt();
        return SwitchboardException.of(
                Status.CANCELLED.withDescription("interrupted").withCause(e), null);
    }

    private void start(SubscribeStarted started) {
        generation = started.getGeneration();
        // If the stream starts at the oldest event, a gap may follow that reports expired events since that time.
        // Until the gap arrives, the stream must repeat the same request.
        boolean gapExpected = request.hasSince()
                && request.getExpiredPolicy() == ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP
                && started.getCursor().equals(started.getOldestCursor());
        if (!position.isEmpty() || !gapExpected) {
            position = started.getCursor();
            cursor = position;
            lock.lock();
            try {
                acknowledged = new Position(position, generation); // The subscription is already at this position.
            } finally {
                lock.unlock();
            }
        }
    }

    private void advanceTo(String position) {
        this.position = position;
        finish();
        acknowledgeSoon();
    }

    /** Records that everything up to the position is finished. */
    private void finish() {
        if (position.equals(cursor)) {
            return;
        }
        cursor = position;
        if (request.hasSubscriptionId()) {
            lock.lock();
            try {
                if (connection == null || !connection.revoked) {
                    unacknowledged = new Position(position, generation);
                }
            } finally {
                lock.unlock();
            }
        }
    }

    private void acknowledgeSoon() {
        lock.lock();
        try {
            if (connection != null) {
                connection.acknowledge();
            }
        } finally {
            lock.unlock();
        }
    }

    /** Makes one attempt. An acknowledgement with a permanent result is not retried. */
    private CompletableFuture<Void> acknowledge(Position position, Channel channel, Duration timeout) {
        AcknowledgeRequest acknowledgeRequest = AcknowledgeRequest.newBuilder()
                .setSubscriptionId(request.getSubscriptionId())
                .setCursor(position.cursor)
                .setGeneration(position.generation)
                .build();
        CompletableFuture<Void> answered = new CompletableFuture<>();
        // A cancellation of the loop must not cancel the acknowledgement of finished events.
        context.fork().run(() -> SubscriptionServiceGrpc.newStub(intercepted.apply(channel))
                .withDeadlineAfter(timeout)
                .acknowledge(acknowledgeRequest, new StreamObserver<>() {
                    @Override
                    public void onNext(AcknowledgeResponse response) {}

                    @Override
                    public void onError(Throwable failure) {
                        SwitchboardException e = SwitchboardException.of(failure);
                        if (!isTransient(e)) {
                            discardPending(position);
                        }
                        answered.completeExceptionally(e);
                    }

                    @Override
                    public void onCompleted() {
                        recordAcknowledged(position);
                        answered.complete(null);
                    }
                }));
        return answered;
    }

    private void recordAcknowledged(Position position) {
        lock.lock();
        try {
            acknowledged = position;
            discardPending(position);
        } finally {
            lock.unlock();
        }
    }

    private void discardPending(Position position) {
        lock.lock();
        try {
            if (position.equals(unacknowledged)) {
                unacknowledged = null;
            }
        } finally {
            lock.unlock();
        }
    }

    /** Whether another attempt to acknowledge may succeed. */
    private static boolean isTransient(SwitchboardException e) {
        return e.getCode() == Status.Code.DEADLINE_EXCEEDED || isConnectionFailure(e);
    }

    /** Whether the subscription was changed. This is not a failure: the server ends the stream. */
    private static boolean isStale(SwitchboardException e) {
        return Reasons.parse(e.getReason()) == Reason.REASON_SUBSCRIPTION_GENERATION_STALE;
    }

    /** Returns the next message of this connection or a later one; null at the end of the stream. */
    private SubscribeResponse takeNext() throws InterruptedException {
        lock.lockInterruptibly();
        try {
            while (!closed && !ended) {
                long now = System.nanoTime();
                if (connection == null) {
                    if (request.getMaxEvents() > 0 && delivered >= request.getMaxEvents()) {
                        ended = true;
                    } else if (openAt - now > 0) {
                        changed.awaitNanos(openAt - now);
                    } else {
                        connection = new Connection();
                        connection.acknowledge();
                    }
                } else if (connection.call == null && connection.status == null && unacknowledged == null) {
                    connection.open(); // Only now. Otherwise the server would redeliver finished events.
                } else if (!connection.unread.isEmpty()) {
                    return connection.read();
                } else if (connection.status != null) {
                    end(connection);
                } else if (connection.remainingSilence(now) > 0) {
                    changed.awaitNanos(connection.remainingSilence(now));
                } else {
                    reopen(Duration.ZERO);
                }
            }
            return null;
        } finally {
            lock.unlock();
        }
    }

    /** Decides whether the stream ends or reopens after the end of a connection. */
    private void end(Connection connection) {
        Status status = connection.status;
        if (status.isOk() && connection.closing != null && !reopens(connection.closing)) {
            ended = true;
            return;
        }
        SwitchboardException e = SwitchboardException.of(status, connection.trailers);
        if (context.isCancelled() || !status.isOk() && !isConnectionFailure(e)) {
            throw e;
        }
        if (!status.isOk() && e.getCode() != Status.Code.UNAVAILABLE && ++resets > MAX_RESETS) {
            throw e;
        }
        Duration serverDelay = e.getRetryDelay().orElse(Duration.ZERO);
        if (connection.closing != null && connection.closing.hasRetryDelay()) {
            serverDelay = Durations.of(connection.closing.getRetryDelay());
        }
        reopen(serverDelay);
    }

    /** Whether the stream reopens after this closing. If the status is missing, the next stream returns the error. */
    private static boolean reopens(SubscribeClosing closing) {
        return switch (closing.getReason()) {
            case CLOSING_REASON_SHUTDOWN, CLOSING_REASON_SUBSCRIPTION_CHANGED, CLOSING_REASON_SUBSCRIPTION_DELETED ->
                true;
            default -> false;
        };
    }

    /**
     * Whether the connection failed. gRPC reports most connection failures as UNAVAILABLE, and a reset or truncated
     * stream with other codes. These have no reason, while errors of the server have one.
     */
    private static boolean isConnectionFailure(SwitchboardException e) {
        return switch (e.getCode()) {
            case UNAVAILABLE -> true;
            case INTERNAL, CANCELLED, UNKNOWN -> e.getReason().isEmpty();
            default -> false;
        };
    }

    private void reopen(Duration serverDelay) {
        drop();
        failures++;
        openAt = System.nanoTime() + RetryPolicy.bounded(serverDelay) + backoff.backoff(failures);
    }

    private void drop() {
        if (connection != null) {
            connection.cancel();
            connection.channel.shutdownNow();
            connection = null;
        }
    }

    /** One stream on one connection. Its fields are guarded by the lock. */
    private final class Connection extends ClientCall.Listener<SubscribeResponse> {
        private final ManagedChannel channel = dial.get();
        private final ArrayDeque<SubscribeResponse> unread = new ArrayDeque<>();
        private ClientCall<SubscribeRequest, SubscribeResponse> call;
        private int credit = PREFETCH;
        private Duration maxSilence = connectTimeout;
        private long lastReceivedAt = System.nanoTime();
        private SubscribeClosing closing;
        private Status status;
        private Metadata trailers;
        private boolean revoked; // Positions of this stream no longer belong to the subscription.
        private boolean acknowledging;
        private long acknowledgeAt = lastReceivedAt;

        void open() {
            lastReceivedAt = System.nanoTime();
            SubscribeRequest.Builder ask = request.toBuilder();
            if (!position.isEmpty() && !request.hasSubscriptionId()) {
                ask.setAfterCursor(position);
            }
            if (request.getMaxEvents() > 0) {
                ask.setMaxEvents(request.getMaxEvents() - delivered);
            }
            Context before = context.attach();
            try {
                call = intercepted.apply(channel).newCall(EventServiceGrpc.getSubscribeMethod(), CallOptions.DEFAULT);
                call.start(this, new Metadata());
                call.request(PREFETCH);
                call.sendMessage(ask.build());
                call.halfClose();
            } finally {
                context.detach(before);
            }
        }

        void cancel() {
            if (call != null) {
                call.cancel("the stream is closed", null);
            }
        }

        /** Schedules an acknowledgement of the finished events, if there are any. */
        void acknowledge() {
            if (!acknowledging && unacknowledged != null) {
                acknowledging = true;
                long delay = acknowledgeAt - System.nanoTime();
                CompletableFuture.delayedExecutor(delay, TimeUnit.NANOSECONDS, Runnable::run)
                        .execute(this::acknowledgeNow);
            }
        }

        private void acknowledgeNow() {
            lock.lock();
            try {
                acknowledging = false;
                if (connection == this && unacknowledged != null) {
                    acknowledging = true;
                    acknowledgeAt = System.nanoTime() + ACKNOWLEDGE_INTERVAL.toNanos();
                    EventStream.this
                            .acknowledge(unacknowledged, channel, connectTimeout)
                            .whenComplete((done, e) -> acknowledged(e));
                }
            } finally {
                lock.unlock();
            }
        }

        private void acknowledged(Throwable failure) {
            lock.lock();
            try {
                acknowledging = false;
                SwitchboardException e = failure == null ? null : SwitchboardException.of(failure);
                if (connection != this) {
                    return;
                } else if (e == null || isStale(e)) {
                    acknowledge();
                } else if (call != null && isTransient(e)) {
                    long serverDelay = RetryPolicy.bounded(e.getRetryDelay().orElse(Duration.ZERO));
                    acknowledgeAt = System.nanoTime() + Math.max(ACKNOWLEDGE_INTERVAL.toNanos(), serverDelay);
                    acknowledge();
                } else if (isTransient(e)) {
                    onClose(Status.UNAVAILABLE.withCause(e), e.getTrailers());
                } else {
                    revoke();
                    cancel();
                    onClose(e.getStatus(), e.getTrailers());
                }
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }

        /**
         * Handles a changed or deleted subscription. The new filter may exclude prefetched events, so they are dropped.
         * The server redelivers those that still match.
         */
        private void revoke() {
            revoked = true;
            unacknowledged = null;
            unread.clear();
        }

        /** The remaining nanoseconds of permitted silence. */
        long remainingSilence(long now) {
            return lastReceivedAt + maxSilence.toNanos() - now;
        }

        SubscribeResponse read() {
            if (credit == 0) {
                lastReceivedAt = System.nanoTime(); // Without credit, the server could not send until now.
            }
            credit++;
            call.request(1);
            return unread.remove();
        }

        @Override
        public void onMessage(SubscribeResponse message) {
            lock.lock();
            try {
                lastReceivedAt = System.nanoTime();
                resets = message.hasStarted() ? resets : 0;
                if (message.hasStarted()) {
                    Duration interval = message.getStarted().hasHeartbeatInterval()
                            ? Durations.of(message.getStarted().getHeartbeatInterval())
                            : DEFAULT_HEARTBEAT;
                    maxSilence = interval.multipliedBy(2);
                    failures = 0;
                } else if (message.hasClosing()) {
                    closing = message.getClosing();
                    switch (closing.getReason()) {
                        case CLOSING_REASON_SUBSCRIPTION_CHANGED, CLOSING_REASON_SUBSCRIPTION_DELETED -> {
                            revoke();
                            return;
                        }
                        default -> {}
                    }
                }
                if (message.hasHeartbeat()
                        && !unread.isEmpty()
                        && unread.getLast().hasHeartbeat()) {
                    unread.removeLast(); // Merge heartbeats, so a slow loop always leaves room for the next one.
                    call.request(1);
                } else {
                    credit--;
                }
                unread.add(message);
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            lock.lock();
            try {
                if (this.status == null) {
                    this.status = status;
                    this.trailers = trailers;
                }
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }
    }
}
