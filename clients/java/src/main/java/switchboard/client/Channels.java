package switchboard.client;

import io.grpc.ManagedChannel;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.TimeUnit;
import java.util.function.Supplier;

/** Opens the channels of a client, and waits for their end. */
final class Channels {
    private final Supplier<ManagedChannel> dial;
    private final Set<ManagedChannel> open = ConcurrentHashMap.newKeySet();

    Channels(Supplier<ManagedChannel> dial) {
        this.dial = dial;
    }

    ManagedChannel dial() {
        open.removeIf(ManagedChannel::isTerminated);
        ManagedChannel channel = dial.get();
        open.add(channel);
        return channel;
    }

    /**
     * Shuts the channels down. Active calls may finish until {@code cancelAt}; then they are cancelled. The method
     * returns when no thread of a channel uses a class of gRPC any more, or at {@code deadline}.
     */
    void close(long cancelAt, long deadline) {
        open.forEach(ManagedChannel::shutdown);
        for (ManagedChannel channel : open) {
            if (!terminated(channel, cancelAt)) {
                channel.shutdownNow();
            }
        }
        open.forEach(channel -> terminated(channel, deadline));
    }

    boolean areTerminated() {
        return open.stream().allMatch(ManagedChannel::isTerminated);
    }

    private static boolean terminated(ManagedChannel channel, long deadline) {
        return Uninterruptibly.await(nanos -> channel.awaitTermination(nanos, TimeUnit.NANOSECONDS), deadline);
    }
}
