package switchboard.client;

import io.grpc.Attributes;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.ClientInterceptor;
import io.grpc.Context;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.MethodType;
import io.grpc.Status;
import java.lang.System.Logger;
import java.lang.System.Logger.Level;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import switchboard.v1.WebhookRegistrationServiceGrpc;

/**
 * Retries unary calls of {@code switchboard.v1} that fail with UNAVAILABLE: reads, writes with a {@code request_id}, and
 * calls with the option {@link #REPEATABLE}. All attempts of a call share its deadline. Calls with a deadline wait for a
 * connection.
 */
final class Retries implements ClientInterceptor {
    /** Marks a call that is safe to repeat although it has no {@code request_id}. */
    static final CallOptions.Key<Boolean> REPEATABLE =
            CallOptions.Key.createWithDefault("switchboard-repeatable", false);

    /** How long a call without a deadline is retried. */
    private static final long DEFAULT_BUDGET_SECONDS = 60;

    private static final Logger LOG = System.getLogger(Retries.class.getPackageName());

    private final ManagedChannel channel;
    private final RetryPolicy policy;
    private final Background background;

    Retries(ManagedChannel channel, RetryPolicy policy, Background background) {
        this.channel = channel;
        this.policy = policy;
        this.background = background;
    }

    @Override
    public <Q, R> ClientCall<Q, R> interceptCall(MethodDescriptor<Q, R> method, CallOptions options, Channel next) {
        Deadline deadline = deadline(options);
        // A call that waits for a connection has not left the client, so this is safe for every write. A call without a
        // deadline fails instead, because it could wait for ever.
        CallOptions waiting = deadline == null || policy.maxAttempts() == 1 ? options : options.withWaitForReady();
        String service = method.getServiceName();
        boolean switchboardCall = service != null && service.startsWith("switchboard.v1.");
        return switchboardCall && method.getType() == MethodType.UNARY
                ? new Call<>(method, waiting, next, deadline)
                : next.newCall(method, waiting);
    }

    /** Returns the deadline of a call, or null: its own, or an earlier one of the gRPC context. */
    private static Deadline deadline(CallOptions options) {
        Deadline outer = Context.current().getDeadline();
        Deadline own = options.getDeadline();
        return outer == null ? own : own == null ? outer : own.minimum(outer);
    }

    static boolean isRead(MethodDescriptor<?, ?> method) {
        String name = String.valueOf(method.getBareMethodName());
        return name.startsWith("Get")
                || name.startsWith("List")
                || method.getFullMethodName()
                        .equals(WebhookRegistrationServiceGrpc.getVerifyWebhookSignatureMethod()
                                .getFullMethodName());
    }

    /** One call with its attempts. It buffers the request until half-close, and the response until it is final. */
    private final class Call<Q, R> extends ClientCall<Q, R> {
        private final MethodDescriptor<Q, R> method;
        private final CallOptions options;
        private final Channel next;
        private final Context context = Context.current();
        private final Deadline budget;

        private Listener<R> listener;
        private Metadata headers;
        private Q message;
        private boolean compressed = true;

        // Guarded by the lock of this call, which is never held during calls to other objects.
        private ClientCall<Q, R> current;
        private boolean waiting = true; // No attempt is active: the request is incomplete, or a delay is pending.
        private Status cancelled;
        private int requested;
        private int attempts;

        Call(MethodDescriptor<Q, R> method, CallOptions options, Channel next, Deadline deadline) {
            this.method = method;
            this.options = options;
            this.next = next;
            this.budget = deadline == null ? Deadline.after(DEFAULT_BUDGET_SECONDS, TimeUnit.SECONDS) : deadline;
        }

        @Override
        public void start(Listener<R> listener, Metadata headers) {
            this.listener = listener;
            this.headers = headers;
        }

        @Override
        public void sendMessage(Q message) {
            this.message = message;
        }

        @Override
        public void halfClose() {
            attempt();
        }

        @Override
        public void request(int messages) {
            ClientCall<Q, R> call;
            synchronized (this) {
                requested += messages;
                call = current;
            }
            if (call != null) {
                call.request(messages);
            }
        }

