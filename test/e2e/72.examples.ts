// Every ts, js and sh block of README.md and the pages is run, in order, where the files that it names are: the embedded model stands for
// ViT-B-16.pt. A word behind `sh` says why a block is not run here; docs/cli.md and docs/datasets.md have tests of their own for their
// consoles, 60.export.ts runs those of docs/models.md and 65.native.ts those of examples/native.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { embeddedModel } from '../../ts/engine/model_path.js'
import { main, root, scenes, Workplace } from './support.js'

const pages = [
  'README.md',
  'docs/api.md',
  'docs/crf.md',
  'docs/maps.md',
  'docs/words.md',
  'docs/errors.md',
  'docs/models.md',
  'docs/datasets.md',
  'examples/native/README.md',
  'examples/electron/README.md',
]
const notRun: Record<string, string> = {
  checkout: '.ci/run runs it in a fresh checkout',
  download: 'it needs the network',
  data: 'it needs a data set',
  bundle: '62.bundle.ts bundles programs',
  server: 'test/server/45.docs.ts runs the examples of docs/server.md',
  electron: 'it needs Electron; 65.electron_main.ts to 68.electron_package.ts run the rest',
}
const elsewhere = ['docs/models.md', 'examples/native/README.md'] // their sh blocks

const place = new Workplace()
// Below the package, so that `clip-es` means it.
const modules = mkdtempSync(join(root, 'build-examples-'))
test.after(() => {
  place.remove()
  rmSync(modules, { recursive: true, force: true })
})

