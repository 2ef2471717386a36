// The real server as a child process.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Client, createClient } from "@connectrpc/connect";
import { createSwitchboardClient, type SwitchboardClient, type SwitchboardClientOptions } from "@switchboard/client";
import { SandboxService } from "@switchboard/client/sandbox/v1";
import { REPOSITORY } from "./paths.js";

const BINARY = process.env["SWITCHBOARD_BIN"] ?? join(REPOSITORY, "target/debug/switchboard");

// The test runner ends a slow test file with SIGTERM; exit so that its servers are killed too.
process.once("SIGTERM", () => process.exit(143));

/** Runs callbacks when a test, or a file of tests, ends. */
interface Scope {
  after(fn: () => Promise<void> | void): void;
}

/** A scope that covers all tests of a file. Call it at the top level. */
export function fileScope(): Scope {
  const ends: (() => Promise<void> | void)[] = [];
  after(async () => {
    for (const end of ends.reverse()) {
      await end();
    }
  });
  return { after: (fn) => void ends.push(fn) };
}

export interface Sandbox {
  /** The gRPC address: `127.0.0.1:…`. */
  readonly address: string;
  readonly process: ChildProcess;
  /** Sends a signal and waits until the process has ended. */
  stop(signal: NodeJS.Signals): Promise<void>;
}

export async function startSandbox(
  scope: Scope,
  {
    port = 0,
    store,
    webOrigins = [],
    env = {},
  }: { port?: number; store?: string; webOrigins?: string[]; env?: Record<string, string> } = {},
): Promise<Sandbox> {
  const child = spawn(BINARY, ["sandbox", ...(store === undefined ? [] : ["--store", store])], {
    env: {
      PATH: process.env["PATH"],
      SWITCHBOARD__GRPC__LISTEN: `127.0.0.1:${port}`,
      SWITCHBOARD__WEBHOOK__LISTEN: "127.0.0.1:0",
      SWITCHBOARD__ADMIN__LISTEN: "127.0.0.1:0",
      ...env,
      ...(webOrigins.length > 0 ? { SWITCHBOARD__GRPC__WEB_ORIGINS: webOrigins.join(",") } : {}),
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const stop = async (signal: NodeJS.Signals) => {
    child.kill(signal);
    await ended;
    process.off("exit", kill);
  };
  scope.after(() => stop("SIGKILL"));
  const address = await new Promise<string>((resolve, reject) => {
    let output = "";
    const read = (chunk: string) => {
      output += chunk;
      const [, found] = /^ +gRPC +(\S+)\n/m.exec(output) ?? [];
      if (found !== undefined) {
        resolve(found);
      }
    };
    child.stdout.setEncoding("utf8").on("data", read);
    child.stderr.setEncoding("utf8").on("data", read);
    child.once("error", reject);
    child.once("close", (code) => reject(new Error(`${BINARY} ended with ${code}:\n${output}`)));
  });
  return { address, process: child, stop };
}

/** A client that is closed when the scope ends. */
export function clientOf(scope: Scope, address: string, options?: SwitchboardClientOptions): SwitchboardClient {
  const client = createSwitchboardClient(address, options);
  scope.after(() => client.close());
  return client;
}

export function sandboxOf(client: SwitchboardClient): Client<typeof SandboxService> {
  return createClient(SandboxService, client.transport);
}

/** A folder that is removed when the scope ends. */
export async function temporaryFolder(scope: Scope): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "switchboard-client-"));
  scope.after(() => rm(folder, { recursive: true }));
  return folder;
}

/** Runs a Node.js program to its end. */
export async function run(
  file: string,
  env: Record<string, string>,
  onOutput: (output: string, child: ChildProcess) => void = () => undefined,
): Promise<{ code: number; output: string }> {
  const child = spawn(process.execPath, [file], {
    env: { ...process.env, NODE_TEST_CONTEXT: "", ...env },
    timeout: 30_000,
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (chunk: string) => {
      output += chunk;
      onOutput(output, child);
    });
  }
  const [code] = await once(child, "close");
  return { code, output };
}
