package switchboard.client;

import com.google.protobuf.ByteString;
import io.grpc.CallOptions;
import io.grpc.Channel;
import io.grpc.ClientCall;
import io.grpc.Deadline;
import io.grpc.ManagedChannel;
import io.grpc.Metadata;
import io.grpc.MethodDescriptor;
import io.grpc.Status;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Function;

/** A file to upload. If it can be read again, the client retries the upload after UNAVAILABLE. */
public final class Upload {
    private static final int CHUNK_BYTES = 256 * 1024;

    private final Source source;
    private final boolean repeatable;

    private Upload(Source source, boolean repeatable) {
        this.source = source;
        this.repeatable = repeatable;
    }

    /**
     * Uploads bytes.
     *
     * @param bytes the whole file; they are not copied, so do not modify them
     * @return the file
     */
    public static Upload of(byte[] bytes) {
        return new Upload(() -> new ByteArrayInputStream(bytes), true);
    }

    /**
     * Uploads a local file.
     *
     * @param file the path of the file, which is read for each attempt
     * @return the file
     */
    public static Upload of(Path file) {
        return new Upload(() -> Files.newInputStream(file), true);
    }

    /**
     * Uploads the content of a stream. There is one attempt, because a stream can be read only once.
     *
     * @param stream the content, which is read to its end and closed
     * @return the file
     */
    public static Upload of(InputStream stream) {
        return new Upload(() -> stream, false);
    }

    /** Sends the first message with the header, and then the file in chunks. */
    <Q, R> R send(
            ManagedChannel channel,
            Channel calls,
            RetryPolicy policy,
            MethodDescriptor<Q, R> method,
            Deadline deadline,
            Q first,
            Function<ByteString, Q> toRequest) {
        for (int attempts = 1; ; attempts++) {
            Attempt<Q, R> attempt = new Attempt<>(calls.newCall(method, CallOptions.DEFAULT.withDeadline(deadline)));
            try (InputStream file = source.open()) {
                return attempt.send(first, file, toRequest);
            } catch (IOException e) {
                attempt.call.cancel("the file cannot be read", e);
                throw new UncheckedIOException(e);
            } catch (InterruptedException e) {
                attempt.call.cancel("interrupted", e);
                throw interrupted(e, first);
            } catch (SwitchboardException e) {
                long delay = repeatable && !channel.isShutdown()
                        ? policy.delay(attempts, e.getStatus(), e.getTrailers(), deadline)
                        : -1;
                if (delay < 0) {
                    throw e;
                }
                try {
                    TimeUnit.NANOSECONDS.sleep(delay);
                } catch (InterruptedException interrupt) {
                    throw interrupted(interrupt, first);
                }
            }
        }
    }

    private static SwitchboardException interrupted(InterruptedException e, Object first) {
        Thread.currentThread().interrupt();
        return SwitchboardException.of(
                Status.CANCELLED.withDescription("interrupted").withCause(e),
                RequestIds.with(RequestIds.of(first), new Metadata()));
    }

    @FunctionalInterface
    private interface Source {
        InputStream open() throws IOException;
    }

    /** One call, with flow control. */
    private static final class Attempt<Q, R> extends ClientCall.Listener<R> {
        private final ClientCall<Q, R> call;
        private final ReentrantLock lock = new ReentrantLock();
        private final Condition changed = lock.newCondition();
        private R response;
        private Status status;
        private Metadata trailers;

        Attempt(ClientCall<Q, R> call) {
            this.call = call;
        }

        R send(Q first, InputStream file, Function<ByteString, Q> toRequest) throws IOException, InterruptedException {
            call.start(this, new Metadata());
            call.request(1);
            call.sendMessage(first);
            byte[] buffer = new byte[CHUNK_BYTES];
            for (int n; (n = file.readNBytes(buffer, 0, CHUNK_BYTES)) > 0 && awaitReady(); ) {
                call.sendMessage(toRequest.apply(ByteString.copyFrom(buffer, 0, n)));
            }
            call.halfClose();
            return awaitResponse();
        }

        /** Waits until the call accepts a message. Returns false if the call has ended. */
        private boolean awaitReady() throws InterruptedException {
            lock.lock();
            try {
                while (status == null && !call.isReady()) {
                    changed.await();
                }
                return status == null;
            } finally {
                lock.unlock();
            }
        }

        private R awaitResponse() throws InterruptedException {
            lock.lock();
            try {
                while (status == null) {
                    changed.await();
                }
                if (status.isOk() && response == null) {
                    throw SwitchboardException.of(
                            Status.INTERNAL.withDescription("the server sent no response"), trailers);
                } else if (!status.isOk()) {
                    throw SwitchboardException.of(status, trailers);
                }
                return response;
            } finally {
                lock.unlock();
            }
        }

        @Override
        public void onReady() {
            update(() -> {});
        }

        @Override
        public void onMessage(R message) {
            update(() -> response = message);
        }

        @Override
        public void onClose(Status status, Metadata trailers) {
            update(() -> {
                this.status = status;
                this.trailers = trailers;
            });
        }

        private void update(Runnable change) {
            lock.lock();
            try {
                change.run();
                changed.signalAll();
            } finally {
                lock.unlock();
            }
        }
    }
}
