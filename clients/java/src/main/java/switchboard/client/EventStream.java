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
import switchboard.v1.SubscribeClosing;
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;
import switchboard.v1.SubscribeStarted;

/**
 * Events, one after another, for as long as the loop over them runs:
 *
 * <pre>{@code
 * try (EventStream events = client.subscribe(request)) {
 *     for (Event event : events) {
 *         handle(event);
 *     }
 * }
 * }</pre>
 *
 * <p>The stream has a connection of its own. When that breaks, falls silent, or the server restarts, it is opened anew
 * where it had come to: no event is lost, and none is given twice. The loop ends when {@code max_events} or {@code
 * idle_timeout} of the request say so, when the stream is closed, and, with a {@link SwitchboardException}, when the
 * server refuses to go on, as for a cursor that has expired. UNAVAILABLE never ends it. INTERNAL, UNKNOWN and CANCELLED
 * without a reason, which a stream has that something on the way resets, or that holds a message which cannot be read, end
 * it when they come for the sixth time in a row, with nothing that came between.
 *
 * <p>When the request names a {@code subscription}, the server keeps the place, and the stream acknowledges what the loop
 * has dealt with: within about a second while the loop goes on, with each heartbeat, before it is opened anew, and when
 * the loop ends or the stream is closed. So each event comes at least once over all loops of all programs, and once in one
 * loop unless somebody changes the subscription: then the stream goes on as that stands. A loop that is left, by {@code
 * break} or by an exception, has not dealt with the event that it had: that comes again.
 *
 * <p>One thread runs the loop, a virtual one if you like; any thread may read {@link #cursor()} and {@link #close} the
 * stream. An interrupt ends the loop with a {@code CANCELLED} failure. No more than a few events are read ahead.
 */
public final class EventStream implements Iterable<Event>, AutoCloseable {
    /** How many messages may lie here unread. */
    private static final int PREFETCH = 16;

    /** How often in a row a stream is opened anew that broke without a word of the server, and brought nothing. */
    private static final int MAX_RESETS = 5;

    private static final Duration DEFAULT_HEARTBEAT = Duration.ofSeconds(15);

    /** The least time between two acknowledgements that nobody asked for. */
    private static final Duration ACKNOWLEDGE_INTERVAL = Duration.ofSeconds(1);

    /** Up to where all is dealt with, and the generation of the subscription in which it was so. */
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

