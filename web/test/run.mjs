// Bundles each test for Node (imports end in .ts, which Node 20 does not read itself) and runs them all.
import { build } from "esbuild";
import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const out = join(here, ".built");
rmSync(out, { recursive: true, force: true });
const tests = readdirSync(here).filter((name) => name.endsWith(".test.ts"));
if (tests.length === 0) throw new Error("no test was found");
await build({
  entryPoints: tests.map((name) => join(here, name)),
  outdir: out,
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  sourcemap: "inline",
  outExtension: { ".js": ".mjs" },
  define: { "process.env.GOLDEN": JSON.stringify(join(here, "../../tests/golden")) },
  logLevel: "warning",
});
const built = tests.map((name) => join(out, name.replace(/\.ts$/, ".mjs")));
const run = spawnSync(process.execPath, ["--enable-source-maps", "--test", ...built], { stdio: "inherit" });
process.exit(run.status ?? 1);
