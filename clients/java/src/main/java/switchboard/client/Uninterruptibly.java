package switchboard.client;

/** Waits for an end that must not be skipped. An interrupt stays pending until after the wait. */
final class Uninterruptibly {
    private Uninterruptibly() {}

    /** Waits at most so many nanoseconds, and returns whether the awaited end has come. */
    @FunctionalInterface
    interface Wait {
        boolean await(long nanos) throws InterruptedException;
    }

    /** Waits until the deadline, a value of {@link System#nanoTime}. Returns whether the awaited end has come. */
    static boolean await(Wait wait, long deadline) {
        boolean interrupted = false;
        try {
            while (true) {
                try {
                    return wait.await(deadline - System.nanoTime());
                } catch (InterruptedException e) {
                    interrupted = true;
                }
            }
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }
}
