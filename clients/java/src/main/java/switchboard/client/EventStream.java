package switchboard.client;

import io.grpc.Channel;
import io.grpc.Context;
import io.grpc.Contexts;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import switchboard.client.Acknowledgements.Position;
import switchboard.v1.Event;
import switchboard.v1.ExpiredPolicy;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;
import switchboard.v1.SubscribeStarted;

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
 * the subscription is changed: then the stream continues from the new state.
 *
 * <p>The loop finishes an event when it asks for the next one. It does not finish the event if it is left by
 * {@code break} or by an exception. Nor does it if the stream or the client is closed, the thread is interrupted, or the
 * gRPC context is cancelled while the body runs, because that also cancels the body's own work. The server redelivers an
 * unfinished event to the next stream.
 *
 * <p>One thread runs the loop; it may be a virtual thread. Any thread may read {@link #cursor()} and {@link #close} the
 * stream. An interrupt closes the stream and ends the loop with a {@code CANCELLED} failure. The stream prefetches only a
 * few events.
 */
public final class EventStream implements Iterable<Event>, AutoCloseable {
    /** How many consecutive resets without a reason and without a response are retried. */
    private static final int MAX_RESETS = 5;

    private static final Logger LOG = System.getLogger(EventStream.class.getPackageName());

    /** What a stream uses of its client. */
    record Environment(
            Supplier<ManagedChannel> dial,
            Function<Channel, Channel> intercepted,
            ManagedChannel calls,
            Background background,
            Duration connectTimeout,
            Duration finalAcknowledgeTimeout,
            RetryPolicy backoff,
            Consumer<EventStream> onClosed) {}

    private final Environment environment;
    private final SubscribeRequest request;
    private final SubscribeOptions options;
    private final Acknowledgements acknowledgements;
    private final Context context = Context.current();
    private final CountDownLatch closeSignal = new CountDownLatch(1);

    // Used only by the thread that runs the loop.
    private Event next;
    private long delivered;
    private int failures;
    private int resets;
    private long openAt;
    private SwitchboardException failure;

    private volatile String cursor;

    private final ReentrantLock lock = new ReentrantLock();
    // Guarded by the lock, which is never held during calls to gRPC, because these run interceptors of the program.
    private StreamConnection connection;
    private Event current; // Delivered and not finished.
    private long generation;
    private boolean iterated;
    private boolean closed;

    EventStream(Environment environment, SubscribeRequest request, SubscribeOptions options) {
        this.environment = environment;
        this.request = request;
        this.options = options;
        this.cursor = request.getAfterCursor();
        this.acknowledgements = new Acknowledgements(
                request.getSubscriptionId(),
                environment.intercepted,
                environment.background,
                environment.connectTimeout);
        StreamConnection first = newConnection();
        connection = first;
        open(first);
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
                return next != null || advance();
            }

            @Override
            public Event next() {
                if (!hasNext()) {
                    throw new NoSuchElementException();
                }
                return deliver();
            }
        };
    }

    private Event deliver() {
        Event event = next;
        next = null;
        delivered++;
        lock.lock();
        try {
            current = event;
        } finally {
            lock.unlock();
        }
        return event;
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
     * Finishes the event and all before it, and returns when the server has persisted the acknowledgement. If the loop
     * is left after that, the event is not redelivered. The call is optional, because the stream acknowledges finished
     * events by itself, a little later.
     *
     * @param event the current event of the loop. With an earlier event, the call acknowledges what the loop has finished
     * @param timeout the maximum duration of the call
     * @throws SwitchboardException if the server cannot be reached or rejects the acknowledgement. After UNAVAILABLE
     *     and DEADLINE_EXCEEDED the stream retries by itself. {@code SUBSCRIPTION_GENERATION_STALE} means that the
     *     subscription was changed, so the event may be redelivered
     * @throws IllegalStateException if the request named no subscription
     */
    public void acknowledge(Event event, Duration timeout) {
        if (!request.hasSubscriptionId()) {
            throw new IllegalStateException(
                    "only a named subscription can be acknowledged: set SubscribeRequest.subscription_id");
        }
        Position finished;
        Channel channel;
        lock.lock();
        try {
            if (current != null && current.getCursor().equals(event.getCursor())) {
                finishCurrent();
            }
            // Sent even if the stream knows that the subscription changed, because the server's error reports it.
            finished = new Position(cursor, generation);
            channel = closed || connection == null ? environment.calls : connection.channel();
        } finally {
            lock.unlock();
        }
        if (!finished.cursor().isEmpty()) {
            acknowledgements.acknowledge(finished, channel, timeout);
        }
    }

    /**
     * Closes the stream and ends the loop over it, even if the loop is waiting. The event whose body runs is not
     * finished. For a named subscription, the method acknowledges the finished events and waits up to two seconds for
     * that.
     */
    @Override
    public void close() {
        startClosing();
        awaitClosed(System.nanoTime() + environment.finalAcknowledgeTimeout.toNanos());
    }

    /** Ends the loop, and starts the final acknowledgement. */
    void startClosing() {
        StreamConnection last;
        lock.lock();
        try {
            if (closed) {
                return;
            }
            closed = true;
            last = connection;
        } finally {
            lock.unlock();
        }
        closeSignal.countDown();
        if (last != null) {
            last.abort(Status.CANCELLED.withDescription("the stream is closed"), new Metadata());
        }
        acknowledgements.close(last == null ? environment.calls : last.channel(), environment.finalAcknowledgeTimeout);
    }

    /** Waits for the final acknowledgement until the deadline, and closes the connection. */
    void awaitClosed(long deadline) {
        acknowledgements.awaitClosed(deadline);
        StreamConnection last;
        lock.lock();
        try {
            last = connection;
        } finally {
            lock.unlock();
        }
        if (last != null) {
            last.channel().shutdownNow();
        }
        environment.onClosed.accept(this);
    }

    private boolean advance() {
        if (failure != null) {
            throw failure;
        }
        try {
            if (finish()) {
                acknowledgements.schedule();
                for (SubscribeResponse response; (response = takeNext()) != null; ) {
                    handle(response);
                    if (next != null) {
                        return true;
                    }
                }
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            failure = SwitchboardException.of(
                    Status.CANCELLED.withDescription("interrupted").withCause(e), null);
        } catch (SwitchboardException e) {
            failure = e;
        }
        close();
        if (failure != null) {
            throw failure;
        }
        return false;
    }

    /** Finishes the current event, unless the body may have been cancelled. Returns false if the stream is closed. */
    private boolean finish() throws InterruptedException {
        if (Thread.currentThread().isInterrupted()) {
            throw new InterruptedException();
        }
        if (context.isCancelled()) {
            throw SwitchboardException.of(Contexts.statusFromCancelled(context), null);
        }
        lock.lock();
        try {
            if (!closed) {
                finishCurrent();
            }
            return !closed;
        } finally {
            lock.unlock();
        }
    }

    private void finishCurrent() {
        if (current != null) {
            moveTo(current.getCursor());
            current = null;
        }
    }

    /** Records that everything up to the cursor is finished. The lock must be held. */
    private void moveTo(String finished) {
        if (!finished.isEmpty() && !finished.equals(cursor)) {
            cursor = finished;
            if (request.hasSubscriptionId()) {
                acknowledgements.finish(new Position(finished, generation));
            }
        }
    }

    private void handle(SubscribeResponse response) {
        resets = response.hasStarted() ? resets : 0;
        switch (response.getResponseCase()) {
            case EVENT -> next = response.getEvent();
            case STARTED -> start(response.getStarted());
            case HEARTBEAT -> advanceTo(response.getHeartbeat().getCursor());
            case CLOSING -> advanceTo(response.getClosing().getCursor());
            case GAP -> {
                options.reportGap(response.getGap());
                advanceTo(response.getGap().getResumeCursor());
            }
            default -> {
                // A response type of a newer server.
            }
        }
    }

    private void start(SubscribeStarted started) {
        failures = 0;
        // If the stream starts at the oldest event, a gap may follow that reports expired events since that time.
        // Until the gap arrives, the stream must repeat the same request.
        boolean gapExpected = request.hasSince()
                && request.getExpiredPolicy() == ExpiredPolicy.EXPIRED_POLICY_SKIP_WITH_GAP
                && started.getCursor().equals(started.getOldestCursor());
        lock.lock();
        try {
            generation = started.getGeneration();
            if (!cursor.isEmpty() || !gapExpected) {
                cursor = started.getCursor();
            }
            acknowledgements.started(new Position(cursor, generation));
        } finally {
            lock.unlock();
        }
    }

    private void advanceTo(String finished) {
        lock.lock();
        try {
            if (!closed) {
                moveTo(finished);
            }
        } finally {
            lock.unlock();
        }
        acknowledgements.schedule();
    }

    /** Returns the next message of this connection or a later one; null at the end of the stream. */
    private SubscribeResponse takeNext() throws InterruptedException {
        while (true) {
            StreamConnection open = open();
            if (open == null) {
                return null;
            }
            SubscribeResponse response = open.read();
            if (response != null) {
                return response;
            } else if (closeSignal.getCount() == 0 || !reopens(open)) {
                return null;
            }
        }
    }

    /** Returns the open connection, or waits until it is time and opens one. Returns null if the stream is closed. */
    private StreamConnection open() throws InterruptedException {
        StreamConnection open;
        lock.lock();
        try {
            open = closed ? null : connection;
            if (closed || open != null) {
                return open;
            }
        } finally {
            lock.unlock();
        }
        if (closeSignal.await(openAt - System.nanoTime(), TimeUnit.NANOSECONDS)) {
            return null;
        }
        open = newConnection();
        lock.lock();
        try {
            if (!closed) {
                connection = open;
            }
        } finally {
            lock.unlock();
        }
        if (closeSignal.getCount() == 0) {
            open.channel().shutdownNow();
            return null;
        }
        SwitchboardException unacknowledged = acknowledgements.flush(open.channel());
        if (unacknowledged == null) {
            open(open);
        } else {
            open.abort(unacknowledged.getStatus(), unacknowledged.getTrailers());
        }
        return open;
    }

    private StreamConnection newConnection() {
        return new StreamConnection(environment.dial.get(), environment.connectTimeout, acknowledgements::revoke);
    }

    private void open(StreamConnection opened) {
        SubscribeRequest.Builder ask = request.toBuilder();
        if (!cursor.isEmpty() && !request.hasSubscriptionId()) {
            ask.setAfterCursor(cursor);
        }
        if (request.getMaxEvents() > 0) {
            ask.setMaxEvents(request.getMaxEvents() - delivered);
        }
        opened.open(environment.intercepted.apply(opened.channel()), ask.build(), context);
        if (request.hasSubscriptionId()) {
            acknowledgements.use(opened);
        }
    }

    /** Whether the stream continues on a new connection after the end of one. */
    private boolean reopens(StreamConnection ended) {
        Status status = ended.status();
        if (status.isOk() && ended.hasFinalClosing()) {
            return false;
        }
        SwitchboardException error = ended.error();
        if (context.isCancelled() || !error.isConnectionFailure()) {
            throw error;
        }
        if (error.getCode() != Status.Code.UNAVAILABLE && ++resets > MAX_RESETS) {
            throw error;
        }
        if (request.getMaxEvents() > 0 && delivered >= request.getMaxEvents()) {
            return false;
        }
        acknowledgements.use(null);
        lock.lock();
        try {
            if (closed) {
                return false;
            }
            connection = null;
        } finally {
            lock.unlock();
        }
        ended.abort(status, new Metadata());
        ended.channel().shutdownNow();
        failures++;
        long delay = RetryPolicy.bounded(ended.retryDelay(error)) + environment.backoff.backoff(failures);
        openAt = System.nanoTime() + delay;
        LOG.log(Level.WARNING, () -> "event stream%s broke, reconnecting in %d ms: %s"
                .formatted(
                        request.hasSubscriptionId() ? " of subscription " + request.getSubscriptionId() : "",
                        TimeUnit.NANOSECONDS.toMillis(delay),
                        error.getMessage()));
        options.reportReconnect(error);
        return true;
    }
}
