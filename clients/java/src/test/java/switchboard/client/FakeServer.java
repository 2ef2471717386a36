package switchboard.client;

import com.google.protobuf.Any;
import com.google.protobuf.Duration;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.MethodDescriptor.PrototypeMarshaller;
import io.grpc.Server;
import io.grpc.ServerCall;
import io.grpc.ServerCallHandler;
import io.grpc.ServerCredentials;
import io.grpc.ServerServiceDefinition;
import io.grpc.ServiceDescriptor;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.IntFunction;
import switchboard.v1.AccountServiceGrpc;
import switchboard.v1.ContactServiceGrpc;
import switchboard.v1.ConversationServiceGrpc;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.FlowServiceGrpc;
import switchboard.v1.MessageServiceGrpc;
import switchboard.v1.SubscriptionServiceGrpc;
import switchboard.v1.TemplateServiceGrpc;
import switchboard.v1.WebhookRegistrationServiceGrpc;

/** A server with scripted failures. Otherwise it returns an empty message. */
final class FakeServer implements AutoCloseable {
    static final List<ServiceDescriptor> SERVICES = List.of(
            AccountServiceGrpc.getServiceDescriptor(),
            ContactServiceGrpc.getServiceDescriptor(),
            ConversationServiceGrpc.getServiceDescriptor(),
            EventServiceGrpc.getServiceDescriptor(),
            FlowServiceGrpc.getServiceDescriptor(),
            MessageServiceGrpc.getServiceDescriptor(),
            SubscriptionServiceGrpc.getServiceDescriptor(),
            TemplateServiceGrpc.getServiceDescriptor(),
            WebhookRegistrationServiceGrpc.getServiceDescriptor());

    /** A received call: its method, messages, headers, and its time by {@link System#nanoTime}. */
    record Call(String method, List<Object> messages, Metadata headers, long time) {
        String header(String name) {
            return headers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
        }
    }

    final List<Call> calls = new CopyOnWriteArrayList<>();

    /** The failure of the call with this number, from 1; null for success. */
    volatile IntFunction<StatusRuntimeException> failures = number -> null;

    private final Server server;

    FakeServer() throws Exception {
        this(InsecureServerCredentials.create());
    }

    FakeServer(ServerCredentials credentials) throws Exception {
        var builder = Grpc.newServerBuilderForPort(0, credentials);
        for (ServiceDescriptor service : SERVICES) {
            var definition = ServerServiceDefinition.builder(service);
            service.getMethods().forEach(method -> define(definition, method));
            builder.addService(definition.build());
        }
        server = builder.build().start();
    }

    private <Q, R> void define(ServerServiceDefinition.Builder definition, MethodDescriptor<Q, R> method) {
        definition.addMethod(method, new ServerCallHandler<>() {
            @Override
            public ServerCall.Listener<Q> startCall(ServerCall<Q, R> call, Metadata headers) {
                call.request(Integer.MAX_VALUE);
                List<Object> messages = new ArrayList<>();
                return new ServerCall.Listener<>() {
                    @Override
                    public void onMessage(Q message) {
                        messages.add(message);
                    }

                    @Override
                    public void onHalfClose() {
                        StatusRuntimeException failure;
                        synchronized (calls) {
                            calls.add(new Call(method.getBareMethodName(), messages, headers, System.nanoTime()));
                            failure = failures.apply(calls.size());
                        }
                        if (failure != null) {
                            Metadata trailers =
                                    new Metadata(); // A new object, because the end of a call modifies the trailers.
                            if (failure.getTrailers() != null) {
                                trailers.merge(failure.getTrailers());
                            }
                            call.close(failure.getStatus(), trailers);
                            return;
                        }
                        call.sendHeaders(new Metadata());
                        call.sendMessage(
                                ((PrototypeMarshaller<R>) method.getResponseMarshaller()).getMessagePrototype());
                        call.close(Status.OK, new Metadata());
                    }
                };
            }
        });
    }

    /** A failure as the server creates it, with a retry delay in milliseconds unless that is negative. */
    static StatusRuntimeException failure(Status.Code code, String reason, long delay) {
        var status = com.google.rpc.Status.newBuilder()
                .setCode(code.value())
                .setMessage("scripted failure")
                .addDetails(Any.pack(ErrorInfo.newBuilder()
                        .setDomain("switchboard")
                        .setReason(reason)
                        .build()));
        if (delay >= 0) {
            status.addDetails(Any.pack(RetryInfo.newBuilder()
                    .setRetryDelay(
                            Duration.newBuilder().setSeconds(delay / 1000).setNanos((int) (delay % 1000) * 1_000_000))
                    .build()));
        }
        return StatusProto.toStatusRuntimeException(status.build());
    }

    /** A failure without a reason, as an intermediary or gRPC creates it. */
    static StatusRuntimeException bare(Status.Code code) {
        return Status.fromCode(code).withDescription("reset").asRuntimeException();
    }

    int port() {
        return server.getPort();
    }

    String address() {
        return "127.0.0.1:" + port();
    }

    @Override
    public void close() {
        server.shutdownNow();
    }
}
