package switchboard.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.ForwardingClientCallListener.SimpleForwardingClientCallListener;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.nio.charset.StandardCharsets;
import java.util.UUID;
import switchboard.v1.CreateContactRequest;
import switchboard.v1.CreateWebhookRegistrationRequest;
import switchboard.v1.MediaHeader;
import switchboard.v1.SendMediaRequest;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.UploadTemplateMediaHeader;
import switchboard.v1.UploadTemplateMediaRequest;

/**
 * Generates a {@code request_id} for every write that can have one and has none. It stores the id in the trailers of
 * the call, where {@link SwitchboardException} finds it for any kind of stub.
 */
final class RequestIds implements ClientInterceptor {
    private static final Metadata.Key<String> REQUEST_ID =
            Metadata.Key.of("switchboard-request-id-bin", new Metadata.BinaryMarshaller<>() {
                @Override
                public byte[] toBytes(String id) {
                    return id.getBytes(StandardCharsets.UTF_8);
                }

                @Override
                public String parseBytes(byte[] id) {
                    return new String(id, StandardCharsets.UTF_8);
                }
            });

    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
        return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
            private volatile String requestId = "";

            @Override
            public void start(Listener<R> listener, Metadata headers) {
                super.start(
                        new SimpleForwardingClientCallListener<>(listener) {
                            @Override
                            public void onClose(Status status, Metadata trailers) {
                                super.onClose(status, with(requestId, trailers));
                            }
                        },
                        headers);
            }

            @Override
            public void sendMessage(Q message) {
                Q filled = fill(message);
                if (requestId.isEmpty()) {
                    requestId = of(filled);
                }
                super.sendMessage(filled);
            }
        };
    }

    /**
     * Copies the trailers and sets the id of the call, or removes it if the id is empty. A received value is replaced.
     */
    static Metadata with(String id, Metadata trailers) {
        Metadata copy = new Metadata();
        copy.merge(trailers);
        copy.discardAll(REQUEST_ID);
        if (!id.isEmpty()) {
            copy.put(REQUEST_ID, id);
        }
        return copy;
    }

    /** Returns the id in the trailers of a call, which may be null; empty if there is none. */
    static String fromTrailers(Metadata trailers) {
        String id = trailers == null ? null : trailers.get(REQUEST_ID);
        return id == null ? "" : id;
    }

    /** Returns the message with a generated id if it can have one and has none. */
    @SuppressWarnings("unchecked") // A builder builds a message of its own type.
    static <Q> Q fill(Q message) {
        if (message instanceof SendMessageRequest m && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(generate()).build();
        } else if (message instanceof CreateContactRequest m && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(generate()).build();
        } else if (message instanceof CreateWebhookRegistrationRequest m
                && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(generate()).build();
        } else if (message instanceof SendMediaRequest m && m.hasHeader()) {
            return (Q) m.toBuilder().setHeader(fill(m.getHeader())).build();
        } else if (message instanceof MediaHeader m && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(generate()).build();
        } else if (message instanceof UploadTemplateMediaRequest m && m.hasHeader()) {
            return (Q) m.toBuilder().setHeader(fill(m.getHeader())).build();
        } else if (message instanceof UploadTemplateMediaHeader m
                && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(generate()).build();
        }
        return message;
    }

    /** Returns the id of a write; empty if it has none. */
    static String of(Object message) {
        if (message instanceof SendMessageRequest m) {
            return m.getRequestId();
        } else if (message instanceof CreateContactRequest m) {
            return m.getRequestId();
        } else if (message instanceof CreateWebhookRegistrationRequest m) {
            return m.getRequestId();
        } else if (message instanceof SendMediaRequest m) {
            return m.getHeader().getRequestId();
        } else if (message instanceof UploadTemplateMediaRequest m) {
            return m.getHeader().getRequestId();
        }
        return "";
    }

    private static String generate() {
        return UUID.randomUUID().toString();
    }
}
