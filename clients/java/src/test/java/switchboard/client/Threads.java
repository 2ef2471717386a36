package switchboard.client;

import java.util.concurrent.CompletableFuture;
import java.util.concurrent.Executor;
import java.util.function.Supplier;

/** Separate threads for tests, because loops and blocking calls would exhaust the common pool. */
final class Threads {
    private static final Executor FRESH = task -> {
        Thread thread = new Thread(task);
        thread.setDaemon(true);
        thread.start();
    };

    private Threads() {}

    static CompletableFuture<Void> run(Runnable task) {
        return CompletableFuture.runAsync(task, FRESH);
    }

    static <T> CompletableFuture<T> supply(Supplier<T> task) {
        return CompletableFuture.supplyAsync(task, FRESH);
    }
}
