// Servers made with Connect, in the process of the tests.
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2";
import { type AddressInfo, createServer as createNetServer, type Server, type Socket } from "node:net";
import type { TestContext } from "node:test";
import { type Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";

/** An error that the server itself returns: a status with a reason. */
export function serverError(code: Code, reason: string, metadata: Record<string, string> = {}): ConnectError {
  const error = new ConnectError("no", code);
  // google.rpc.ErrorInfo { reason: …, domain: "switchboard", metadata: … }
  const fields = [field(1, reason), field(2, "switchboard")];
  for (const [key, value] of Object.entries(metadata)) {
    fields.push(field(3, field(1, key) + field(2, value)));
  }
  error.details = [{ type: "google.rpc.ErrorInfo", value: Buffer.from(fields.join(""), "latin1") }];
  return error;
}

/** Encodes a field of a length-delimited type, with a number below 16 and a value of at most 127 bytes. */
function field(number: number, value: string): string {
  return String.fromCharCode((number << 3) | 2, value.length) + value;
}

export type Routes = (router: ConnectRouter) => void;

export interface Fake {
  readonly address: string;
  readonly port: number;
  /** All current and former connections. */
  readonly sessions: readonly ServerHttp2Session[];
  /** Closes every connection without notice. */
  cut(): void;
}

export interface FakeOptions {
  /** Serves over TLS. */
  readonly tls?: { readonly key: string; readonly cert: string };
  readonly port?: number;
  /** Refuses connections for so long. */
  readonly startsAfterMs?: number;
}

/** A gRPC server. */
export async function fakeServer(t: TestContext, routes: Routes, options: FakeOptions = {}): Promise<Fake> {
  const { tls } = options;
  const handler = connectNodeAdapter({ routes, connect: false, grpcWeb: false });
  return await listening(t, tls ? createSecureServer(tls, handler) : createServer(handler), options);
}

/** A port on which nothing listens. */
export async function unusedPort(): Promise<number> {
  const server = createNetServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** A gRPC-Web server. */
export async function fakeWebServer(t: TestContext, routes: Routes): Promise<Fake> {
  const handler = connectNodeAdapter({ routes, connect: false, grpc: false });
  return await listening(t, createHttpServer(handler));
}

async function listening(
  t: TestContext,
  server: Server | Http2Server | Http2SecureServer,
  { port = 0, startsAfterMs = 0 }: FakeOptions = {},
): Promise<Fake> {
  const sockets = new Set<Socket>();
  const sessions: ServerHttp2Session[] = [];
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.once("close", () => sockets.delete(socket));
  });
  server.on("session", (session: ServerHttp2Session) => sessions.push(session));
  server.on("sessionError", () => undefined);
  const cut = () => {
    for (const socket of sockets) {
      socket.destroy();
    }
  };
  if (startsAfterMs > 0) {
    assert.notEqual(port, 0);
    setTimeout(() => server.listen(port, "127.0.0.1"), startsAfterMs);
  } else {
    server.listen(port, "127.0.0.1");
    await once(server, "listening");
    port = (server.address() as AddressInfo).port;
  }
  t.after(() => {
    cut();
    server.close();
  });
  return { address: `127.0.0.1:${port}`, port, sessions, cut };
}
