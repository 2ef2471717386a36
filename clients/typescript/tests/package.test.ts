// Checks the content and the metadata of the package.
import assert from "node:assert/strict";
import { access, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { AnyDesc, DescEnum, DescFile, DescMessage, DescService } from "@bufbuild/protobuf";
import * as sandbox from "@switchboard/client/sandbox/v1";
import * as v1 from "@switchboard/client/v1";
import { CLIENT, PACKAGE, REPOSITORY } from "./support/paths.js";

test("the version matches the server's", async () => {
  const [, server] = /^version = "(.+)"$/m.exec(await readFile(join(REPOSITORY, "Cargo.toml"), "utf8")) ?? [];
  const { version } = JSON.parse(await readFile(join(PACKAGE, "package.json"), "utf8"));
  assert.equal(version, server);
});

test("the package contains its licence, README and types", async () => {
  assert.equal(await readFile(join(PACKAGE, "LICENSE"), "utf8"), await readFile(join(REPOSITORY, "LICENSE"), "utf8"));
  await access(join(PACKAGE, "README.md"));
  const { exports, license } = JSON.parse(await readFile(join(PACKAGE, "package.json"), "utf8"));
  assert.equal(license, "Apache-2.0");
  for (const target of Object.values<string>(exports)) {
    await access(join(PACKAGE, target));
    await access(join(PACKAGE, target.replace(/\.js$/, ".d.ts")));
  }
});

test("README snippets match files that the tests run", async () => {
  const readme = await readFile(join(CLIENT, "README.md"), "utf8");
  const fences = readme.match(/^```ts$/gm) ?? [];
  const quotes = [...readme.matchAll(/^<!-- (\S+) -->\n```ts\n(.*?)^```$/gms)];
  assert.equal(quotes.length, fences.length, "every snippet names its source file");
  for (const [, file = "", code = ""] of quotes) {
    const source = await readFile(join(CLIENT, file), "utf8");
    // The source file may indent it.
    const flat = (text: string) => text.replace(/^ +/gm, "");
    assert.ok(flat(source).includes(flat(code)), `${file} has not:\n${code}`);
  }
  for (const example of await readdir(join(CLIENT, "examples"))) {
    assert.ok(readme.includes(`examples/${example}`), `the README does not speak of ${example}`);
  }
});

const camelCase = (name: string) => name.replace(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

function files(module: object): DescFile[] {
  return Object.values(module).filter((value: AnyDesc | undefined) => value?.kind === "file");
}

test("contract names are not mangled", () => {
  const seen = { messages: 0, fields: 0, enums: 0, methods: 0 };
  for (const module of [v1, sandbox] as Record<string, unknown>[]) {
    const visitMessage = (message: DescMessage) => {
      seen.messages++;
      assert.equal(module[`${message.name}Schema`], message);
      for (const { name, localName } of [...message.fields, ...message.oneofs]) {
        seen.fields++;
        assert.equal(localName, camelCase(name), message.typeName);
      }
      message.nestedMessages.forEach(visitMessage);
      message.nestedEnums.forEach(visitEnum);
    };
    const visitEnum = (desc: DescEnum) => {
      seen.enums++;
      const generated = module[desc.name] as Record<string, number>;
      const prefix = `${desc.name.replace(/(?<=[a-z])(?=[A-Z])/g, "_").toUpperCase()}_`;
      for (const { name, number } of desc.values) {
        assert.ok(name.startsWith(prefix));
        assert.equal(generated[name.slice(prefix.length)], number, name);
      }
    };
    const visitService = (service: DescService) => {
      assert.equal(module[service.name], service);
      for (const { name, localName } of service.methods) {
        seen.methods++;
        assert.equal(localName, (name[0] ?? "").toLowerCase() + name.slice(1));
      }
    };
    for (const file of files(module)) {
      file.messages.forEach(visitMessage);
      file.enums.forEach(visitEnum);
      file.services.forEach(visitService);
    }
  }
  assert.ok(seen.messages > 80 && seen.fields > 250 && seen.enums > 15 && seen.methods > 25, JSON.stringify(seen));
});

test("generated type names are not mangled", async () => {
  for (const folder of ["dist/gen/switchboard/v1", "dist/gen/switchboard/sandbox/v1"]) {
    for (const name of await readdir(join(PACKAGE, folder))) {
      if (name.endsWith(".d.ts")) {
        const source = await readFile(join(PACKAGE, folder, name), "utf8");
        assert.doesNotMatch(source, /^export (declare )?(type|enum|const|interface) \w*[$]/m, name);
      }
    }
  }
});

test("the whole contract is exported", async () => {
  const listed = async (folder: string) =>
    (await readdir(join(REPOSITORY, "proto", folder)))
      .map((name) => `${folder}/${name.replace(/\.proto$/, "")}`)
      .sort();
  const exported = (module: object) =>
    files(module)
      .map(({ name }) => name)
      .sort();
  assert.deepEqual(exported(v1), await listed("switchboard/v1"));
  assert.deepEqual(exported(sandbox), await listed("switchboard/sandbox/v1"));
});
