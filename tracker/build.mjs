/*
 * Builds dist/ of src/, and npm/, which is the tracker as a package: f.js, the files that it loads where a page asks for them (f.vitals.js, f.queue.js,
 * f.debug.js), each with the .br that a server sends to a browser that takes brotli; and vercel.js.
 */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { brotliCompressSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const here = new URL('.', import.meta.url).pathname;
// What these assume (`unsafe`): that Array, Math and the like mean what they say, and that nobody reads an arrow's prototype.
const compress = {
  ecma: 2020, lhs_constants: false, passes: 5, unsafe: true, unsafe_arrows: true, unsafe_methods: true, unused: false,
};

async function write(name, source, options) {
  const { code } = await minify(source, { ecma: 2020, compress, mangle: true, ...options });
  writeFileSync(`${here}dist/${name}`, code);
  return Buffer.from(code);
}

// Whatever a module imports becomes a part of it.
async function joined(source) {
  const { outputFiles: [file] } = await build({
    absWorkingDir: here,
    entryPoints: [`src/${source}`],
    bundle: true,
    write: false,
    format: 'esm',
    target: 'es2020',
    legalComments: 'none',
    logLevel: 'warning',
  });
  return file.text;
}

const read = (source) => readFileSync(`${here}src/${source}`, 'utf8');

mkdirSync(`${here}dist/`, { recursive: true });
await write('vercel.js', read('vercel.js'), { toplevel: true });
for (const [name, source, options] of [
  // V8 compiles a function in parentheses together with the script around it, which takes less than to do it when it is called.
  ['f.js', read('f.js'), { toplevel: true, format: { wrap_func_args: true } }],
  ['f.debug.js', read('f.debug.js'), { module: true }],
  ['f.queue.js', read('queue.js'), { module: true }],
  ['f.vitals.js', await joined('vitals.js'), { module: true }],
]) writeFileSync(`${here}dist/${name}.br`, brotliCompressSync(await write(name, source, options)));

// The package: f.js, which reads a tag, becomes a function of what the application says. Bundlers leave its files alone.
function replaced(text, before, after) {
  if (text.split(before).length !== 2) throw new Error(`f.js has ${before} not once`);
  return text.replace(before, () => after);
}
const start = [
  ['(async () => {', 'const start = async (data) => {'],
  ["    let script = real('currentScript') || document.querySelector('script[data-site]'); // a module has no current one\n", ''],
  ['    let data = script.dataset;\n', ''],
  ["data.api || script.src.split('/', 3).join('/') + '/f'; // not URL(): pages have a `var URL`", 'data.api;'],
  ['import(', 'import(/* webpackIgnore: true */ /* @vite-ignore */ '],
  ['\n})();\n', '\n};\n'],
].reduce((text, [before, after]) => replaced(text, before, after), read('f.js').replace(/^\/\*.*?\*\/\n/s, ''));
mkdirSync(`${here}npm/`, { recursive: true });
writeFileSync(`${here}npm/forebay.mjs`, `${read('module.mjs')}\n${start}`);
writeFileSync(`${here}npm/forebay.d.ts`, read('module.d.ts'));
