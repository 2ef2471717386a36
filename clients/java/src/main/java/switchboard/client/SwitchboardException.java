package switchboard.client;

import com.google.protobuf.Any;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Metadata;
import io.grpc.Status;
import io.grpc.StatusException;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import switchboard.v1.Failure;
import switchboard.v1.FieldViolation;
import switchboard.v1.Provider;

/**
 * A failed call with the error details of Switchboard. Decide on {@link #getReason()}: {@link Reasons#parse} returns its
 * constant. {@code docs/errors.md} in the Switchboard repository explains every reason.
 *
 * <p>Stubs throw {@link StatusRuntimeException}; {@link #of(Throwable)} decodes it. {@link #getStatus()} and {@link
 * #getTrailers()} return the status and the trailers of the call. The original exception is the cause.
 *
 * <p>A failure that Switchboard did not create, such as a broken connection or a passed deadline, has no reason. After
 * it, the outcome of the call on the server is unknown.
 */
@SuppressWarnings("serial") // Like the superclass: the status and the trailers of gRPC are not serializable either.
public final class SwitchboardException extends StatusRuntimeException {
    /** The reason, or empty. */
    private final String reason;

    /** The domain of the reason. */
    private final String domain;

    /** The metadata of the reason. */
    private final Map<String, String> metadata;

    /** The provider's text, or empty. */
    private final String providerMessage;

    /** The invalid fields of the request. */
    private final List<FieldViolation> fieldViolations;

    /** The requested delay, or null. */
    private final Duration retryDelay;

    /** The request id of the call, or empty. */
    private final String requestId;

    private SwitchboardException(Status status, Metadata trailers, Details details) {
        super(status, trailers);
        this.reason = details.reason;
        this.domain = details.domain;
        this.providerMessage = details.providerMessage;
        this.metadata = Collections.unmodifiableMap(new TreeMap<>(details.metadata));
        this.fieldViolations = List.copyOf(details.fieldViolations);
        this.retryDelay = details.retryDelay;
        this.requestId = RequestIds.fromTrailers(trailers);
    }

    /**
     * Decodes the failure of a call.
     *
     * @param failure the exception from a stub, a future or an observer. The first gRPC status in its chain of causes
     *     is decoded; without one the code is {@code UNKNOWN}
     * @return the decoded failure, or the argument if it is already decoded
     */
    public static SwitchboardException of(Throwable failure) {
        for (Throwable cause = failure; cause != null; cause = cause.getCause()) {
            if (cause instanceof SwitchboardException decoded) {
                return decoded;
            } else if (cause instanceof StatusRuntimeException e) {
                return of(e.getStatus().withCause(e), e.getTrailers());
            } else if (cause instanceof StatusException e) {
                return of(e.getStatus().withCause(e), e.getTrailers());
            }
        }
        return of(Status.UNKNOWN.withCause(failure), null);
    }

    /**
     * Converts a failure inside a stream, an event or a message to an exception.
     *
     * @param failure the message from the server
     * @return an exception with the same details as a failed call. It omits the provider's raw error ({@code raw_json}),
     *     because that may quote the message
     */
    public static SwitchboardException of(Failure failure) {
        Details details = new Details();
        details.reason = failure.getReason();
        details.domain = "switchboard";
        details.setMetadata(failure.getMetadataMap());
        details.putIfPresent(
                "provider",
                failure.getProviderName().isEmpty() ? providerName(failure.getProvider()) : failure.getProviderName());
        details.putIfPresent("provider_code", failure.getProviderCode());
        details.putIfPresent("provider_type", failure.getProviderType());
        details.putIfPresent("provider_trace_id", failure.getProviderTraceId());
        if (!failure.getProviderMessage().isEmpty()) {
            details.providerMessage = failure.getProviderMessage();
        }
        details.fieldViolations.addAll(failure.getFieldViolationsList());
        if (failure.hasRetryDelay()) {
            details.retryDelay = Durations.of(failure.getRetryDelay());
        }
        Status status = Status.fromCodeValue(failure.getCode());
        // A failure has no status OK.
        status = (status.isOk() ? Status.UNKNOWN : status).withDescription(failure.getMessage());
        return new SwitchboardException(status, null, details);
    }

    private static String providerName(Provider provider) {
        return switch (provider) {
            case PROVIDER_CONNECTBY -> "connectby";
            case PROVIDER_CONNECTLY -> "connectly";
            case PROVIDER_UNSPECIFIED, UNRECOGNIZED -> "";
        };
    }

    static SwitchboardException of(Status status, Metadata trailers) {
        return new SwitchboardException(status, trailers, Details.of(status, trailers));
    }

    /**
     * Returns the gRPC code.
     *
     * @return the code
     */
    public Status.Code getCode() {
        return getStatus().getCode();
    }

