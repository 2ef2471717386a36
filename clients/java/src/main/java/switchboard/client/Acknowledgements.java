package switchboard.client;

import io.grpc.Channel;
import io.grpc.Context;
import io.grpc.Status;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.time.Duration;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;
import switchboard.v1.AcknowledgeRequest;
import switchboard.v1.Reason;
import switchboard.v1.SubscriptionServiceGrpc;

/**
 * The acknowledgements of a named subscription. At most one call is active at a time, so no position is acknowledged
 * twice. The lock is not held during the call, which runs interceptors of the program.
 */
final class Acknowledgements {
    /** A finished cursor, and the generation of the subscription that it belongs to. */
    record Position(String cursor, long generation) {}

    /** The minimum interval between two automatic acknowledgements. */
    private static final Duration INTERVAL = Duration.ofSeconds(1);

    private static final Logger LOG = System.getLogger(Acknowledgements.class.getPackageName());

    private final String subscriptionId;
    private final Function<Channel, Channel> intercepted;
    private final Background background;
    private final Duration timeout;
    // A cancellation of the loop must not cancel the acknowledgement of finished events.
    private final Context context = Context.current().fork();
    private final CountDownLatch closed = new CountDownLatch(1);

    private final ReentrantLock lock = new ReentrantLock();
    private final Condition changed = lock.newCondition();
    // Guarded by the lock.
    private StreamConnection connection;
    private Position pending;
    private Position acknowledged;
    private boolean revoked; // The generation of the current stream is no longer that of the subscription.
    private boolean scheduled;
    private boolean calling;
    private long notBefore = System.nanoTime();

    /**
     * Creates the acknowledgements of a subscription.
     *
     * @param timeout the maximum duration of an automatic acknowledgement
     */
    Acknowledgements(
            String subscriptionId, Function<Channel, Channel> intercepted, Background background, Duration timeout) {
        this.subscriptionId = subscriptionId;
        this.intercepted = intercepted;
        this.background = background;
        this.timeout = timeout;
    }

    /** Records where a stream has started: the subscription is at this position. */
    void started(Position position) {
        lock.lock();
        try {
            acknowledged = position;
            revoked = false;
        } finally {
            lock.unlock();
        }
    }

    /** Records that everything up to the position is finished. */
    void finish(Position position) {
        lock.lock();
        try {
            if (!revoked) {
                pending = position;
            }
        } finally {
            lock.unlock();
        }
    }

    /** Drops the finished position, because it belongs to an earlier state of the subscription. */
    void revoke() {
        lock.lock();
        try {
            revoked = true;
            pending = null;
        } finally {
            lock.unlock();
        }
    }

    /** Sets the connection for automatic acknowledgements, or null. */
    void use(StreamConnection connection) {
        lock.lock();
        try {
            this.connection = connection;
        } finally {
            lock.unlock();
        }
        schedule();
    }

    /** Schedules an acknowledgement of the finished events, if there are any. */
    void schedule() {
        lock.lock();
        try {
            if (connection != null && pending != null && !scheduled && !calling) {
                scheduled = background.schedule(this::acknowledgeSoon, notBefore - System.nanoTime());
            }
        } finally {
            lock.unlock();
        }
    }

    private void acknowledgeSoon() {
        StreamConnection open;
        Position position;
        lock.lock();
        try {
            scheduled = false;
            if (connection == null || pending == null || calling) {
                return;
            }
            open = connection;
            position = pending;
            calling = true;
            notBefore = System.nanoTime() + INTERVAL.toNanos();
        } finally {
            lock.unlock();
        }
        SwitchboardException failure = call(position, open.channel(), timeout);
        if (failure != null && isTransient(failure)) {
            long delay = Math.max(
                    INTERVAL.toNanos(),
                    RetryPolicy.bounded(failure.getRetryDelay().orElse(Duration.ZERO)));
            LOG.log(Level.DEBUG, () -> "acknowledgement of subscription %s failed, retrying in %d ms: %s"
                    .formatted(subscriptionId, TimeUnit.NANOSECONDS.toMillis(delay), failure.getMessage()));
            lock.lock();
            try {
                notBefore = System.nanoTime() + delay;
            } finally {
                lock.unlock();
            }
        } else if (failure != null && !isStale(failure)) {
            open.revoke();
            open.abort(failure.getStatus(), failure.getTrailers());
        }
        schedule();
    }

