package switchboard.client;

import com.google.protobuf.Duration;
import io.grpc.Grpc;
import io.grpc.InsecureServerCredentials;
import io.grpc.Server;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.StreamObserver;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.function.IntFunction;
import org.junit.jupiter.api.AfterEach;
import switchboard.v1.AcknowledgeRequest;
import switchboard.v1.AcknowledgeResponse;
import switchboard.v1.ClosingReason;
import switchboard.v1.Event;
import switchboard.v1.EventServiceGrpc;
import switchboard.v1.SubscribeClosing;
import switchboard.v1.SubscribeGap;
import switchboard.v1.SubscribeHeartbeat;
import switchboard.v1.SubscribeRequest;
import switchboard.v1.SubscribeResponse;
import switchboard.v1.SubscribeStarted;
import switchboard.v1.SubscriptionServiceGrpc;

/** An event server with scripted streams, which records its requests. */
abstract class ScriptedStreams {
    /** The script of one stream. */
    interface Script {
        void accept(StreamObserver<SubscribeResponse> stream);
    }

    static final SubscribeRequest LATEST = SubscribeRequest.getDefaultInstance();

    final List<SubscribeRequest> requests = new CopyOnWriteArrayList<>();
    final List<Long> requestedAt = new CopyOnWriteArrayList<>();
    final List<AutoCloseable> open = new ArrayList<>();

    /** The received requests in order: {@code opened} and {@code cursor of generation}. */
    final List<String> log = new CopyOnWriteArrayList<>();

    final BlockingQueue<AcknowledgeRequest> acknowledged = new LinkedBlockingQueue<>();

    /** The failure of the acknowledgement with this number, from 1; null for success. */
    volatile IntFunction<StatusRuntimeException> acknowledgeFailures = number -> null;

    private int acknowledgements;
    private List<Script> scripts = List.of();
    Server server;

    @AfterEach
    void stop() throws Exception {
        for (AutoCloseable closeable : open) {
            closeable.close();
        }
        if (server != null) {
            server.shutdownNow();
        }
    }

    /** Starts a server that runs one script per stream. The last script serves all later streams. */
    SwitchboardClient serve(Script... scripts) throws IOException {
        this.scripts = List.of(scripts);
        server = Grpc.newServerBuilderForPort(0, InsecureServerCredentials.create())
                .addService(new EventServiceGrpc.EventServiceImplBase() {
                    @Override
                    public void subscribe(SubscribeRequest request, StreamObserver<SubscribeResponse> stream) {
                        script(request).accept(stream);
                    }
                })
                .addService(new SubscriptionServiceGrpc.SubscriptionServiceImplBase() {
                    @Override
                    public void acknowledge(AcknowledgeRequest request, StreamObserver<AcknowledgeResponse> answer) {
                        StatusRuntimeException refusal = acknowledgement(request);
                        if (refusal != null) {
                            answer.onError(refusal);
                            return;
                        }
                        answer.onNext(AcknowledgeResponse.newBuilder()
                                .setCursor(request.getCursor())
                                .build());
                        answer.onCompleted();
                    }
                })
                .build()
                .start();
        return client("127.0.0.1:" + server.getPort());
    }

    private synchronized Script script(SubscribeRequest request) {
        log.add("opened");
        requests.add(request);
        requestedAt.add(System.nanoTime());
        return scripts.get(Math.min(requests.size(), scripts.size()) - 1);
    }

    private synchronized StatusRuntimeException acknowledgement(AcknowledgeRequest request) {
        log.add(request.getCursor() + " of " + request.getGeneration());
        acknowledged.add(request);
        acknowledgements++;
        return acknowledgeFailures.apply(acknowledgements);
    }

    SwitchboardClient client(String address) {
        return client(address, java.time.Duration.ofSeconds(20));
    }

    SwitchboardClient client(String address, java.time.Duration connectTimeout) {
        SwitchboardClient client = SwitchboardClient.builder(address)
                .plaintext()
                .connectionTimings(connectTimeout, java.time.Duration.ofMillis(20))
                .finalAcknowledgeTimeout(java.time.Duration.ofSeconds(20))
                .build();
        open.add(client);
        return client;
    }

    static SubscribeResponse started(String cursor, long heartbeatMillis) {
        return SubscribeResponse.newBuilder()
                .setStarted(SubscribeStarted.newBuilder()
                        .setCursor(cursor)
                        .setHeartbeatInterval(Duration.newBuilder()
                                .setSeconds(heartbeatMillis / 1000)
                                .setNanos((int) (heartbeatMillis % 1000) * 1_000_000)))
                .build();
    }

    static SubscribeResponse started(String cursor) {
        return started(cursor, 20_000);
    }

    static SubscribeResponse event(String cursor) {
        return SubscribeResponse.newBuilder()
                .setEvent(Event.newBuilder().setEventId("evt_" + cursor).setCursor(cursor))
                .build();
    }

    static SubscribeResponse heartbeat(String cursor) {
        return SubscribeResponse.newBuilder()
                .setHeartbeat(SubscribeHeartbeat.newBuilder().setCursor(cursor))
                .build();
    }

    static SubscribeResponse closing(String cursor, ClosingReason reason, long millis) {
        return SubscribeResponse.newBuilder()
                .setClosing(SubscribeClosing.newBuilder()
                        .setCursor(cursor)
                        .setReason(reason)
                        .setRetryDelay(Duration.newBuilder().setNanos((int) millis * 1_000_000)))
                .build();
    }

    static SubscribeResponse gap(String after, String resume) {
        return SubscribeResponse.newBuilder()
                .setGap(SubscribeGap.newBuilder()
                        .setAfterCursor(after)
                        .setResumeCursor(resume)
                        .setMissed(3))
                .build();
    }

    static SubscribeResponse startedWithGeneration(String cursor, int generation) {
        return SubscribeResponse.newBuilder()
                .setStarted(started(cursor).getStarted().toBuilder().setGeneration(generation))
                .build();
    }

    /** Sends the responses and leaves the stream open. */
    static Script send(SubscribeResponse... responses) {
        return stream -> List.of(responses).forEach(stream::onNext);
    }

    static Script fail(Throwable failure, SubscribeResponse... responses) {
        return stream -> {
            send(responses).accept(stream);
            stream.onError(failure);
        };
    }

    static Script complete(SubscribeResponse... responses) {
        return stream -> {
            send(responses).accept(stream);
            stream.onCompleted();
        };
    }

    static StatusRuntimeException unavailable() {
        return FakeServer.failure(Status.Code.UNAVAILABLE, "SERVER_STOPPING", -1);
    }

    /** Ends the loop: the server reports that max_events is reached. */
    static Script end(SubscribeResponse... responses) {
        return stream -> {
            send(responses).accept(stream);
            complete(closing("end", ClosingReason.CLOSING_REASON_MAX_EVENTS, 0)).accept(stream);
        };
    }

    static List<String> cursors(EventStream events) {
        List<String> cursors = new ArrayList<>();
        for (Event event : events) {
            cursors.add(event.getCursor());
        }
        return cursors;
    }
}
