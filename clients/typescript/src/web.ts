/**
 * A client of Switchboard for browsers, over gRPC-Web. The same as `@switchboard/client`, without files of Node.js.
 *
 * @module
 */
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { createGrpcWebTransport } from "@connectrpc/connect-web";
import { baseUrl } from "./address.js";
import { type CommonOptions, SwitchboardClient } from "./client.js";

export * from "./common.js";

/** What a client is made with. */
export interface SwitchboardClientOptions extends CommonOptions {}

/**
 * Makes a client. Nothing is connected before the first call.
 *
 * Browsers cannot stream requests: `sendMedia`, `uploadTemplateMedia` and `sendMessages` fail with `UNIMPLEMENTED`.
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
    async stream(method, ...rest) {
      if (method.methodKind !== "server_streaming") {
        throw new ConnectError(`browsers cannot stream requests, as ${method.name} does`, Code.Unimplemented);
      }
      return await inner.stream(method, ...rest);
    },
  };
}
