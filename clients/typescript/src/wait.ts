/** The longest delay that is waited for because the server asks for it. */
export const MAX_SERVER_DELAY_MS = 30_000;

/** Waits. Ends early, without an error, when the signal is aborted. */
export function wait(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    // A longer time would overflow, and not be waited for at all.
    const timer = setTimeout(done, Math.min(ms, 0x7fffffff));
    signal.addEventListener("abort", done);
    if (signal.aborted) {
      done();
    }
  });
}

/** How long to wait after so many failures in a row: twice as long each time, and never the same for two callers. */
export function backoffMs(failures: number, initialMs: number, maxMs: number): number {
  return Math.min(initialMs * 2 ** (failures - 1), maxMs) * (0.5 + Math.random() / 2);
}

/** A signal that follows others, until it is let go. */
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

  /** Long-lived signals must not hold on to every call that was ever made. */
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
