/**
 * A client of Switchboard for browsers, over gRPC-Web. It has the API of `@switchboard/client` and imports nothing of
 * Node.js.
 *
 * @module
 */
import { create, type DescMessage, type DescMethodUnary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { baseUrl } from "./address.js";
import { type CommonOptions, SwitchboardClient } from "./client.js";

export * from "./common.js";

/** Options of a client. */
export interface SwitchboardClientOptions extends CommonOptions {}

/** The server accepts messages of 4 MiB. The rest of the message needs space too. */
const MAX_FILE_BYTES = 4 * 1024 * 1024 - 16 * 1024;

/**
 * Returns a client. It connects with the first call.
 *
 * Browsers cannot stream requests. `sendMessages` fails with `UNIMPLEMENTED`. So do `sendMedia` and
 * `uploadTemplateMedia` if the file does not fit into one message (4 MiB less 16 KiB).
 *
 * @param address `host:port` or a URL. `host:port` means plaintext for `localhost`, `127.0.0.0/8` and `[::1]`, and TLS
 *   for any other host. A URL sets it explicitly: `https://…` or `http://…`.
 * @throws TypeError For an invalid address, and for a token that would travel in plaintext beyond loopback.
 */
export function createSwitchboardClient(address: string, options: SwitchboardClientOptions = {}): SwitchboardClient {
  const { interceptors = [] } = options;
  const url = baseUrl(address, options.token, false);
  const transport = withoutRequestStreams(createGrpcWebTransport({ baseUrl: url, interceptors }));
  // The browser manages the connections. The signal of a closed client cancels its open calls.
  return new SwitchboardClient(() => ({ transport, close: () => undefined }), options);
}

function withoutRequestStreams(inner: Transport): Transport {
  return {
    unary: inner.unary,
    async stream(method, signal, timeoutMs, header, input, contextValues) {
      if (method.methodKind === "server_streaming") {
        return await inner.stream(method, signal, timeoutMs, header, input, contextValues);
      }
      if (method.methodKind !== "client_streaming" || method.input.field["chunk"] === undefined) {
        throw new ConnectError(`browsers cannot stream requests, which ${method.name} requires`, Code.Unimplemented);
      }
      // A single streamed message has the same wire format as a unary one.
      const message = await mergeChunks(method.input, input);
      const single: DescMethodUnary<typeof method.input, typeof method.output> = { ...method, methodKind: "unary" };
      const response = await inner.unary(single, signal, timeoutMs, header, message, contextValues);
      return {
        ...response,
        method,
        stream: true,
        message: (async function* () {
          yield response.message;
        })(),
      };
    },
  };
}

/** Merges the messages of an upload into one: the first message, which has the header, with the bytes of all. */
async function mergeChunks<I extends DescMessage>(
  schema: I,
  input: AsyncIterable<MessageInitShape<I>>,
): Promise<MessageInitShape<I>> {
  let first: MessageInitShape<I> | undefined;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const message of input) {
    first ??= message;
    const { chunk } = message as { chunk?: Uint8Array };
    chunks.push(chunk ?? new Uint8Array());
    bytes += chunk?.length ?? 0;
    if (bytes > MAX_FILE_BYTES) {
      throw new ConnectError(
        `browsers cannot stream requests: a file must have at most ${MAX_FILE_BYTES} bytes`,
        Code.Unimplemented,
      );
    }
  }
  const chunk = new Uint8Array(bytes);
  let at = 0;
  for (const part of chunks) {
    chunk.set(part, at);
    at += part.length;
  }
  return Object.assign(create(schema), first, { chunk });
}
