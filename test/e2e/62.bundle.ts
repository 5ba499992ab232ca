// Programs that esbuild has bundled: with clip-es outside the bundle they work, and inside it an error names the remedy.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type BuildOptions, buildSync } from 'esbuild'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { root } from './support.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-bundle-'))
mkdirSync(join(folder, 'node_modules'))
symlinkSync(root, join(folder, 'node_modules/clip-es'))
mkdirSync(join(folder, 'out'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

writeFileSync(
  join(folder, 'program.js'),
  `import { Segmenter, tokenize } from 'clip-es'
  Segmenter.load(undefined, { threads: 1 }).then(async (segmenter) => {
    const classes = await segmenter.encodeClasses(['cat', 'dog'])
    const { mask } = await segmenter.segment({ data: Buffer.alloc(48 * 48 * 3), width: 48, height: 48 }, classes)
    console.log(tokenize('a cat').length, mask.length)
    await segmenter.close()
  })`,
)

function bundled(name: string, options: BuildOptions) {
  const outfile = join(folder, 'out', name)
  const common = { bundle: true, platform: 'node', logLevel: 'silent' } as const
  buildSync({ ...common, entryPoints: [join(folder, 'program.js')], outfile, absWorkingDir: folder, ...options })
  const { CLIP_ES_MODEL: _, ...env } = process.env
  return spawnSync(process.execPath, [outfile], { encoding: 'utf8', env })
}

for (const [format, name] of [
  ['cjs', 'outside.cjs'],
  ['esm', 'outside.mjs'],
] as const)
  test(`with clip-es outside, a bundle as ${format} works`, () => {
    const { status, stdout, stderr } = bundled(name, { external: ['clip-es'], format })
    assert.is(status, 0, stderr)
    assert.is(stdout, `2 ${48 * 48}\n`)
  })

test('the error of a bundle that contains clip-es says to exclude it', () => {
  const { status, stderr } = bundled('inside.cjs', { format: 'cjs' })
  assert.is(status, 1)
  assert.match(stderr, /ClipEsError: the files of clip-es are not next to its code/)
  assert.match(stderr, /--external:clip-es/)
})

test.run()