        @Override
        public void cancel(String reason, Throwable cause) {
            ClientCall<Q, R> call;
            boolean idle;
            synchronized (this) {
                if (cancelled != null) {
                    return;
                }
                cancelled = Status.CANCELLED.withDescription(reason).withCause(cause);
                call = current;
                idle = waiting;
            }
            if (idle) {
                closeCancelled(cause);
            } else if (call != null) {
                call.cancel(reason, cause);
            } // Otherwise an attempt is starting and will see the cancellation.
        }

        @Override
        public void setMessageCompression(boolean enabled) {
            compressed = enabled;
        }

        @Override
        public Attributes getAttributes() {
            synchronized (this) {
                return current == null ? Attributes.EMPTY : current.getAttributes();
            }
        }

        private void attempt() {
            synchronized (this) {
                if (cancelled != null) {
                    return;
                }
                waiting = false;
                attempts++;
            }
            context.run(() -> {
                ClientCall<Q, R> call = next.newCall(method, options);
                call.start(new Attempt(), copyOfHeaders());
                int credit;
                Status cancellation;
                synchronized (this) {
                    current = call;
                    credit = requested;
                    cancellation = cancelled;
                }
                if (cancellation != null) {
                    call.cancel(cancellation.getDescription(), cancellation.getCause());
                    return;
                }
                call.request(credit);
                call.setMessageCompression(compressed);
                call.sendMessage(message);
                call.halfClose();
            });
        }

        private void attemptAgain() {
            try {
                attempt();
            } catch (RuntimeException e) { // On this thread, nothing else reports it.
                listener.onClose(Status.fromThrowable(e), new Metadata());
            }
        }

        /** Schedules another attempt if the call may be retried. Returns whether it did. */
        private boolean retry(Status status, Metadata trailers) {
            boolean repeatable = isRead(method) || !RequestIds.of(message).isEmpty() || options.getOption(REPEATABLE);
            if (!repeatable || channel.isShutdown()) {
                return false;
            }
            long delay;
            int attempt;
            synchronized (this) {
                attempt = attempts;
                delay = cancelled == null ? policy.delay(attempts, status, trailers, budget) : -1;
                if (delay < 0) {
                    return false;
                }
                current = null;
                waiting = true;
            }
            LOG.log(Level.DEBUG, () -> "attempt %d of %s failed, retrying in %d ms: %s"
                    .formatted(
                            attempt,
                            method.getFullMethodName(),
                            TimeUnit.NANOSECONDS.toMillis(delay),
                            SwitchboardException.of(status, trailers).getMessage()));
            if (background.schedule(this::attemptAgain, delay)) {
                return true;
            }
            synchronized (this) {
                waiting = false;
                return cancelled != null; // If so, the cancellation has closed the call.
            }
        }

        /** Notifies the listener on the thread that gRPC would use, through a call that is already cancelled. */
        private void closeCancelled(Throwable cause) {
            if (listener == null) {
                return;
            }
            Context.CancellableContext cancelledContext = context.withCancellation();
            cancelledContext.cancel(cause);
            cancelledContext.run(() -> next.newCall(method, options)
                    .start(
                            new Listener<>() {
                                @Override
                                public void onClose(Status status, Metadata trailers) {
                                    listener.onClose(cancelled, trailers);
                                }
                            },
                            copyOfHeaders()));
        }

        private Metadata copyOfHeaders() {
            Metadata copy = new Metadata();
            copy.merge(headers);
            return copy;
        }

        /** Buffers a response until the attempt is known to be the last. */
        private final class Attempt extends Listener<R> {
            private final List<R> messages = new ArrayList<>(1);
            private Metadata responseHeaders;

            @Override
            public void onHeaders(Metadata headers) {
                responseHeaders = headers;
            }

            @Override
            public void onMessage(R message) {
                messages.add(message);
            }

            @Override
            public void onClose(Status status, Metadata trailers) {
                if (messages.isEmpty() && retry(status, trailers)) {
                    return;
                }
                if (responseHeaders != null) {
                    listener.onHeaders(responseHeaders);
                }
                messages.forEach(listener::onMessage);
                listener.onClose(status, trailers);
            }
        }
    }
}
