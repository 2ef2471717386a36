package switchboard.client;

import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.Status;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;

/**
 * When to try again, and after how long.
 *
 * @param maxAttempts the most attempts of one call, the first included
 * @param firstDelay about how long to wait after the first failure; it doubles with each
 * @param maxDelay where the doubling ends
 */
record RetryPolicy(int maxAttempts, Duration firstDelay, Duration maxDelay) {
    /** A server that asks for more than this is not waited for so long: the caller of a call is told instead. */
    private static final Duration MAX_SERVER_DELAY = Duration.ofSeconds(30);

    static RetryPolicy ofAttempts(int maxAttempts) {
        return new RetryPolicy(maxAttempts, Duration.ofMillis(200), Duration.ofSeconds(5));
    }

    /**
     * How many nanoseconds to wait before the next attempt, or a negative number when there is none.
     *
     * @param attempts how many attempts have failed
     * @param deadline of the call, or null
     */
    long delay(int attempts, Status status, Metadata trailers, Deadline deadline) {
        if (status.getCode() != Status.Code.UNAVAILABLE || attempts >= maxAttempts) {
            return -1;
        }
        Duration serverDelay =
                SwitchboardException.of(status, trailers).getRetryDelay().orElse(Duration.ZERO);
        if (serverDelay.compareTo(MAX_SERVER_DELAY) > 0) {
            return -1;
        }
        long delay = backoff(attempts) + serverDelay.toNanos();
        return deadline != null && deadline.timeRemaining(TimeUnit.NANOSECONDS) <= delay ? -1 : delay;
    }

    /** How many nanoseconds to wait before a stream is opened anew, or an acknowledgement made again. */
    static long bounded(Duration serverDelay) {
        return (serverDelay.compareTo(MAX_SERVER_DELAY) > 0 ? MAX_SERVER_DELAY : serverDelay).toNanos();
    }

    /** How many nanoseconds to wait after so many failures: between the half and the whole of a doubling time. */
    long backoff(int failures) {
        int doublings = Math.min(Math.max(failures - 1, 0), 20);
        long ceiling = Math.min(firstDelay.toNanos() << doublings, maxDelay.toNanos());
        return ceiling / 2 + ThreadLocalRandom.current().nextLong(ceiling / 2 + 1);
    }
}