    /**
     * Acknowledges the finished events before a stream opens. Otherwise the server would redeliver them. Returns null,
     * or the failure of a connection that must be replaced, or another failure that ends the stream.
     */
    SwitchboardException flush(Channel channel) throws InterruptedException {
        Position position;
        lock.lockInterruptibly();
        try {
            while (calling) {
                changed.await();
            }
            if (pending == null) {
                return null;
            }
            position = pending;
            calling = true;
        } finally {
            lock.unlock();
        }
        SwitchboardException failure = call(position, channel, timeout);
        if (failure == null || isStale(failure)) {
            return null;
        } else if (isTransient(failure) && failure.getCode() != Status.Code.UNAVAILABLE) {
            return SwitchboardException.of(
                    Status.UNAVAILABLE
                            .withDescription("the acknowledgement failed")
                            .withCause(failure),
                    null);
        }
        return failure;
    }

    /** Acknowledges a position, unless the server has accepted it before. */
    void acknowledge(Position position, Channel channel, Duration timeout) {
        long deadline = System.nanoTime() + timeout.toNanos();
        try {
            if (!begin(position, deadline)) {
                return;
            }
        } catch (InterruptedException e) {
            Thread.currentThread().interrupt();
            throw SwitchboardException.of(
                    Status.CANCELLED.withDescription("interrupted").withCause(e), null);
        }
        SwitchboardException failure =
                call(position, channel, Duration.ofNanos(Math.max(deadline - System.nanoTime(), 0)));
        schedule();
        if (failure != null) {
            throw failure;
        }
    }

    private boolean begin(Position position, long deadline) throws InterruptedException {
        lock.lockInterruptibly();
        try {
            while (calling && deadline - System.nanoTime() > 0) {
                changed.awaitNanos(deadline - System.nanoTime());
            }
            if (calling) {
                throw SwitchboardException.of(
                        Status.DEADLINE_EXCEEDED.withDescription("an earlier acknowledgement has no reply"), null);
            }
            calling = !position.equals(acknowledged);
            return calling;
        } finally {
            lock.unlock();
        }
    }

    /** Starts the final acknowledgement of the finished events, if there are any. */
    void close(Channel channel, Duration timeout) {
        lock.lock();
        try {
            connection = null;
            if (pending == null) {
                closed.countDown();
                return;
            }
        } finally {
            lock.unlock();
        }
        boolean starts = background.schedule(
                () -> {
                    try {
                        acknowledgeFinally(channel, timeout);
                    } finally {
                        closed.countDown();
                    }
                },
                0);
        if (!starts) {
            closed.countDown();
        }
    }

    private void acknowledgeFinally(Channel channel, Duration timeout) {
        Position position;
        lock.lock();
        try {
            position = pending;
        } finally {
            lock.unlock();
        }
        if (position != null) {
            try {
                acknowledge(position, channel, timeout);
            } catch (SwitchboardException e) {
                // The server redelivers the events.
                LOG.log(Level.DEBUG, () -> "final acknowledgement of subscription %s failed: %s"
                        .formatted(subscriptionId, e.getMessage()));
            }
        }
    }

    /** Waits until the final acknowledgement has ended, or until the deadline. */
    void awaitClosed(long deadline) {
        Uninterruptibly.await(nanos -> closed.await(nanos, TimeUnit.NANOSECONDS), deadline);
    }

    /** Makes one attempt, and returns its failure or null. A permanent result is not retried. */
    private SwitchboardException call(Position position, Channel channel, Duration timeout) {
        SwitchboardException failure = null;
        try {
            context.run(() -> SubscriptionServiceGrpc.newBlockingStub(intercepted.apply(channel))
                    .withDeadlineAfter(timeout)
                    .acknowledge(AcknowledgeRequest.newBuilder()
                            .setSubscriptionId(subscriptionId)
                            .setCursor(position.cursor)
                            .setGeneration(position.generation)
                            .build()));
        } catch (RuntimeException e) { // Also from an interceptor.
            failure = SwitchboardException.of(e);
        }
        lock.lock();
        try {
            calling = false;
            if (failure == null) {
                acknowledged = position;
            }
            if ((failure == null || !isTransient(failure)) && position.equals(pending)) {
                pending = null;
            }
            changed.signalAll();
        } finally {
            lock.unlock();
        }
        return failure;
    }

    /** Whether another attempt may succeed. */
    private static boolean isTransient(SwitchboardException e) {
        return e.getCode() == Status.Code.DEADLINE_EXCEEDED || e.isConnectionFailure();
    }

    /** Whether the subscription was changed. This is not a failure: the server ends the stream. */
    private static boolean isStale(SwitchboardException e) {
        return Reasons.parse(e.getReason()) == Reason.REASON_SUBSCRIPTION_GENERATION_STALE;
    }
}
