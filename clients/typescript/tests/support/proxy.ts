// A TCP proxy that can stall.
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import type { TestContext } from "node:test";

export interface Proxy {
  readonly address: string;
  /** Number of connections so far. */
  readonly connections: () => number;
  /** Stops forwarding on all current connections without closing them. New connections work. */
  stall(): void;
}

export async function proxyTo(t: TestContext, address: string): Promise<Proxy> {
  const [host, port] = address.split(":");
  const sockets: Socket[] = [];
  let connections = 0;
  const server = createServer((near) => {
    const far = connect(Number(port), host);
    connections++;
    sockets.push(near, far);
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      one.on("error", () => undefined);
      one.once("close", () => other.destroy());
      one.pipe(other);
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    for (const socket of sockets) {
      socket.destroy();
    }
    server.close();
  });
  return {
    address: `127.0.0.1:${(server.address() as AddressInfo).port}`,
    connections: () => connections,
    stall: () => {
      for (const socket of sockets) {
        socket.unpipe();
        // Keep reading, so the sender does not notice.
        socket.on("data", () => undefined);
      }
    },
  };
}
