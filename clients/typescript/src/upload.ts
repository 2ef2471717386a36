import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { hasRequestId, newRequestId, withRequestId } from "./request-id.js";

/**
 * A file: bytes, a `Blob` or `File`, or a stream of bytes (a Node.js `Readable`, a web `ReadableStream`).
 *
 * Uploads of bytes and blobs are retried if that is safe. Streams can be read only once, so their uploads are not
 * retried.
 */
export type FileSource = Uint8Array | Blob | AsyncIterable<Uint8Array>;

/** How many bytes of a file one message carries. */
const CHUNK_BYTES = 256 * 1024;

/** The messages of an upload: first the header, then the chunks. */
export class Upload<H> implements AsyncIterable<{ header?: H; chunk: Uint8Array }> {
  constructor(
    private readonly header: H,
    private readonly source: FileSource,
  ) {}

  get retryable(): boolean {
    return this.source instanceof Uint8Array || this.source instanceof Blob;
  }

  async *[Symbol.asyncIterator]() {
    yield { header: this.header, chunk: new Uint8Array() };
    for await (const chunk of chunks(this.source)) {
      yield { chunk };
    }
  }
}

async function* chunks(source: FileSource): AsyncGenerator<Uint8Array> {
  if (source instanceof Blob) {
    for (let at = 0; at < source.size; at += CHUNK_BYTES) {
      yield new Uint8Array(await source.slice(at, at + CHUNK_BYTES).arrayBuffer());
    }
  } else if (source instanceof Uint8Array) {
    for (let at = 0; at < source.length; at += CHUNK_BYTES) {
      yield source.subarray(at, at + CHUNK_BYTES);
    }
  } else {
    for await (const bytes of source) {
      yield* chunks(bytes);
    }
  }
}

/**
 * The outgoing messages of a client-streaming call, with a `request_id` in the header of the first.
 *
 * It records an error of the caller's source, because that is not an error of the call.
 */
export class UploadRequests<I extends DescMessage> {
  /** The `request_id` that was sent; undefined before that. */
  requestId: string | undefined;
  /** The error of the source, if it failed. */
  sourceError: { readonly reason: unknown } | undefined;
  readonly retryable: boolean;
  readonly #generatedId = newRequestId();

  constructor(
    private readonly schema: I,
    private readonly input: AsyncIterable<MessageInitShape<I>>,
  ) {
    this.retryable = input instanceof Upload && input.retryable;
  }

  /** Reads the messages. Call it again to read a retryable source from its start. */
  open(): AsyncIterable<MessageShape<I>> {
    const source = this.input[Symbol.asyncIterator]();
    let first = true;
    const iterator: AsyncIterator<MessageShape<I>> = {
      next: async () => {
        let next: IteratorResult<MessageInitShape<I>>;
        try {
          next = await source.next();
        } catch (reason) {
          this.sourceError = { reason };
          throw reason;
        }
        if (next.done) {
          return { done: true, value: undefined };
        }
        const value = first ? this.#first(next.value) : create(this.schema, next.value);
        first = false;
        return { done: false, value };
      },
      // The call ended before the source did, so close the source.
      return: async () => {
        await source.return?.();
        return { done: true, value: undefined };
      },
      throw: async (reason) => {
        await source.return?.();
        throw reason;
      },
    };
    return { [Symbol.asyncIterator]: () => iterator };
  }

  #first(init: MessageInitShape<I>): MessageShape<I> {
    const message = create(this.schema, init);
    const field = this.schema.field["header"];
    const { header } = message as { header?: MessageShape<DescMessage> };
    if (field?.message === undefined || header === undefined || !hasRequestId(field.message)) {
      return message;
    }
    const filled = withRequestId(field.message, header, this.#generatedId);
    this.requestId = filled.requestId;
    // Copy the message, because it may be the caller's.
    return Object.assign(Object.create(Object.getPrototypeOf(message)), message, { header: filled.message });
  }
}
