/** A promise that is resolved from outside. (`Promise.withResolvers` is missing in Node.js 20.) */
export class Deferred<T = void> {
  resolve!: (value: T) => void;
  readonly promise = new Promise<T>((resolve) => {
    this.resolve = resolve;
  });
}

/** Resolves when the signal is aborted. */
export function until(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) {
      resolve();
    }
    signal.addEventListener("abort", () => resolve());
  });
}

/** Reads this many items, then stops. */
export async function take<T>(items: AsyncIterable<T>, count: number): Promise<T[]> {
  const accepted: T[] = [];
  if (count > 0) {
    for await (const item of items) {
      accepted.push(item);
      if (accepted.length === count) {
        break;
      }
    }
  }
  return accepted;
}
