/*
 * Builds dist/ of src/: f.js, f.js.br (what a server sends to a browser that takes brotli), f.debug.js and vercel.js.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync } from 'node:zlib';
import { minify } from 'terser';

// What these assume (`unsafe`): that Array, Math and the like mean what they say, and that nobody reads an arrow's prototype.
const compress = { ecma: 2020, passes: 5, unsafe: true, unsafe_arrows: true, unsafe_methods: true };

async function build(name, options) {
  const source = readFileSync(new URL(`src/${name}`, import.meta.url), 'utf8');
  const { code } = await minify(source, { ecma: 2020, compress, mangle: true, ...options });
  writeFileSync(new URL(`dist/${name}`, import.meta.url), code);
  return Buffer.from(code);
}

mkdirSync(new URL('dist/', import.meta.url), { recursive: true });
const core = await build('f.js', { toplevel: true });
writeFileSync(new URL('dist/f.js.br', import.meta.url), brotliCompressSync(core));
await build('f.debug.js', { module: true });
await build('vercel.js', { toplevel: true });
