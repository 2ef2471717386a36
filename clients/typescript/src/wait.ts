/** The longest server-requested delay that the client waits for. */
export const MAX_SERVER_DELAY_MS = 30_000;

/** Waits. Returns early, without an error, if the signal is aborted. */
export function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    // A longer timeout would overflow and fire immediately.
    // Rounded up, because a fraction would fire early.
    const timer = setTimeout(done, Math.min(Math.ceil(ms), 0x7fffffff));
    signal.addEventListener("abort", done);
    if (signal.aborted) {
      done();
    }
  });
}

/**
 * The backoff after so many consecutive failures. It doubles each time, with jitter to keep clients from retrying in
 * step.
 */
export function backoffMs(failures: number, initialMs: number, maxMs: number): number {
  return Math.min(initialMs * 2 ** (failures - 1), maxMs) * (0.5 + Math.random() / 2);
}

/**
 * A controller that is aborted with any of the sources. Aborting it removes its listeners from them, so abort it when the
 * call or the stream is over.
 *
 * `AbortSignal.any` cannot do this for a client that lives long: in Node.js 20, each signal that it makes leaves an entry
 * in its sources.
 */
export function linkedController(...sources: (AbortSignal | undefined)[]): AbortController {
  const controller = new AbortController();
  const { signal } = controller;
  for (const source of sources) {
    const abort = () => controller.abort(source?.reason);
    source?.addEventListener("abort", abort, { signal });
    if (source?.aborted) {
      abort();
    }
  }
  return controller;
}
