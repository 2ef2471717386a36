package switchboard.client;

import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.ForwardingClientCall.SimpleForwardingClientCall;
import io.grpc.MethodDescriptor;
import java.util.UUID;
import switchboard.v1.CreateContactRequest;
import switchboard.v1.CreateWebhookRequest;
import switchboard.v1.MediaHeader;
import switchboard.v1.SendMediaRequest;
import switchboard.v1.SendMessageRequest;
import switchboard.v1.UploadTemplateMediaHeader;
import switchboard.v1.UploadTemplateMediaRequest;

/** Gives every write that can be made repeatable a {@code request_id}, where the caller left it empty. */
final class RequestIds implements ClientInterceptor {
    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
        return new SimpleForwardingClientCall<>(next.newCall(method, options)) {
            @Override
            public void sendMessage(Q message) {
                super.sendMessage(fill(message));
            }
        };
    }

    /** The same message, with an id if it can have one and has none. */
    @SuppressWarnings("unchecked") // A message's builder builds a message of its own type.
    static <Q> Q fill(Q message) {
        if (message instanceof SendMessageRequest m && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(fresh()).build();
        } else if (message instanceof CreateContactRequest m && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(fresh()).build();
        } else if (message instanceof CreateWebhookRequest m && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(fresh()).build();
        } else if (message instanceof SendMediaRequest m && m.hasHeader()) {
            return (Q) m.toBuilder().setHeader(fill(m.getHeader())).build();
        } else if (message instanceof MediaHeader m && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(fresh()).build();
        } else if (message instanceof UploadTemplateMediaRequest m && m.hasHeader()) {
            return (Q) m.toBuilder().setHeader(fill(m.getHeader())).build();
        } else if (message instanceof UploadTemplateMediaHeader m
                && m.getRequestId().isEmpty()) {
            return (Q) m.toBuilder().setRequestId(fresh()).build();
        }
        return message;
    }

    /** Whether repeating this write is safe. Only unary requests: an upload is more than its header. */
    static boolean has(Object message) {
        return message instanceof SendMessageRequest m && !m.getRequestId().isEmpty()
                || message instanceof CreateContactRequest c
                        && !c.getRequestId().isEmpty()
                || message instanceof CreateWebhookRequest w
                        && !w.getRequestId().isEmpty();
    }

    private static String fresh() {
        return UUID.randomUUID().toString();
    }
}
