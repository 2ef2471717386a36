// Servers made with Connect, in the process of the tests.
import { once } from "node:events";
import { createServer as createHttpServer } from "node:http";
import {
  createSecureServer,
  createServer,
  type Http2SecureServer,
  type Http2Server,
  type ServerHttp2Session,
} from "node:http2";
import type { AddressInfo, Server, Socket } from "node:net";
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

/** A gRPC server; over TLS if a certificate is given. */
export async function fakeServer(t: TestContext, routes: Routes, tls?: { key: string; cert: string }): Promise<Fake> {
  const handler = connectNodeAdapter({ routes, connect: false, grpcWeb: false });
  return await listening(t, tls ? createSecureServer(tls, handler) : createServer(handler));
}

/** A gRPC-Web server. */
export async function fakeWebServer(t: TestContext, routes: Routes): Promise<Fake> {
  const handler = connectNodeAdapter({ routes, connect: false, grpc: false });
  return await listening(t, createHttpServer(handler));
}

async function listening(t: TestContext, server: Server | Http2Server | Http2SecureServer): Promise<Fake> {
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
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    cut();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { address: `127.0.0.1:${port}`, port, sessions, cut };
}
