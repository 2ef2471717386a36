package switchboard.client;

import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadFactory;
import java.util.concurrent.TimeUnit;

/**
 * The threads of a client. One thread keeps the time, and others run what is due. Tasks may block, because they call the
 * interceptors of the program. So they must not run on the timer, nor on a thread that the JVM shares.
 */
final class Background {
    private final ScheduledThreadPoolExecutor timer = new ScheduledThreadPoolExecutor(1, threads("switchboard-timer"));
    private final ExecutorService workers = Executors.newCachedThreadPool(threads("switchboard-worker"));
    private final Set<Runnable> waiting = ConcurrentHashMap.newKeySet();

    Background() {
        timer.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
    }

    private static ThreadFactory threads(String name) {
        return task -> {
            Thread thread = new Thread(task, name);
            thread.setDaemon(true);
            return thread;
        };
    }

    /**
     * Runs the task after a delay, or when the client is closed. Returns false, and does not run it, if the client is
     * closed already.
     */
    boolean schedule(Runnable task, long nanos) {
        Runnable once = new Runnable() {
            @Override
            public void run() {
                if (waiting.remove(this)) {
                    workers.execute(task);
                }
            }
        };
        waiting.add(once);
        try {
            timer.schedule(once, nanos, TimeUnit.NANOSECONDS);
            return true;
        } catch (RejectedExecutionException e) {
            // If close has taken the task, it runs.
            return !waiting.remove(once);
        }
    }

    /** Runs the waiting tasks now, and waits for them until the deadline. */
    void close(long deadline) {
        timer.shutdown();
        waiting.forEach(Runnable::run);
        workers.shutdown();
        Uninterruptibly.await(nanos -> workers.awaitTermination(nanos, TimeUnit.NANOSECONDS), deadline);
    }
}
