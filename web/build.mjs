// Builds the dashboard into the Python package; `node build.mjs demo` builds the demo page instead.
// One esbuild call, no plugin: what it needs is in package.json, and nothing is fetched at run time.
import { build } from "esbuild";
import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const demo = process.argv[2] === "demo";
const outdir = demo ? join(here, "demo/dist") : join(here, "../src/nbmonitor/notebook/static");
const limit = 1_300_000; // bytes: the bundle crosses to the browser on every page load

await build({
  absWorkingDir: here,
  entryPoints: demo
    ? [{ in: "demo/demo.ts", out: "demo" }]
    : [
        { in: "src/index.ts", out: "dashboard" },
        { in: "src/styles.css", out: "dashboard" },
      ],
  outdir,
  bundle: true,
  format: "esm",
  target: "es2022",
  minify: !demo,
  legalComments: "linked",
  define: { "define.amd": "false" }, // plotly's UMD wrapper must see neither an AMD loader ...
  logLevel: "warning",
});

if (!demo) {
  const size = ["dashboard.js", "dashboard.css"]
    .map((name) => statSync(join(outdir, name)).size)
    .reduce((sum, bytes) => sum + bytes, 0);
  console.log(`dashboard.js + dashboard.css: ${size.toLocaleString("en")} bytes`);
  if (size > limit) {
    console.error(`the bundle is over its limit of ${limit.toLocaleString("en")} bytes`);
    process.exit(1);
  }
}
