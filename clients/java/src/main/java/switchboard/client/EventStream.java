package switchboard.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Iterator;
import java.util.NoSuchElementException;
import java.util.Optional;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;
import switchboard.v1.Event;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.SubscribeClosing;
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;

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
 * server refuses to go on, as for a cursor that has expired. UNAVAILABLE never ends it.
 *
 * <p>One thread runs the loop, a virtual one if you like; any thread may read {@link #cursor()} and {@link #close()} the
 * stream. An interrupt ends the loop with a {@code CANCELLED} failure. No more than a few events are read ahead.
 */
public final class EventStream implements Iterable<Event>, AutoCloseable {
    /** How many messages may lie here unread. */
    private static final int READ_AHEAD = 16;

    private static final Duration DEFAULT_HEARTBEAT = Duration.ofSeconds(15);

    private final Supplier<ManagedChannel> dial;
    private final Function<Channel, Channel> intercepted;
    private final SubscribeRequest request;
    private final Consumer<SubscribeGap> onGap;
    private final Duration connectTimeout;
    private final RetryPolicy backoff;
    private final Consumer<EventStream> onClosed;
    private final Context context = Context.current();

    // Of the thread that runs the loop.
    private Event next;
    private String place;
    private long given;
    private SwitchboardException failure;

    private volatile String cursor;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by the lock.
    private Connection connection;
    private int failures;
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
            RetryPolicy backoff,
            Consumer<EventStream> onClosed) {
        this.dial = dial;
        this.intercepted = intercepted;
        this.request = request;
        this.onGap = onGap;
        this.connectTimeout = connectTimeout;
        this.backoff = backoff;
        this.onClosed = onClosed;
        this.place = request.getAfterCursor();
        this.cursor = place;
        lock.lock();
        try {
            connection = new Connection();
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
                place = event.getCursor();
                given++;
                return event;
            }
        };
    }

    /**
     * Returns the place behind everything that the loop has dealt with, to be kept and given as {@code after_cursor} of a
     * later stream. An event is dealt with when the loop asks for the next one. The place moves on when no event comes,
     * too.
     *
     * @return the cursor; empty while nothing has been heard of the server, unless the request had one
     */
    public Optional<String> cursor() {
        return cursor.isEmpty() ? Optional.empty() : Optional.of(cursor);
    }

    /** Ends the stream, and the loop over it, wherever that waits. */
    @Override
    public void close() {
        lock.lock();
        try {
            closed = true;
            drop();
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        onClosed.accept(this);
    }

    private boolean advance() {
        if (next != null) {
            return true;
        }
        cursor = place;
        while (failure == null) {
            SubscribeResponse response;
            try {
                response = take();
            } catch (SwitchboardException e) {
                failure = e;
                close();
                break;
            } catch (InterruptedException e) {
                Thread.currentThread().interrupt();
                throw SwitchboardException.of(
                        Status.CANCELLED.withDescription("interrupted").withCause(e), null);
            }
            if (response == null) {
                return false;
            }
            switch (response.getResponseCase()) {
                case EVENT -> {
                    next = response.getEvent();
                    return true;
                }
                case STARTED -> moveTo(response.getStarted().getCursor());
                case HEARTBEAT -> moveTo(response.getHeartbeat().getCursor());
                case CLOSING -> moveTo(response.getClosing().getCursor());
                case GAP -> {
                    onGap.accept(response.getGap());
                    moveTo(response.getGap().getResumeCursor());
                }
                default -> {
                    // A newer server says something that this version does not know.
                }
            }
        }
        throw failure;
    }

    private void moveTo(String place) {
        this.place = place;
        this.cursor = place;
    }

    /** The next message of this connection or a later one; null when there will be none. */
    private SubscribeResponse take() throws InterruptedException {
        lock.lockInterruptibly();
        try {
            while (!closed && !ended) {
                long now = System.nanoTime();
                if (connection == null) {
                    if (request.getMaxEvents() > 0 && given >= request.getMaxEvents()) {
                        ended = true;
                    } else if (openAt - now > 0) {
                        changed.awaitNanos(openAt - now);
                    } else {
                        connection = new Connection();
                    }
                } else if (!connection.unread.isEmpty()) {
                    return connection.read();
                } else if (connection.status != null) {
                    end(connection);
                } else if (connection.patience(now) > 0) {
                    changed.awaitNanos(connection.patience(now));
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
        if (status.isOk() && connection.closing != null) {
            drop();
            ended = true;
            return;
        }
        SwitchboardException e = SwitchboardException.of(status, connection.trailers);
        if (context.isCancelled() || !status.isOk() && !broken(e)) {
            throw e;
        }
        Duration asked = e.getRetryDelay().orElse(Duration.ZERO);
        if (connection.closing != null && connection.closing.hasRetryAfter()) {
            asked = Durations.of(connection.closing.getRetryAfter());
        }
        reopen(asked);
    }

    /**
     * Whether the connection is to blame. gRPC makes UNAVAILABLE of most that can happen to one, and other codes of a
     * stream that was reset or cut off; those have neither the server's details nor a fault of this program's as cause.
     */
    private static boolean broken(SwitchboardException e) {
        return switch (e.getCode()) {
            case UNAVAILABLE -> true;
            case INTERNAL, CANCELLED, UNKNOWN -> e.getReason().isEmpty() && !(e.getCause() instanceof RuntimeException);
            default -> false;
        };
    }

    private void reopen(Duration asked) {
        drop();
        failures++;
        openAt = System.nanoTime() + asked.toNanos() + backoff.backoff(failures);
    }

    private void drop() {
        if (connection != null) {
            connection.call.cancel("the stream is closed", null);
            connection.channel.shutdownNow();
            connection = null;
        }
    }

    /** One stream on one connection. Its fields are guarded by the lock. */
    private final class Connection extends ClientCall.Listener<SubscribeResponse> {
        private final ManagedChannel channel = dial.get();
        private final ClientCall<SubscribeRequest, SubscribeResponse> call;
        private final ArrayDeque<SubscribeResponse> unread = new ArrayDeque<>();
        private int credit = READ_AHEAD;
        private boolean started;
        private Duration silence = connectTimeout;
        private long heardAt = System.nanoTime();
        private SubscribeClosing closing;
        private Status status;
        private Metadata trailers;

        Connection() {
            SubscribeRequest.Builder ask = request.toBuilder();
            if (!place.isEmpty()) {
                ask.setAfterCursor(place);
            }
            if (request.getMaxEvents() > 0) {
                ask.setMaxEvents(request.getMaxEvents() - given);
            }
            Context before = context.attach();
            try {
                call = intercepted.apply(channel).newCall(EventServiceGrpc.getSubscribeMethod(), CallOptions.DEFAULT);
                call.start(this, new Metadata());
                call.request(READ_AHEAD);
                call.sendMessage(ask.build());
                call.halfClose();
            } finally {
                context.detach(before);
            }
        }

        /** How many nanoseconds more it may be silent. */
        long patience(long now) {
            return heardAt + silence.toNanos() - now;
        }

        SubscribeResponse read() {
            if (credit == 0) {
                heardAt = System.nanoTime(); // It could not say anything until now.
            }
            credit++;
            call.request(1);
            return unread.remove();
        }

        @Override
        public void onMessage(SubscribeResponse message) {
            lock.lock();
            try {
                heardAt = System.nanoTime();
                if (message.hasStarted()) {
                    Duration interval = message.getStarted().hasHeartbeatInterval()
                            ? Durations.of(message.getStarted().getHeartbeatInterval())
                            : DEFAULT_HEARTBEAT;
                    silence = interval.multipliedBy(2);
                    failures = 0;
                } else if (message.hasClosing()) {
                    closing = message.getClosing();
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
                this.status = status;
                this.trailers = trailers;
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }
    }
}
