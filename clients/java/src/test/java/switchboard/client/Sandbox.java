package switchboard.client;

import io.grpc.ManagedChannelBuilder;
import java.io.BufferedReader;
import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import switchboard.sandbox.v1.SandboxServiceGrpc;

/** A sandbox server as a process: the real server with fake providers. */
final class Sandbox implements AutoCloseable {
    /** The root of the repository, relative to the folder in which Maven runs the tests. */
    static final Path REPOSITORY = Path.of("../..").toAbsolutePath().normalize();

    private final Process process;
    private final int port;

    private Sandbox(Process process, int port) {
        this.process = process;
        this.port = port;
    }

    static Sandbox start() throws Exception {
        return start(0, null);
    }

    /** Starts a server at a port (0 for any), with its journal in a file (null for memory). */
    static Sandbox start(int port, Path store) throws Exception {
        List<String> command = new ArrayList<>(List.of(binary(), "sandbox"));
        if (store != null) {
            command.addAll(List.of("--store", store.toString()));
        }
        ProcessBuilder builder = new ProcessBuilder(command).redirectError(ProcessBuilder.Redirect.DISCARD);
        builder.environment().put("SWITCHBOARD__GRPC__LISTEN", "127.0.0.1:" + port);
        builder.environment().put("SWITCHBOARD__WEBHOOK__LISTEN", "127.0.0.1:0");
        builder.environment().put("SWITCHBOARD__ADMIN__LISTEN", "127.0.0.1:0");
        Process process = builder.start();
        CompletableFuture<Integer> listening = new CompletableFuture<>();
        Thread reader = new Thread(() -> read(process, listening));
        reader.setDaemon(true);
        reader.start();
        try {
            return new Sandbox(process, listening.get(20, TimeUnit.SECONDS));
        } catch (Exception e) {
            process.destroyForcibly();
            throw e;
        }
    }

    private static String binary() {
        String given = System.getenv("SWITCHBOARD_BIN");
        String path = given != null
                ? given
                : REPOSITORY.resolve("target/debug/switchboard").toString();
        if (!Files.isExecutable(new File(path).toPath())) {
            throw new AssertionError("no server at " + path + ": build it, or set SWITCHBOARD_BIN");
        }
        return path;
    }

    private static void read(Process process, CompletableFuture<Integer> listening) {
        try (BufferedReader out = process.inputReader()) {
            for (String line; (line = out.readLine()) != null; ) {
                if (line.strip().startsWith("gRPC ")) {
                    listening.complete(Integer.valueOf(line.substring(line.lastIndexOf(':') + 1)));
                }
            }
            listening.completeExceptionally(new IOException("the server exited before it listened"));
        } catch (IOException e) {
            listening.completeExceptionally(e);
        }
    }

    int port() {
        return port;
    }

    String address() {
        return "127.0.0.1:" + port;
    }

    SwitchboardClient client() {
        return client(channel -> {});
    }

    SwitchboardClient client(Consumer<ManagedChannelBuilder<?>> configure) {
        return SwitchboardClient.builder(address())
                .plaintext()
                .configure(configure)
                .build();
    }

    static SandboxServiceGrpc.SandboxServiceBlockingStub faults(SwitchboardClient client) {
        return SandboxServiceGrpc.newBlockingStub(client.channel()).withDeadlineAfter(20, TimeUnit.SECONDS);
    }

    /** Kills the process, as {@code kill -9} does. */
    void kill() {
        process.destroyForcibly();
        awaitEnd();
    }

    /** Stops the process, as a deployment does. */
    void stop() {
        process.destroy();
        awaitEnd();
    }

    private void awaitEnd() {
        process.onExit().orTimeout(20, TimeUnit.SECONDS).join();
    }

    @Override
    public void close() {
        kill();
    }
}
