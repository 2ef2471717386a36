package switchboard.client;

import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * Decides whether to retry, and after which delay.
 *
 * @param maxAttempts the maximum number of attempts of one call, including the first; 1 also means that calls do not wait
 *     for a connection
 * @param firstDelay the approximate delay after the first failure; it doubles with each failure
 * @param maxDelay the maximum delay
 */
record RetryPolicy(int maxAttempts, Duration firstDelay, Duration maxDelay) {
    /** The maximum server-requested delay. If the server requests more, a call fails at once. */
    private static final Duration MAX_SERVER_DELAY = Duration.ofSeconds(30);

    static RetryPolicy ofAttempts(int maxAttempts) {
        return new RetryPolicy(maxAttempts, Duration.ofMillis(200), Duration.ofSeconds(5));
    }

    /**
     * Returns the nanoseconds until the next attempt, or a negative number if there is none.
     *
     * @param attempts the number of failed attempts
     * @param budget the time until which the call may be retried
     */
    long delay(int attempts, Status status, Metadata trailers, Deadline budget) {
        if (status.getCode() != Status.Code.UNAVAILABLE || attempts >= maxAttempts) {
            return -1;
        }
        Duration serverDelay =
                SwitchboardException.of(status, trailers).getRetryDelay().orElse(Duration.ZERO);
        if (serverDelay.compareTo(MAX_SERVER_DELAY) > 0) {
            return -1;
        }
        long delay = backoff(attempts) + serverDelay.toNanos();
        return budget.timeRemaining(TimeUnit.NANOSECONDS) <= delay ? -1 : delay;
    }

    /** Returns the server-requested delay in nanoseconds, at most 30 seconds, for streams and acknowledgements. */
    static long bounded(Duration serverDelay) {
        return (serverDelay.compareTo(MAX_SERVER_DELAY) > 0 ? MAX_SERVER_DELAY : serverDelay).toNanos();
    }

    /** Returns the nanoseconds to wait after consecutive failures: exponential, with jitter between 50 % and 100 %. */
    long backoff(int failures) {
        int doublings = Math.min(Math.max(failures - 1, 0), 20);
        long ceiling = Math.min(firstDelay.toNanos() << doublings, maxDelay.toNanos());
        return ceiling / 2 + ThreadLocalRandom.current().nextLong(ceiling / 2 + 1);
    }
}
