import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";

/** The packages that a file imports, directly or through relative imports. */
export async function importsOf(file: string, seen = new Set<string>()): Promise<Set<string>> {
  const found = new Set<string>();
  if (seen.has(file)) {
    return found;
  }
  seen.add(file);
  const source = await readFile(file, "utf8");
  for (const [, , specifier = ""] of source.matchAll(/^(import|export)\b(?:[^;"]*\bfrom)? *"([^"]+)";/gm)) {
    if (specifier.startsWith(".")) {
      for (const further of await importsOf(resolve(dirname(file), specifier), seen)) {
        found.add(further);
      }
    } else {
      found.add(specifier);
    }
  }
  return found;
}
