/*
 * Builds dist/ of src/: the tracker f.js with f.js.br (what a server sends to a browser that takes brotli), and the files that
 * it loads where a page asks for them: f.vitals.js, f.queue.js (each with .br) and f.debug.js; and vercel.js.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { brotliCompressSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const here = new URL('.', import.meta.url).pathname;
// What these assume (`unsafe`): that Array, Math and the like mean what they say, and that nobody reads an arrow's prototype.
const compress = { ecma: 2020, passes: 5, unsafe: true, unsafe_arrows: true, unsafe_methods: true, unused: false, lhs_constants: false };

// esbuild joins the modules of a file and keeps to its browsers, and terser makes it small: by 35 bytes smaller than esbuild does.
async function write(name, source, { isModule = false, isCompressed = false } = {}) {
  const { outputFiles: [joined] } = await build({
    absWorkingDir: here,
    entryPoints: [`src/${source}`],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2021',
    legalComments: 'none',
    logLevel: 'warning',
  });
  const options = isModule ? { module: true } : { toplevel: true };
  const { code } = await minify(joined.text, { ecma: 2020, compress, mangle: true, ...options });
  writeFileSync(`${here}dist/${name}`, code);
  if (isCompressed) writeFileSync(`${here}dist/${name}.br`, brotliCompressSync(Buffer.from(code)));
}

mkdirSync(`${here}dist/`, { recursive: true });
await write('f.js', 'f.js', { isCompressed: true });
await write('f.vitals.js', 'vitals.js', { isModule: true, isCompressed: true });
await write('f.queue.js', 'queue.js', { isModule: true, isCompressed: true });
await write('f.debug.js', 'f.debug.js', { isModule: true, isCompressed: true });
await write('vercel.js', 'vercel.js');
