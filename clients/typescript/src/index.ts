/**
 * A client of Switchboard for Node.js, over gRPC. For browsers there is `@switchboard/client/web`.
 *
 * @module
 */
import type { ConnectionOptions } from "node:tls";
import { createGrpcTransport, type GrpcTransportOptions, Http2SessionManager } from "@connectrpc/connect-node";
import { baseUrl } from "./address.js";
import { type CommonOptions, SwitchboardClient } from "./client.js";

export * from "./common.js";

/** What a client is made with. */
export interface SwitchboardClientOptions extends CommonOptions {
  /** As for `tls.connect`: `ca`, `cert`, `key`, `servername`, … Without it, TLS trusts what Node.js trusts. */
  readonly tls?: ConnectionOptions;
}

/** A ping after half a minute without a word from the server, while calls are open. */
const KEEPALIVE = { pingIntervalMs: 30_000, pingTimeoutMs: 10_000, pingIdleConnection: false };

/**
 * Makes a client. Nothing is connected before the first call.
 *
 * @param address `host:port`, which is plaintext for `localhost`, `127.0.0.0/8` and `[::1]` unless `tls` is given, and TLS
 *   for any other host; or a URL that says which: `https://…` or `http://…`.
 * @throws TypeError for an address that cannot be read, and for a token that would go in plaintext beyond loopback.
 */
export function createSwitchboardClient(address: string, options: SwitchboardClientOptions = {}): SwitchboardClient {
  const url = baseUrl(address, options.token, options.tls !== undefined);
  return new SwitchboardClient(() => {
    const sessions = new Http2SessionManager(url, KEEPALIVE, options.tls);
    return {
      transport: createGrpcTransport({ baseUrl: url, sessionManager: withErrorListener(sessions) }),
      close: () => sessions.abort(),
    };
  }, options);
}

/**
 * Makes sure that somebody listens when a connection fails. The manager stops listening when it is closed, which may be
 * before a connection that has just failed says so, and an error that nobody listens to ends the process.
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
