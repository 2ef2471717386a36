package switchboard.client;

import java.util.Objects;
import java.util.function.Consumer;
import switchboard.v1.SubscribeGap;

/** Options of an event stream. The loop calls the functions on its own thread. */
public final class SubscribeOptions {
    private static final SubscribeOptions DEFAULTS = new SubscribeOptions(null, cause -> {});

    private final Consumer<SubscribeGap> onGap;
    private final Consumer<SwitchboardException> onReconnect;

    private SubscribeOptions(Consumer<SubscribeGap> onGap, Consumer<SwitchboardException> onReconnect) {
        this.onGap = onGap;
        this.onReconnect = onReconnect;
    }

    /**
     * Returns options without functions.
     *
     * @return the options
     */
    public static SubscribeOptions defaults() {
        return DEFAULTS;
    }

    /**
     * Sets the function that receives gaps, between two events, when events in between have expired.
     * {@code EXPIRED_POLICY_SKIP_WITH_GAP} requires it, and no other policy calls it. An exception that it throws ends
     * the loop.
     *
     * @param onGap receives each gap
     * @return options with the function
     */
    public SubscribeOptions onGap(Consumer<SubscribeGap> onGap) {
        return new SubscribeOptions(Objects.requireNonNull(onGap, "onGap"), onReconnect);
    }

    /**
     * Sets a function for metrics and alerts. It is called when a stream broke or could not be opened, before the next one
     * is opened. The logger {@code switchboard.client} reports the same.
     *
     * @param onReconnect receives the cause
     * @return options with the function
     */
    public SubscribeOptions onReconnect(Consumer<SwitchboardException> onReconnect) {
        return new SubscribeOptions(onGap, Objects.requireNonNull(onReconnect, "onReconnect"));
    }

    boolean acceptsGaps() {
        return onGap != null;
    }

    void reportGap(SubscribeGap gap) {
        if (onGap != null) {
            onGap.accept(gap);
        }
    }

    void reportReconnect(SwitchboardException cause) {
        onReconnect.accept(cause);
    }
}
