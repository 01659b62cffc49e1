// Builds the page into the package of the update application. The same sources give the same bytes.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { build } from "esbuild";

const here = import.meta.dirname;
const target = join(here, "../outfitter_updates/console/static");

/** The digest of all that the build is made of; tests/unit/updates/test_console_build.py computes it likewise. */
function digestOfSources() {
  const names = ["build.mjs", "package-lock.json", "package.json", "tsconfig.json"];
  const sources = readdirSync(join(here, "src")).map((name) => `src/${name}`);
  const hash = createHash("sha256");
  for (const name of [...names, ...sources].sort()) {
    hash.update(`${name}\0`).update(readFileSync(join(here, name))).update("\0");
  }
  return hash.digest("hex");
}

const made = await build({
  absWorkingDir: here,
  entryPoints: ["src/console.ts", "src/console.css"],
  entryNames: "assets/[name]-[hash]",
  outdir: target,
  bundle: true,
  minify: true,
  format: "esm",
  target: ["es2022"],
  legalComments: "none",
  write: false,
});
rmSync(target, { recursive: true, force: true });
mkdirSync(join(target, "assets"), { recursive: true });
let page = readFileSync(join(here, "src/index.html"), "utf8");
for (const file of made.outputFiles) {
  const name = basename(file.path);
  writeFileSync(join(target, "assets", name), file.contents);
  page = page.replace(`console${name.slice(name.lastIndexOf("."))}`, `assets/${name}`);
}
copyFileSync(join(here, "src/licences.txt"), join(target, "assets/licences.txt"));
writeFileSync(join(target, "index.html"), page.replace("SOURCES", digestOfSources()));
