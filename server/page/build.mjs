// Bundles the page into server/dist/page: index.html, icon.svg, page.js and page.css. Run it from anywhere; it takes a few milliseconds.
import { cp, readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const source = dirname(fileURLToPath(import.meta.url))
const root = join(source, '../..')

/** Lets the bundler leave out what the page does not use of the library, such as the functions that need sharp. */
const onlyWhatIsUsed = {
  name: 'only-what-is-used',
  setup({ onResolve, resolve }) {
    onResolve({ filter: /^(sharp$|node:)/ }, ({ path, importer }) =>
      path === 'node:util' && importer === join(root, 'ts/core/check.ts')
        ? { path: join(source, 'node_util.ts') }
        : { path, external: true, sideEffects: false },
    )
    onResolve({ filter: /^\.\.?\// }, async ({ path, pluginData, ...from }) => {
      if (pluginData === 'resolving' || !from.importer.startsWith(join(root, 'ts'))) return undefined
      return { ...(await resolve(path, { ...from, pluginData: 'resolving' })), sideEffects: false }
    })
  },
}

export async function buildPage() {
  const out = join(root, 'server/dist/page')
  const result = await build({
    entryPoints: ['main.ts', 'style/page.css'].map((file) => ({ in: join(source, file), out: 'page' })),
    outdir: out,
    bundle: true,
    format: 'esm',
    target: ['chrome110', 'firefox115', 'safari16.4'],
    tsconfig: join(source, 'tsconfig.json'),
    minify: true,
    metafile: true,
    plugins: [onlyWhatIsUsed],
    logLevel: 'warning',
  })
  const left = (await readFile(join(out, 'page.js'), 'utf8')).match(/\bfrom"(node:[^"]+|sharp)"/)
  if (left) throw new Error(`the page imports ${left[1]}, which browsers do not have: import less of the library`)
  for (const file of ['index.html', 'icon.svg']) await cp(join(source, file), join(out, file))
  return result.metafile
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await buildPage()
