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
    const timer = setTimeout(done, Math.min(ms, 0x7fffffff));
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

/** A signal that is aborted when one of its sources is, until it is unlinked. */
export class LinkedSignal {
  readonly #controller = new AbortController();
  readonly #sources: readonly AbortSignal[];

  constructor(...signals: (AbortSignal | undefined)[]) {
    this.#sources = signals.filter((signal) => signal !== undefined);
    for (const signal of this.#sources) {
      signal.addEventListener("abort", this.#onAbort);
    }
    this.#onAbort();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason?: unknown): void {
    this.#controller.abort(reason);
  }

  /** Removes the listeners, because long-lived signals must not reference every finished call. */
  unlink(): void {
    for (const signal of this.#sources) {
      signal.removeEventListener("abort", this.#onAbort);
    }
  }

  readonly #onAbort = (): void => {
    const aborted = this.#sources.find((signal) => signal.aborted);
    if (aborted) {
      this.#controller.abort(aborted.reason);
    }
  };
}
