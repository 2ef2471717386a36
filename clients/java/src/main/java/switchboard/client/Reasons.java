package switchboard.client;

import switchboard.v1.Reason;

/** Converts the text of reasons to constants. */
public final class Reasons {
    private static final String PREFIX = "REASON_";

    private Reasons() {}

    /**
     * Returns the constant for the text of a reason: {@link SwitchboardException#getReason()}, or the {@code reason} of
     * a {@link switchboard.v1.Failure}. The text itself stays in the field that it was read from.
     *
     * @param text the text, such as {@code RECIPIENT_NOT_REACHABLE}
     * @return the constant; {@link Reason#REASON_UNSPECIFIED} for an empty text, and for a reason that is newer than this
     *     package. For these, decide on the gRPC code
     */
    public static Reason parse(String text) {
        var value = Reason.getDescriptor().findValueByName(PREFIX + text);
        return value == null ? Reason.REASON_UNSPECIFIED : Reason.valueOf(value);
    }
}
