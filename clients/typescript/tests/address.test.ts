import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";
import { createSwitchboardClient as forNode } from "@switchboard/client";
import { createSwitchboardClient as forWeb } from "@switchboard/client/web";

const TOKEN = "s3cret-token";

for (const [name, create] of [
  ["Node.js", forNode],
  ["web", forWeb],
] as const) {
  test(`${name}: a token in plaintext beyond loopback is rejected`, () => {
    for (const address of [
      "http://switchboard.example.com:50051",
      "http://10.0.0.1:50051",
      "http://127.0.0.1.example.com:50051",
      "http://localhost.example.com",
      "http://0.0.0.0:50051",
      "http://[::]:50051",
    ]) {
      assert.throws(
        () => create(address, { token: TOKEN }),
        (error) => error instanceof TypeError && /plaintext/.test(error.message) && !inspect(error).includes(TOKEN),
        address,
      );
      create(address).close();
    }
  });

  test(`${name}: a token over TLS or on loopback is accepted`, () => {
    for (const address of [
      "switchboard.example.com",
      "switchboard.example.com:50051",
      "https://switchboard.example.com/behind/a/path",
      "127.0.0.1:50051",
      "127.9.9.9:50051",
      "localhost:50051",
      "[::1]:50051",
      "http://localhost:50051",
    ]) {
      create(address, { token: TOKEN }).close();
    }
  });

  test(`${name}: an invalid token is rejected and not shown`, () => {
    for (const token of ["", "two words", "s3cret\ninjected: yes", "s3cret-ü"]) {
      assert.throws(
        () => create("localhost:50051", { token }),
        (error) => error instanceof TypeError && /printable/.test(error.message) && !inspect(error).includes("s3cret"),
      );
    }
  });

  test(`${name}: an invalid address is rejected and not shown`, () => {
    for (const address of [
      "",
      "a b",
      "host:99999",
      "ftp://host",
      "http://user:s3cret@localhost",
      "https://host/?s3cret",
      "::1:1",
    ]) {
      assert.throws(
        () => create(address),
        (error) => error instanceof TypeError && /address/.test(error.message) && !inspect(error).includes("s3cret"),
        address,
      );
    }
  });

  test(`${name}: an inspected client does not show its token`, () => {
    const client = create("localhost:50051", { token: TOKEN });
    const stream = client.subscribe();
    for (const shown of [client, client.transport, client.messages, stream]) {
      assert.doesNotMatch(inspect(shown, { depth: 10, showHidden: true }), new RegExp(TOKEN));
      assert.doesNotMatch(`${shown}`, new RegExp(TOKEN));
    }
    client.close();
  });

  test(`${name}: an invalid maxAttempts is rejected`, () => {
    for (const maxAttempts of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => create("localhost:50051", { maxAttempts }), RangeError);
    }
  });
}

test("TLS options with an http address are rejected", () => {
  assert.throws(() => forNode("http://localhost:50051", { tls: {} }), TypeError);
});
