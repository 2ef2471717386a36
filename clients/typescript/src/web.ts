/**
 * A client of Switchboard for browsers, over gRPC-Web. The same as `@switchboard/client`, without files of Node.js.
 *
 * @module
 */
import { create, type DescMessage, type DescMethodUnary, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { baseUrl } from "./address.js";
import { type CommonOptions, SwitchboardClient } from "./client.js";

export * from "./common.js";

/** What a client is made with. */
export interface SwitchboardClientOptions extends CommonOptions {}

/** The server takes messages of 4 MiB. What is not the file's bytes must have room, too. */
const MAX_FILE_BYTES = 4 * 1024 * 1024 - 16 * 1024;

/**
 * Makes a client. Nothing is connected before the first call.
 *
 * Browsers cannot stream requests. `sendMessages` fails with `UNIMPLEMENTED`, and so do `sendMedia` and
 * `uploadTemplateMedia` for files that do not fit into one message, of 4 MiB less 16 KiB.
 *
 * @param address `host:port`, which is plaintext for `localhost`, `127.0.0.0/8` and `[::1]`, and TLS for any other host; or
 *   a URL that says which: `https://…` or `http://…`.
 * @throws TypeError for an address that cannot be read, and for a token that would go in plaintext beyond loopback.
 */
export function createSwitchboardClient(address: string, options: SwitchboardClientOptions = {}): SwitchboardClient {
  const transport = withoutRequestStreams(createGrpcWebTransport({ baseUrl: baseUrl(address, options.token, false) }));
  // The browser keeps the connections. What a closed client still waits for is dropped with its signal.
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
        throw new ConnectError(`browsers cannot stream requests, as ${method.name} does`, Code.Unimplemented);
      }
      // One message that is streamed is the same on the wire as one that is not.
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

/** The messages of an upload as one: the first, which has the header, with the bytes of all. */
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
        `browsers cannot stream requests: a file has at most ${MAX_FILE_BYTES} bytes`,
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
