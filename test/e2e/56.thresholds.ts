// clip-es prompts --thresholds and --by entropy, and what obeys the class file that they lead to.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { demoClasses } from '../../cli/src/demo/scenes.js'
import { Segmenter } from '../../ts/index.js'
import { readClassFile, readPhoto } from '../../ts/photos/index.js'
import { emojiNames, makeDemoSet } from './demo_set.js'

const main = join(__dirname, '../../cli/dist/main.js')
const folder = mkdtempSync(join(tmpdir(), 'clip-es-thresholds-'))
const photos = join(folder, 'photos')
const count = 36
const run = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [main, ...args], {
    encoding: 'utf8',
    cwd: folder,
    env: { ...process.env, CLIP_ES_CACHE: join(folder, 'cache') },
  })
const prompts = (...args: string[]) => run('prompts', '--folder', photos, ...args)
const labelled = ['--labels', join(folder, 'labels.csv')]

let truth: Map<string, string[]>
test.before(async () => {
  assert.ok(existsSync(main), `${main} is missing: npm run build`)
  truth = await makeDemoSet(folder, count, 7)
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

interface OfClass {
  name: string
  photos: number
  threshold: number | null
  atDefault: { precision: number | null; recall: number | null; f1: number | null }
}

const classFile = join(folder, 'calibrated.json')

test('thresholds of the classes that photos have are written to a class file with the words they belong to', () => {
  const { status, stdout, stderr } = prompts(...labelled, '--thresholds', '--out', classFile, '--json')
  assert.is(status, 0, stderr)
  const told = JSON.parse(stdout)
  assert.equal([told.photos, told.failed, told.default], [count, [], 0.15])
  const { classes, ...words } = readClassFile(classFile)
  const { classes: emoji, ...emojiWords } = demoClasses()
  assert.equal(words, emojiWords)
  for (const [c, { name, photos: having, threshold }] of (told.classes as OfClass[]).entries()) {
    assert.is(having, [...truth.values()].filter((labels) => labels.includes(name)).length)
    assert.equal(classes[c], { ...emoji[c], ...(having ? { labelThreshold: threshold } : {}) })
    assert.is(threshold === null, having === 0)
  }
  const unseen = emojiNames.filter((name) => ![...truth.values()].flat().includes(name))
  assert.match(stderr, `no photo has ${unseen.join(', ')}`)
})

test('the figures at the default are those of the labels that the command finds', async () => {
  const told = JSON.parse(prompts(...labelled, '--thresholds', '--json').stdout)
  const out = join(folder, 'plain')
  assert.is(run('dataset', '--folder', photos, '--labels', 'auto', '-o', out).status, 0)
  const found = Object.entries(JSON.parse(readFileSync(join(out, 'labels.json'), 'utf8')) as Record<string, { labels: string[] }>)
  for (const { name, atDefault } of told.classes as OfClass[]) {
    const said = found.filter(([, { labels }]) => labels.includes(name))
    const right = said.filter(([id]) => truth.get(id)?.includes(name)).length
    assert.is(atDefault.precision, said.length ? right / said.length : null, name)
  }
})

test("--labels auto obeys the class file's thresholds in the library, dataset and segment, and --label-threshold replaces them", async () => {
  const { classes, template, fusion, background } = readClassFile(classFile)
  const segmenter = await Segmenter.load()
  const encoded = await segmenter.encodeClasses(classes, { template, fusion, background } as never)
  const own = new Map(classes.map(({ name, labelThreshold = 0.15 }) => [name, labelThreshold]))
  const expected = new Map<string, string[]>()
  for (const id of truth.keys()) {
    const photo = await readPhoto(join(photos, `${id}.png`))
    const all = await segmenter.segment(photo, encoded, { labels: 'auto', labelThreshold: 0.001, refine: false })
    const { labels } = await segmenter.segment(photo, encoded, { labels: 'auto', refine: false })
    assert.equal(
      labels,
      all.labels.filter((name, i) => (all.presence?.[i] as number) >= (own.get(name) as number)),
    )
    expected.set(id, labels)
  }
  await segmenter.close()
  const labelsOf = (out: string) =>
    JSON.parse(readFileSync(join(out, 'labels.json'), 'utf8')) as Record<string, { labels: string[] }>
  const out = join(folder, 'calibrated')
  const dataset = ['dataset', '--folder', photos, '--labels', 'auto', '-o', out]
  assert.is(run(...dataset, '--class-file', classFile).status, 0)
  for (const [id, { labels }] of Object.entries(labelsOf(out))) assert.equal(labels, expected.get(id), id)
  const plain = labelsOf(join(folder, 'plain'))
  assert.ok(Object.entries(labelsOf(out)).some(([id, { labels }]) => labels.join() !== plain[id]?.labels.join()))
  assert.match(run(...dataset, '--class-file', 'emoji').stderr, /classes differ|classes was/)
  const [first] = [...truth.keys()] as [string]
  const lines = run(
    'segment',
    join(photos, `${first}.png`),
    '--class-file',
    classFile,
    '--labels',
    'auto',
    '--json',
    '-o',
    'segmented',
  )
  assert.equal(
    JSON.parse(lines.stdout).labels.map(({ name }: { name: string }) => name),
    expected.get(first),
  )
  const same = join(folder, 'same')
  const fixed = ['--labels', 'auto', '--label-threshold', '0.15', '-o', same]
  assert.is(run('dataset', '--folder', photos, ...fixed, '--class-file', classFile).status, 0)
  for (const [id, { labels }] of Object.entries(labelsOf(same))) assert.equal(labels, plain[id]?.labels, id)
})

test('thresholds are not among the settings of a run with known labels', () => {
  const out = join(folder, 'given')
  const dataset = ['dataset', '--folder', photos, ...labelled, '-o', out]
  assert.is(run(...dataset, '--class-file', 'emoji').status, 0)
  const { status, stdout, stderr } = run(...dataset, '--class-file', classFile)
  assert.is(status, 0, stderr)
  assert.match(stdout, new RegExp(`^0 photos to do, ${count} done before`))
})

test('the table says how the figures were made', () => {
  const { status, stdout } = prompts(...labelled, '--thresholds')
  assert.is(status, 0)
  const lines = stdout.trimEnd().split('\n')
  assert.is(lines[0], `label thresholds on ${count} photos`)
  assert.match(lines.at(-2) as string, /^all classes +\d+( +\d+\.\d){6}$/)
  assert.match(lines.at(-1) as string, /leave-one-out/)
})

test('a photo that cannot be read is listed, the others are used, and the status is 1', () => {
  const [id] = [...truth.keys()] as [string]
  const file = join(photos, `${id}.png`)
  const bytes = readFileSync(file)
  writeFileSync(file, bytes.subarray(0, 2000))
  const { status, stderr, stdout } = prompts(...labelled, '--thresholds', '--json')
  writeFileSync(file, bytes)
  assert.is(status, 1)
  assert.match(stderr, new RegExp(`clip-es: ${id}: it is damaged`))
  const { failed, photos: used } = JSON.parse(stdout)
  assert.equal([failed[0].id, used], [id, count - 1])
})

test('entropy ranks templates on photos without labels', async () => {
  const { status, stdout, stderr } = prompts('--by', 'entropy', '--json')
  assert.is(status, 0, stderr)
  const { by, photos: used, rankings } = JSON.parse(stdout)
  assert.equal([by, used, rankings[0].candidates.length], ['entropy', count, 81])
  const values: number[] = rankings[0].candidates.map(({ mean }: { mean: number }) => mean)
  assert.equal(
    values,
    values.toSorted((a, b) => a - b),
  )
  assert.ok(values.every((value) => value > 0 && value < Math.log(emojiNames.length)))
  const table = prompts('--by', 'entropy').stdout.split('\n')
  assert.is(table[0], `templates by entropy over ${count} photos: of the scores of all words, lower is more decided`)
  const given = JSON.parse(prompts('--by', 'entropy', ...labelled, '--json').stdout)
  assert.equal(given.rankings, rankings, 'labels change nothing')
})

test('the error for a wrong command line says what would be right', () => {
  const set = ['--folder', photos, ...labelled]
  for (const [args, message] of [
    [['--folder', photos, '--thresholds'], /prompts: --folder needs --labels/],
    [
      ['--folder', photos, '--labels', 'auto', '--thresholds'],
      /--thresholds needs photos whose labels are known; --labels must name a file/,
    ],
    [[...set, '--thresholds', '--background', ''], /--thresholds needs background words/],
    [[...set, '--thresholds', '--background', 'sky', '--background', 'sea'], /--background is given 2 times/],
    [[...set, '--thresholds', '--rank', 'synonyms'], /'--thresholds' cannot be used with option '--rank <what>'/],
    [[...set, '--thresholds', '--by', 'entropy'], /'--thresholds' cannot be used with option '--by <measure>'/],
    [[...set, '--out', 'x.json'], /--out needs --thresholds/],
    [[...set, '--by', 'entropy', '--rank', 'fusions'], /--by entropy cannot be used with --rank fusions/],
    [[...set, '--by', 'luck'], /Allowed choices are sharpness, entropy/],
  ] as [string[], RegExp][]) {
    const { status, stderr, stdout } = run('prompts', ...args)
    assert.is(status, 2, `${args.join(' ')}: ${stderr}`)
    assert.match(stderr, message)
    assert.is(stdout, '')
  }
})

test.run()
