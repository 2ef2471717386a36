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
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.SubscribeClosing;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;

/**
 * One {@code Subscribe} call on a connection of its own. Its lock is never held during calls to gRPC, because these run
 * interceptors of the program.
 */
final class StreamConnection extends ClientCall.Listener<SubscribeResponse> {
    /** The maximum number of prefetched messages. */
    private static final int PREFETCH = 16;

    private static final Duration DEFAULT_HEARTBEAT = Duration.ofSeconds(15);

    private final ManagedChannel channel;
    private final Runnable onRevoked;
    private volatile ClientCall<SubscribeRequest, SubscribeResponse> call;

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by the lock.
    private final ArrayDeque<SubscribeResponse> unread = new ArrayDeque<>();
    private int credit = PREFETCH;
    private Duration maxSilence;
    private long lastReceivedAt = System.nanoTime();
    private SubscribeClosing closing = SubscribeClosing.getDefaultInstance();
    private boolean hasClosing;
    private Status status;
    private Metadata trailers;

    /**
     * Creates the connection, which {@link #open} opens.
     *
     * @param onRevoked called when the subscription was changed or deleted
     */
    StreamConnection(ManagedChannel channel, Duration connectTimeout, Runnable onRevoked) {
        this.channel = channel;
        this.maxSilence = connectTimeout;
        this.onRevoked = onRevoked;
    }

    ManagedChannel channel() {
        return channel;
    }

    /** Starts the call. The intercepted channel sends it over the channel of this connection. */
    void open(Channel intercepted, SubscribeRequest request, Context context) {
        lock.lock();
        try {
            lastReceivedAt = System.nanoTime();
        } finally {
            lock.unlock();
        }
        Context before = context.attach();
        try {
            call = intercepted.newCall(EventServiceGrpc.getSubscribeMethod(), CallOptions.DEFAULT);
            call.start(this, new Metadata());
            call.request(PREFETCH);
            call.sendMessage(request);
            call.halfClose();
        } finally {
            context.detach(before);
        }
        if (hasEnded()) {
            call.cancel("the stream is closed", null); // The end came before the call.
        }
    }

    /** Waits for the next response. Returns null after the last one, or after too long a silence. */
    SubscribeResponse read() throws InterruptedException {
        SubscribeResponse response;
        lock.lockInterruptibly();
        try {
            while (unread.isEmpty()) {
                long remaining = lastReceivedAt + maxSilence.toNanos() - System.nanoTime();
                if (status != null) {
                    return null;
                } else if (remaining > 0) {
                    changed.awaitNanos(remaining);
                } else {
                    status = Status.UNAVAILABLE.withDescription("the stream was silent for too long");
                }
            }
            if (credit == 0) {
                lastReceivedAt = System.nanoTime(); // Without credit, the server could not send until now.
            }
            credit++;
            response = unread.remove();
        } finally {
            lock.unlock();
        }
        call.request(1);
        return response;
    }

    private boolean hasEnded() {
        lock.lock();
        try {
            return status != null;
        } finally {
            lock.unlock();
        }
    }

    /** Whether the server has announced the end of the stream because of the request, not because of itself. */
    boolean hasFinalClosing() {
        lock.lock();
        try {
            return hasClosing
                    && switch (closing.getReason()) {
                        // If the status is missing, the next stream returns the error.
                        case CLOSING_REASON_SHUTDOWN,
                                CLOSING_REASON_SUBSCRIPTION_CHANGED,
                                CLOSING_REASON_SUBSCRIPTION_DELETED -> false;
                        default -> true;
                    };
        } finally {
            lock.unlock();
        }
    }

    /** Returns the status of the ended stream. */
    Status status() {
        lock.lock();
        try {
            return status;
        } finally {
            lock.unlock();
        }
    }

    /** Returns the error of the ended stream. */
    SwitchboardException error() {
        lock.lock();
        try {
            return SwitchboardException.of(
                    status.isOk() ? Status.UNAVAILABLE.withDescription("the stream ended without a reason") : status,
                    trailers);
        } finally {
            lock.unlock();
        }
    }

    /** Returns the delay that the server requests before the next stream. */
    Duration retryDelay(SwitchboardException error) {
        lock.lock();
        try {
            return closing.hasRetryDelay()
                    ? Durations.of(closing.getRetryDelay())
                    : error.getRetryDelay().orElse(Duration.ZERO);
        } finally {
            lock.unlock();
        }
    }

    /** Ends the stream. Its channel stays open. */
    void abort(Status status, Metadata trailers) {
        onClose(status, trailers);
        ClientCall<SubscribeRequest, SubscribeResponse> open = call;
        if (open != null) {
            open.cancel("the stream is closed", null);
        }
    }

    /**
     * Handles a changed or deleted subscription. The new filter may exclude prefetched events, so they are dropped. The
     * server redelivers those that still match.
     */
    void revoke() {
        lock.lock();
        try {
            unread.clear();
        } finally {
            lock.unlock();
        }
        onRevoked.run();
    }

    @Override
    public void onMessage(SubscribeResponse message) {
        boolean merged = false;
        boolean revoked = false;
        lock.lock();
        try {
            lastReceivedAt = System.nanoTime();
            if (message.hasStarted()) {
                Duration interval = message.getStarted().hasHeartbeatInterval()
                        ? Durations.of(message.getStarted().getHeartbeatInterval())
                        : DEFAULT_HEARTBEAT;
                maxSilence = interval.multipliedBy(2);
            } else if (message.hasClosing()) {
                closing = message.getClosing();
                hasClosing = true;
                revoked = switch (closing.getReason()) {
                    case CLOSING_REASON_SUBSCRIPTION_CHANGED, CLOSING_REASON_SUBSCRIPTION_DELETED -> true;
                    default -> false;
                };
            }
            if (!revoked) {
                if (message.hasHeartbeat()
                        && !unread.isEmpty()
                        && unread.getLast().hasHeartbeat()) {
                    unread.removeLast(); // Merge heartbeats, so a slow loop always leaves room for the next one.
                    merged = true;
                } else {
                    credit--;
                }
                unread.add(message);
                changed.signalAll();
            }
        } finally {
            lock.unlock();
        }
        if (merged) {
            call.request(1);
        }
        if (revoked) {
            revoke();
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
