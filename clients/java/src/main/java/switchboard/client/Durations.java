package switchboard.client;

import java.time.Duration;

/** Converts protobuf durations to Java durations. */
final class Durations {
    /** An upper limit that fits into a long of nanoseconds. */
    private static final long MAX_SECONDS = 366L * 24 * 60 * 60;

    private Durations() {}

    static Duration of(com.google.protobuf.Duration duration) {
        long seconds = Math.min(Math.max(duration.getSeconds(), 0), MAX_SECONDS);
        return Duration.ofSeconds(seconds, Math.max(duration.getNanos(), 0));
    }
}