interface Block {
  page: string
  line: number
  language: string
  word: string
  text: string
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(root, page), 'utf8')
  const blocks = [...text.matchAll(/^```(\w*) ?(.*)\n([\s\S]*?)^```$/gm)].map((match) => {
    const [, language = '', word = '', body = ''] = match
    return { page, line: text.slice(0, match.index).split('\n').length, language, word, text: body }
  })
  assert.is((text.match(/^```/gm) ?? []).length, 2 * blocks.length, `${page} has a block that does not end`)
  return blocks
}
const blocks = pages.flatMap(blocksOf)

test.before(async () => {
  mkdirSync(place.path('bin'))
  writeFileSync(place.path('bin/clip-es'), `#!/bin/sh\nexec "${process.execPath}" "${main}" "$@"\n`, { mode: 0o755 })
  writeFileSync(place.path('bin/npx'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 })
  cpSync(embeddedModel(), place.path('ViT-B-16.pt'))
  mkdirSync(place.path('photos'))
  for (const name of ['photo.jpg', 'photos/a.jpg']) await sharp(join(scenes, 'scene05.png')).toFile(place.path(name))
})

test('the pages have blocks of known languages, and those that are not run say why', () => {
  const known = new Set(['ts', 'js', 'sh', 'console', 'json', 'python'])
  for (const { page, line, language, word } of blocks) {
    assert.ok(known.has(language), `${page}:${line} is ${language || 'of no language'}`)
    if (language === 'sh' && word) assert.ok(word in notRun, `${page}:${line} says '${word}'`)
    else if (['ts', 'js'].includes(language)) assert.is(word, '', `${page}:${line}`)
    if (language === 'sh' && word) console.log(`  not run: ${page}:${line}: ${notRun[word]}`)
  }
})

/** What a page's blocks may take for granted. */
const prelude = `import { Segmenter as LoadedSegmenter } from 'clip-es'
const segmenter = await LoadedSegmenter.load('ViT-B-16.pt', { threads: 2 })
const classes = await segmenter.encodeClasses(['cat', 'dog'])
const [width, height, labels] = [64, 48, 2]
const rgb = new Uint8Array(3 * width * height).map((_, i) => (i * 7) % 256)
const image = { data: rgb, width, height }
const scores = new Float32Array(labels * width * height).fill(0.5)
const outcome = async (line: number, block: () => Promise<void>) => {
  try {
    await block()
    process.stderr.write(\`\\nran \${line}\\n\`)
  } catch (error) {
    process.stderr.write(\`\\nfailed \${line}: \${(error as Error).stack}\\n\`)
  }
}
void [classes, image, scores, labels]
`

/** Imports become expressions, so that a block can be a function. */
const withoutImports = (text: string): string =>
  text
    .replace(/^import (\{[^}]+\}) from ('[^']+')$/gm, 'const $1 = await import($2)')
    .replace(/^import (\w+) from ('[^']+')$/gm, 'const { default: $1 } = await import($2)')

const inFunction = ({ line, text }: Block): string => `await outcome(${line}, async () => {\n${withoutImports(text)}\n})\n`

const withTypeScript = pages.filter((page) => blocks.some((block) => block.page === page && block.language === 'ts'))
const moduleFile = (page: string): string => join(modules, `${page.replaceAll('/', '-')}.mts`)

test('every ts block compiles', () => {
  for (const page of withTypeScript) {
    const own = blocks.filter((block) => block.page === page && block.language === 'ts')
    writeFileSync(moduleFile(page), `${prelude}${own.map(inFunction).join('')}await segmenter.close()\n`)
  }
  const compilerOptions = {
    ...{ target: 'es2022', lib: ['es2023', 'esnext.disposable'], module: 'node16', moduleResolution: 'node16', types: ['node'] },
    ...{ strict: true, noEmit: true, skipLibCheck: true },
  }
  writeFileSync(join(modules, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.mts'] }))
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', modules], { encoding: 'utf8' })
  assert.is(status, 0, stdout)
})

for (const page of withTypeScript)
  test(`${page}: its ts blocks run`, () => {
    const tsx = require.resolve('tsx')
    const run = spawnSync(process.execPath, ['--import', tsx, moduleFile(page)], {
      encoding: 'utf8',
      cwd: place.folder,
      env: place.env(),
    })
    const ran = [...run.stderr.matchAll(/^ran (\d+)$/gm)].map(([, line]) => Number(line))
    const wanted = blocks.filter((block) => block.page === page && block.language === 'ts').map(({ line }) => line)
    assert.equal(ran, wanted, run.stderr)
    assert.is(run.status, 0, run.stderr)
  })

for (const { page, line, language, word, text } of blocks) {
  if (language === 'js')
    test(`${page}:${line} runs as CommonJS`, () => {
      const file = join(modules, `${basename(page)}-${line}.cjs`)
      writeFileSync(file, text)
      const run = spawnSync(process.execPath, [file], { encoding: 'utf8', cwd: place.folder, env: place.env() })
      assert.is(run.status, 0, run.stderr)
    })
  if (language === 'sh' && !word && !elsewhere.includes(page))
    test(`${page}:${line} runs`, () => {
      const env = place.env({ PATH: `${place.path('bin')}:${process.env.PATH}` })
      const run = spawnSync('bash', ['-ec', text], { encoding: 'utf8', cwd: place.folder, env })
      assert.is(run.status, 0, run.stdout + run.stderr)
    })
}

test('docs/errors.md has a heading for every code, and every sentence of it stands in the source', () => {
  const text = readFileSync(join(root, 'docs/errors.md'), 'utf8')
  const codes = [...readFileSync(join(root, 'ts/core/errors.ts'), 'utf8').matchAll(/^ {2}\| '(ERR_\w+)'/gm)].map(
    ([, code]) => code,
  )
  assert.equal(
    [...text.matchAll(/^## (ERR_\w+)$/gm)].map(([, code]) => code),
    codes,
  )
  const sources = spawnSync('git', ['ls-files', 'ts', 'cli/src', 'scripts', 'cpp', 'binding'], { cwd: root, encoding: 'utf8' })
    .stdout.trim()
    .split('\n')
  const source = sources.map((file) => readFileSync(join(root, file), 'utf8')).join('\n')
  const sentences = [...text.matchAll(/^\| `([^`]+)` \|/gm)].map(([, sentence]) => sentence as string)
  assert.ok(sentences.length > 30, String(sentences.length))
  for (const sentence of sentences)
    for (const part of sentence.split('…').map((words) => words.trim()))
      assert.ok(source.includes(part), `'${part}' of '${sentence}' is not in the source`)
})

test.run()
