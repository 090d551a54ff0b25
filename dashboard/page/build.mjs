/*
 * Builds dist/ of src/: index.html, icon.svg, app.js and app.css, each with its .br, which a server sends to a browser that takes brotli.
 * The page brings no inline script and no inline style, so a Content-Security-Policy of 'self' is enough for it.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { brotliCompressSync } from 'node:zlib';
import { build } from 'esbuild';

const here = new URL('.', import.meta.url).pathname;
const dist = `${here}dist/`;
// Of spring 2024: the oldest that know light-dark(), which the colours of both themes are written with.
const target = ['chrome123', 'firefox120', 'safari17.5'];

rmSync(dist, { recursive: true, force: true });
mkdirSync(dist);
await build({
  absWorkingDir: here,
  entryPoints: [
    { in: 'src/main.tsx', out: 'app' },
    { in: 'src/css/app.css', out: 'app' },
  ],
  outdir: dist,
  bundle: true,
  minify: true,
  legalComments: 'none',
  format: 'iife',
  target,
  jsx: 'automatic',
  jsxImportSource: 'preact',
  logLevel: 'warning',
});
const copied = ['index.html', 'icon.svg'];
for (const name of copied) writeFileSync(dist + name, readFileSync(`${here}src/${name}`));
for (const name of [...copied, 'app.js', 'app.css']) {
  writeFileSync(`${dist}${name}.br`, brotliCompressSync(readFileSync(dist + name)));
}
