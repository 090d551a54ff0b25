// Makes the visits of an SDK, all at once, and prints an object for each that has ended:
//
//     node run.mjs SCRIPT '[{"name": ..., "url": ..., "site": ..., "key": ..., "page": ...}]'
const [script, visits] = process.argv.slice(2)
const { visit } = await import(script)
process.on('unhandledRejection', () => {}) // an SDK may leave a refused request to nobody
await Promise.all(
  JSON.parse(visits).map(async (one) => {
    let thrown = ''
    try {
      await visit(one)
    } catch (error) {
      thrown = `${error.stack ?? error}`
    }
    process.stdout.write(JSON.stringify({ visit: one.name, thrown }) + '\n')
  }),
)
process.exit(0)