    /**
     * Returns the text of the reason, such as {@code RECIPIENT_NOT_REACHABLE}. {@link Reasons#parse} returns its
     * constant.
     *
     * @return the reason; empty if Switchboard did not create the failure
     */
    public String getReason() {
        return reason;
    }

    /**
     * Returns the domain of the reason.
     *
     * @return {@code switchboard}; empty if Switchboard did not create the failure
     */
    public String getDomain() {
        return domain;
    }

    /**
     * Returns the metadata of the reason, such as {@code message_id}, {@code attempt} and {@code provider_code}.
     *
     * @return the values by key, without {@code provider_message}: see {@link #getProviderMessage()}
     */
    public Map<String, String> getMetadata() {
        return metadata;
    }

    /**
     * Returns what the provider wrote about the failure, at most 256 characters. The text may quote the message: treat
     * it as message content, and do not log it. Neither {@link #getMessage()} nor {@link #getMetadata()} contains it.
     *
     * @return the text; empty if the provider wrote nothing
     */
    public String getProviderMessage() {
        return providerMessage;
    }

    /**
     * Returns the invalid fields of the request.
     *
     * @return every violation with the path of its field; empty if no field is invalid
     */
    public List<FieldViolation> getFieldViolations() {
        return fieldViolations;
    }

    /**
     * Returns how long to wait before a retry.
     *
     * @return the delay; empty if waiting is not known to help
     */
    public Optional<Duration> getRetryDelay() {
        return Optional.ofNullable(retryDelay);
    }

    /**
     * Returns the {@code request_id} of the failed write, given or generated. Pass it to {@code GetMessage} to read the
     * outcome of a send, or retry the call with it.
     *
     * @return the id; empty if the call has none, or if the exception was converted from a {@link Failure}
     */
    public String getRequestId() {
        return requestId;
    }

    /**
     * Returns the code, the reason and the description of the server, without message text and secrets. If the
     * connection failed, it includes the causes.
     *
     * @return one line for a developer
     */
    @Override
    public String getMessage() {
        if (reason != null && !reason.isEmpty()) {
            return reason + ": " + super.getMessage();
        }
        StringBuilder message = new StringBuilder(super.getMessage());
        if (getCode() == Status.Code.UNAVAILABLE) {
            // gRPC's own description is only "io exception".
            for (Throwable cause = getStatus().getCause(); cause != null; cause = cause.getCause()) {
                boolean hasStatus = cause instanceof StatusRuntimeException || cause instanceof StatusException;
                if (!hasStatus && cause.getMessage() != null && message.indexOf(cause.getMessage()) < 0) {
                    message.append(": ").append(cause.getMessage());
                }
            }
        }
        // gRPC quotes exceptions with line breaks.
        return message.toString().replace("\n", " ");
    }

    /**
     * Whether the connection failed. gRPC reports most connection failures as UNAVAILABLE, and a reset or truncated
     * stream with other codes. These have no reason, while errors of the server have one.
     */
    boolean isConnectionFailure() {
        return switch (getCode()) {
            case UNAVAILABLE -> true;
            case INTERNAL, CANCELLED, UNKNOWN -> reason.isEmpty();
            default -> false;
        };
    }

    /** The decoded details of a status. */
    private static final class Details {
        private static final String PROVIDER_MESSAGE = "provider_message";

        private String reason = "";
        private String domain = "";
        private final Map<String, String> metadata = new TreeMap<>();
        private String providerMessage = "";
        private final List<FieldViolation> fieldViolations = new ArrayList<>();
        private Duration retryDelay;

        private void putIfPresent(String key, String value) {
            if (!value.isEmpty()) {
                metadata.put(key, value);
            }
        }

        private void setMetadata(Map<String, String> received) {
            metadata.putAll(received);
            providerMessage = received.getOrDefault(PROVIDER_MESSAGE, "");
            metadata.remove(PROVIDER_MESSAGE);
        }

        static Details of(Status status, Metadata trailers) {
            Details details = new Details();
            try {
                for (Any any :
                        StatusProto.fromStatusAndTrailers(status, trailers).getDetailsList()) {
                    details.add(any);
                }
            } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
                // The details cannot be decoded. The status code is valid without them.
            }
            return details;
        }

        private void add(Any any) throws InvalidProtocolBufferException {
            if (any.is(ErrorInfo.class)) {
                ErrorInfo info = any.unpack(ErrorInfo.class);
                reason = info.getReason();
                domain = info.getDomain();
                setMetadata(info.getMetadataMap());
            } else if (any.is(BadRequest.class)) {
                for (BadRequest.FieldViolation violation :
                        any.unpack(BadRequest.class).getFieldViolationsList()) {
                    fieldViolations.add(FieldViolation.newBuilder()
                            .setField(violation.getField())
                            .setReason(violation.getReason())
                            .setDescription(violation.getDescription())
                            .build());
                }
            } else if (any.is(RetryInfo.class)) {
                retryDelay = Durations.of(any.unpack(RetryInfo.class).getRetryDelay());
            }
        }
    }
}
