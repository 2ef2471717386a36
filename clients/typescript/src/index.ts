/**
 * A client of Switchboard for Node.js, over gRPC. For browsers, use `@switchboard/client/web`.
 *
 * @module
 */
import type { ConnectionOptions } from "node:tls";
import { createGrpcTransport, type GrpcTransportOptions, Http2SessionManager } from "@connectrpc/connect-node";
import { baseUrl } from "./address.js";
import { type CommonOptions, SwitchboardClient } from "./client.js";

export * from "./common.js";

/** Options of a client. */
export interface SwitchboardClientOptions extends CommonOptions {
  /**
   * Options for `tls.connect`: `ca`, `cert`, `key`, `servername`, … By default, TLS trusts the roots that Node.js
   * trusts.
   */
  readonly tls?: ConnectionOptions;
}

/** While calls are open, ping after 30 seconds without data from the server. */
const KEEPALIVE = { pingIntervalMs: 30_000, pingTimeoutMs: 10_000, pingIdleConnection: false };

/**
 * Returns a client. It connects with the first call.
 *
 * @param address `host:port` or a URL. `host:port` means plaintext for `localhost`, `127.0.0.0/8` and `[::1]` unless
 *   `tls` is set, and TLS for any other host. A URL sets it explicitly: `https://…` or `http://…`.
 * @throws TypeError For an invalid address, and for a token that would travel in plaintext beyond loopback.
 */
export function createSwitchboardClient(address: string, options: SwitchboardClientOptions = {}): SwitchboardClient {
  const { interceptors = [], tls, transport } = options;
  if (transport !== undefined && tls !== undefined) {
    throw new TypeError("TLS options cannot be combined with a transport: give them to the transport");
  }
  const url = baseUrl(address, options.token, tls !== undefined);
  return new SwitchboardClient(() => {
    const sessions = new Http2SessionManager(url, KEEPALIVE, tls);
    return {
      transport: createGrpcTransport({ baseUrl: url, interceptors, sessionManager: withErrorListener(sessions) }),
      close: () => sessions.abort(),
    };
  }, options);
}

/**
 * Adds an error listener to each connection. The manager removes its own listener when it is closed. If a connection
 * fails afterwards, its unhandled "error" event would end the process.
 */
function withErrorListener(sessions: Http2SessionManager): NonNullable<GrpcTransportOptions["sessionManager"]> {
  const ignore = () => undefined;
  return {
    authority: sessions.authority,
    notifyResponseByteRead: (stream) => sessions.notifyResponseByteRead(stream),
    async request(method, path, headers, streamOptions) {
      const stream = await sessions.request(method, path, headers, streamOptions);
      if (stream.session && !stream.session.listeners("error").includes(ignore)) {
        stream.session.on("error", ignore);
      }
      return stream;
    },
  };
}