    // Of the thread that runs the loop.
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
     * Returns the events. There is one pass over them, so this can be called once.
     *
     * @return the events; its {@code hasNext} waits for the next one, and asking it says that the one before is dealt with
     */
    @Override
    public Iterator<Event> iterator() {
        lock.lock();
        try {
            if (iterated) {
                throw new IllegalStateException("there is one pass over a stream of events");
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
     * Returns the place behind everything that the loop has dealt with, to be kept and given as {@code after_cursor} of a
     * later stream. An event is dealt with when the loop asks for the next one. The position moves on when no event comes,
     * too.
     *
     * @return the cursor; empty while nothing has been heard of the server, unless the request had one
     */
    public Optional<String> cursor() {
        return cursor.isEmpty() ? Optional.empty() : Optional.of(cursor);
    }

    /**
     * Says that the event that the loop was given last is dealt with, and with it all before, and returns when the server
     * has that on disk. Should the loop be left then, the event does not come again. Nothing needs this: the stream acknowledges by itself, a little later. It is for the thread that
     * runs the loop.
     *
     * @param timeout how long it may take
     * @throws SwitchboardException if the server could not be told, or did not take it. After UNAVAILABLE and
     *     DEADLINE_EXCEEDED the stream tries again by itself. {@code SUBSCRIPTION_GENERATION_STALE} says that somebody has
     *     changed the subscription, so that the event may come again
     * @throws IllegalStateException if the request named no subscription
     */
    public void acknowledge(Duration timeout) {
        if (!request.hasSubscription()) {
            throw new IllegalStateException("only a named subscription can be acknowledged");
        }
        finish();
        CompletableFuture<Void> answered;
        ManagedChannel ownChannel = null;
        lock.lock();
        try {
            // Also when the subscription is known to be another one by now: the server's answer says so.
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
     * Ends the stream, and the loop over it, wherever that waits. What the loop has dealt with of a named subscription is
     * acknowledged if that can be done within two seconds.
     */
    @Override
    public void close() {
        closeAsync().join();
    }

    /** Ends the stream; what is returned is completed, in any case, when there is nothing more to wait for. */
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
                        .exceptionally(e -> null) // It comes again, then.
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
                    // A newer server says something that this version does not know.
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
        // Where nothing older is left, a gap may be to come that tells of what was there since the time that was asked
        // for.
        // Until it has come, the same must be asked again.
        boolean gapExpected = request.hasSince()
                && request.getExpiredPolicy() == ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP
                && started.getCursor().equals(started.getOldestCursor());
        if (!position.isEmpty() || !gapExpected) {
            position = started.getCursor();
            cursor = position;
            lock.lock();
            try {
                acknowledged = new Position(position, generation); // A subscription stands there already.
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

    /** All up to the place is dealt with. */
    private void finish() {
        if (position.equals(cursor)) {
            return;
        }
        cursor = position;
        if (request.hasSubscription()) {
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

    /** Makes one attempt. What the server has answered for good is not tried again. */
    private CompletableFuture<Void> acknowledge(Position position, Channel channel, Duration timeout) {
        AcknowledgeRequest acknowledgeRequest = AcknowledgeRequest.newBuilder()
                .setSubscription(request.getSubscription())
                .setCursor(position.cursor)
                .setGeneration(position.generation)
                .build();
        CompletableFuture<Void> answered = new CompletableFuture<>();
        // What cancels the loop cancels nothing that was dealt with.
        context.fork().run(() -> EventServiceGrpc.newStub(intercepted.apply(channel))
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

    /** Whether another attempt to acknowledge may mend it. */
    private static boolean isTransient(SwitchboardException e) {
        return e.getCode() == Status.Code.DEADLINE_EXCEEDED || isConnectionFailure(e);
    }

    /** Somebody has changed the subscription. That is no failure: the server ends the stream, if it has not yet. */
    private static boolean isStale(SwitchboardException e) {
        return e.getReason().equals("SUBSCRIPTION_GENERATION_STALE");
    }

    /** The next message of this connection or a later one; null when there will be none. */
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
                    connection.open(); // Not before that: what is dealt with would come again.
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

    /** Decides what the end of a connection means. */
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
        if (connection.closing != null && connection.closing.hasRetryAfter()) {
            serverDelay = Durations.of(connection.closing.getRetryAfter());
        }
        reopen(serverDelay);
    }

    /** Whether the server ends a stream that was not to end. Should its status be missing, the next stream tells. */
    private static boolean reopens(SubscribeClosing closing) {
        return switch (closing.getReason()) {
            case CLOSING_REASON_SHUTDOWN, CLOSING_REASON_SUBSCRIPTION_CHANGED, CLOSING_REASON_SUBSCRIPTION_DELETED ->
                true;
            default -> false;
        };
    }

    /**
     * Whether the connection is to blame. gRPC makes UNAVAILABLE of most that can happen to one, and other codes of a
     * stream that was reset or cut off: those have no reason, which the server gives with what it says itself.
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
        private boolean revoked; // Nothing of this stream counts for the subscription any longer.
        private boolean acknowledging;
        private long acknowledgeAt = lastReceivedAt;

        void open() {
            lastReceivedAt = System.nanoTime();
            SubscribeRequest.Builder ask = request.toBuilder();
            if (!position.isEmpty() && !request.hasSubscription()) {
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

        /** Acknowledges what is finished, if there is anything, when it is time to. */
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
         * The subscription is another one now, or none. What was not given yet may no longer be wanted; what still is,
         * comes again.
         */
        private void revoke() {
            revoked = true;
            unacknowledged = null;
            unread.clear();
        }

        /** How many nanoseconds more it may be silent. */
        long remainingSilence(long now) {
            return lastReceivedAt + maxSilence.toNanos() - now;
        }

        SubscribeResponse read() {
            if (credit == 0) {
                lastReceivedAt = System.nanoTime(); // It could not say anything until now.
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
                    unread.removeLast(); // However slow the loop is, it can be told that the stream lives.
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
