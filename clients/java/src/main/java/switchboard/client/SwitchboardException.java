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
import switchboard.v1.Error;
import switchboard.v1.FieldViolation;
import switchboard.v1.Provider;

/**
 * A failed call, with what the server says about it: decide on {@link #getReason()}, which {@code docs/errors.md}
 * explains one by one.
 *
 * <p>Stubs throw {@link StatusRuntimeException}; {@link #of(Throwable)} reads it. The code and the trailers that the call
 * ended with stay where gRPC has them, in {@link #getStatus()} and {@link #getTrailers()}, and the original is the cause.
 *
 * <p>A failure that Switchboard did not make (a broken connection, a deadline that has passed) has no reason: it says
 * nothing about what the server did.
 */
@SuppressWarnings("serial") // As its superclass: gRPC's status and trailers are not serializable either.
public final class SwitchboardException extends StatusRuntimeException {
    /** What happened. */
    private final String reason;

    /** Who defines the reason. */
    private final String domain;

    /** The facts that belong to the reason. */
    private final Map<String, String> metadata;

    /** What is wrong with the fields of the request. */
    private final List<FieldViolation> fieldViolations;

    /** How long to wait, or null. */
    private final Duration retryDelay;

    /** What the call carried, or empty. */
    private final String requestId;

    private SwitchboardException(Status status, Metadata trailers, Details details) {
        super(status, trailers);
        this.reason = details.reason;
        this.domain = details.domain;
        this.metadata = Collections.unmodifiableMap(new TreeMap<>(details.metadata));
        this.fieldViolations = List.copyOf(details.fieldViolations);
        this.retryDelay = details.retryDelay;
        this.requestId = RequestIds.fromTrailers(trailers);
    }

    /**
     * Reads the failure of a call.
     *
     * @param failure what a stub threw, or what a future or an observer was given: the first gRPC status in its chain of
     *     causes counts; without one it is {@code UNKNOWN}
     * @return the failure, itself if it has been read before
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
     * Reads a failure that came inside a stream, an event or a record.
     *
     * @param error what the server said
     * @return the same facts as a failed call has; what the provider said is in the metadata, its {@code raw_json} is not
     */
    public static SwitchboardException of(Error error) {
        Details details = new Details();
        details.reason = error.getReason();
        details.domain = "switchboard";
        details.metadata.putAll(error.getMetadataMap());
        if (error.getProvider() == Provider.PROVIDER_CONNECTBY) {
            details.metadata.putIfAbsent("provider", "connectby");
        } else if (error.getProvider() == Provider.PROVIDER_CONNECTLY) {
            details.metadata.putIfAbsent("provider", "connectly");
        }
        details.putIfPresent("provider_code", error.getProviderCode());
        details.putIfPresent("provider_type", error.getProviderType());
        details.putIfPresent("provider_trace_id", error.getProviderTraceId());
        details.fieldViolations.addAll(error.getFieldViolationsList());
        if (error.hasRetryDelay()) {
            details.retryDelay = Durations.of(error.getRetryDelay());
        }
        Status status = Status.fromCodeValue(error.getCode()).withDescription(error.getMessage());
        return new SwitchboardException(status, null, details);
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
     * Returns what happened, such as {@code RECIPIENT_NOT_REACHABLE}.
     *
     * @return the reason, empty when the failure is not the server's
     */
    public String getReason() {
        return reason;
    }

    /**
     * Returns who defines the reason.
     *
     * @return {@code switchboard}, or empty when the failure is not the server's
     */
    public String getDomain() {
        return domain;
    }

    /**
     * Returns the facts that belong to the reason, such as {@code message_id} and {@code attempt}.
     *
     * @return the facts by their keys
     */
    public Map<String, String> getMetadata() {
        return metadata;
    }

    /**
     * Returns what is wrong with the fields of the request.
     *
     * @return every fault with its field's path; empty when no field is to blame
     */
    public List<FieldViolation> getFieldViolations() {
        return fieldViolations;
    }

    /**
     * Returns how long to wait before the next call.
     *
     * @return the delay, empty when waiting is not known to help
     */
    public Optional<Duration> getRetryDelay() {
        return Optional.ofNullable(retryDelay);
    }

    /**
     * Returns the {@code request_id} that the failed write carried: the caller's, or the one that was filled in. With it,
     * {@code GetMessage} tells what became of a send, and the same call can be made once more.
     *
     * @return the id; empty when the call can have none, and for what is read of an {@link Error}
     */
    public String getRequestId() {
        return requestId;
    }

    /**
     * Returns code, reason and the server's sentence, which holds no message text and no secret.
     *
     * @return one line for a developer
     */
    @Override
    public String getMessage() {
        return reason == null || reason.isEmpty() ? super.getMessage() : reason + ": " + super.getMessage();
    }

    /** What the details of a status say. */
    private static final class Details {
        private String reason = "";
        private String domain = "";
        private final Map<String, String> metadata = new TreeMap<>();
        private final List<FieldViolation> fieldViolations = new ArrayList<>();
        private Duration retryDelay;

        private void putIfPresent(String key, String value) {
            if (!value.isEmpty()) {
                metadata.putIfAbsent(key, value);
            }
        }

        static Details of(Status status, Metadata trailers) {
            Details details = new Details();
            try {
                for (Any any :
                        StatusProto.fromStatusAndTrailers(status, trailers).getDetailsList()) {
                    details.add(any);
                }
            } catch (InvalidProtocolBufferException | IllegalArgumentException e) {
                // Details that cannot be read say nothing; the code still does.
            }
            return details;
        }

        private void add(Any any) throws InvalidProtocolBufferException {
            if (any.is(ErrorInfo.class)) {
                ErrorInfo info = any.unpack(ErrorInfo.class);
                reason = info.getReason();
                domain = info.getDomain();
                metadata.putAll(info.getMetadataMap());
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
