// Web pages, and a browser to load them.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import type { TestContext } from "node:test";
import { build } from "esbuild";
import { SCRATCH } from "./paths.js";

/** Possible names of the Chromium executable. */
const COMMANDS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"];

/** One report of a page. */
export type Report = [what: string, ...values: unknown[]];

export interface Site {
  readonly origin: string;
  /** Waits for the page's next report. */
  nextReport(): Promise<Report>;
}

/** Bundles `tests/browser/page.ts` for browsers. The bundler fails on imports of Node.js. */
export async function bundledPage(): Promise<string> {
  const { outputFiles, warnings } = await build({
    entryPoints: [join(SCRATCH, "out/tests/browser/page.js")],
    bundle: true,
    platform: "browser",
    format: "esm",
    target: "es2022",
    write: false,
    logLevel: "silent",
  });
  if (outputFiles.length !== 1 || warnings.length > 0) {
    throw new Error(`the page cannot be bundled: ${JSON.stringify(warnings)}`);
  }
  return outputFiles[0]?.text ?? "";
}

/** A web server with its own origin that serves this script. */
export async function site(t: TestContext, script: string, picture: Uint8Array): Promise<Site> {
  const reports: Report[] = [];
  let arrived: () => void = () => undefined;
  const server = createServer(async (request, response) => {
    const { pathname } = new URL(request.url ?? "/", "http://localhost");
    if (pathname === "/report") {
      let body = "";
      for await (const chunk of request.setEncoding("utf8")) {
        body += chunk;
      }
      reports.push(JSON.parse(body));
      arrived();
      response.writeHead(204).end();
    } else if (pathname === "/") {
      response
        .writeHead(200, { "content-type": "text/html" })
        .end('<!doctype html><meta charset="utf-8"><script type="module" src="/page.js"></script>');
    } else if (pathname === "/page.js") {
      response.writeHead(200, { "content-type": "text/javascript; charset=utf-8" }).end(script);
    } else if (pathname === "/picture.png") {
      response.writeHead(200, { "content-type": "image/png" }).end(picture);
    } else {
      response.writeHead(404).end();
    }
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.after(() => {
    server.closeAllConnections();
    server.close();
  });
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async nextReport() {
      while (reports.length === 0) {
        await new Promise<void>((resolve) => {
          arrived = resolve;
        });
      }
      return reports.shift() as Report;
    },
  };
}

/** Loads a site's page in a headless browser until the test ends. Returns a function that waits for the next report. */
export async function show(
  t: TestContext,
  { origin, nextReport }: Site,
  query: string,
): Promise<() => Promise<Report>> {
  const profile = await mkdtemp(join(tmpdir(), "switchboard-client-"));
  const child = spawn(
    command(),
    [
      "--headless",
      // Chromium refuses to run its sandbox as root. The only pages are the test's own.
      ...(process.getuid?.() === 0 ? ["--no-sandbox"] : []),
      "--disable-gpu",
      "--disable-dev-shm-usage",
      "--disable-background-networking",
      "--disable-component-update",
      "--disable-extensions",
      "--no-first-run",
      // Keeps the browser open. No debugger connects.
      "--remote-debugging-port=0",
      `--user-data-dir=${profile}`,
      `${origin}/?${query}`,
    ],
    { stdio: ["ignore", "ignore", "pipe"], env: { PATH: process.env["PATH"], HOME: profile } },
  );
  let output = "";
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    output += chunk;
  });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const broken = ended.then(() => Promise.reject(new Error(`the browser ended:\n${output}`)));
  // The caller races it against the reports.
  broken.catch(() => undefined);
  t.after(async () => {
    // SIGTERM lets the browser end its child processes. The folder is free when the last one has closed its output.
    child.kill("SIGTERM");
    const late = setTimeout(kill, 10_000);
    await ended;
    clearTimeout(late);
    process.off("exit", kill);
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  });
  return async () => await Promise.race([nextReport(), broken]);
}

function command(): string {
  for (const name of COMMANDS) {
    for (const folder of (process.env["PATH"] ?? "").split(delimiter)) {
      try {
        accessSync(join(folder, name), constants.X_OK);
        return join(folder, name);
      } catch {
        // Try the next one.
      }
    }
  }
  throw new Error(`no browser found: none of ${COMMANDS.join(", ")} is in PATH; SKIP_BROWSER=1 skips these tests`);
}
