package switchboard.client;

import io.grpc.ConnectivityState;
import io.grpc.ManagedChannel;

/**
 * Limits the time until a channel connects again. gRPC's own backoff grows to two minutes, so a call that waits for a
 * connection would miss a server that restarts within its deadline.
 */
final class Reconnects {
    private final ManagedChannel channel;
    private final RetryPolicy policy;
    private final Background background;
    private int failures;
    private boolean scheduled;

    private Reconnects(ManagedChannel channel, RetryPolicy policy, Background background) {
        this.channel = channel;
        this.policy = policy;
        this.background = background;
    }

    static void watch(ManagedChannel channel, RetryPolicy policy, Background background) {
        new Reconnects(channel, policy, background).update();
    }

    private synchronized void update() {
        ConnectivityState state = channel.getState(false);
        if (state == ConnectivityState.READY) {
            failures = 0;
        } else if (state == ConnectivityState.TRANSIENT_FAILURE) {
            schedule();
        }
        if (state != ConnectivityState.SHUTDOWN) {
            channel.notifyWhenStateChanged(state, this::update);
        }
    }

    private void schedule() {
        if (!scheduled) {
            failures++;
            scheduled = background.schedule(this::connect, policy.backoff(failures));
        }
    }

    /** Connects now. The state of the channel does not change before the connection is made. */
    private synchronized void connect() {
        scheduled = false;
        if (channel.getState(false) == ConnectivityState.TRANSIENT_FAILURE) {
            channel.resetConnectBackoff();
            schedule();
        }
    }
}
