// Parts of `clip-es predict`: the program and the reader of its answers, masks from probabilities, and which photos are meant.
import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { Readable } from 'node:stream'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteReader } from '../../cli/src/predict/byte_reader.js'
import { predictCommand } from '../../cli/src/predict/command.js'
import { maskOf } from '../../cli/src/predict/mask.js'
import { Network, type PredictJob } from '../../cli/src/predict/network.js'
import type { PredictOptions } from '../../cli/src/predict/options.js'
import { predictStages } from '../../cli/src/predict/photo.js'
import { predict } from '../../cli/src/predict/run.js'
import { findPredictPhotos } from '../../cli/src/predict/source.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { having } from './machine_support.js'
import { reasonOf, rejects, temporaryFolder } from './support.js'

const reader = (...chunks: string[]) => new ByteReader(Readable.from(chunks.map((chunk) => Buffer.from(chunk))))

test('lines and blocks are read in turns, however the bytes arrive', async () => {
  for (const chunks of [['{"a":1}\nxyz{"b":2}\nuv'], ['{"a"', ':1}\nx', 'y', 'z{"b":2}', '\nu', 'v']]) {
    const read = reader(...chunks)
    assert.is(await read.line(), '{"a":1}')
    assert.is((await read.fill(Buffer.alloc(3)))?.toString(), 'xyz')
    assert.is(await read.line(), '{"b":2}')
    assert.is((await read.fill(Buffer.alloc(2)))?.toString(), 'uv')
    assert.is(await read.line(), undefined)
  }
})

test('a stream that ends early gives nothing instead of a part', async () => {
  assert.is(await reader('half a line').line(), undefined)
  assert.is(await reader('ab').fill(Buffer.alloc(3)), undefined)
})

const photo = { data: Buffer.alloc(9), width: 3, height: 1, pages: 1 }
/** Background, cat, dog for three pixels. */
const probabilities = { labels: 3, values: Float32Array.from([0.5, 0.2, 0.3, 0.25, 0.2, 0.1, 0.25, 0.6, 0.6]) }
const options = { crf: false, ignoreBelow: 0, threads: 1, signal: new AbortController().signal }

test('without the CRF the most probable label wins, the lower one of equals', async () => {
  const { mask, confidence } = await maskOf(photo, probabilities, undefined, options)
  assert.equal([...mask], [0, 2, 2])
  assert.equal(
    [...confidence].map((value) => Number(value.toFixed(4))),
    [0.5, 0.6, 0.6],
  )
})

test('with known labels only these can win, and the confidence is their share', async () => {
  const { mask, confidence } = await maskOf(photo, probabilities, [0], options)
  assert.equal([...mask], [0, 0, 0])
  assert.equal(
    [...confidence].map((value) => Number(value.toFixed(4))),
    [0.6667, 0.5, 0.75],
  )
})

test('pixels of a lower confidence are ignored', async () => {
  const { mask } = await maskOf(photo, probabilities, undefined, { ...options, ignoreBelow: 0.55 })
  assert.equal([...mask], [255, 2, 2])
})

test('a pixel without any probability is background of no confidence', async () => {
  const zero = { labels: 2, values: new Float32Array(6) }
  const { mask, confidence } = await maskOf(photo, zero, undefined, options)
  assert.equal([[...mask], [...confidence]], [[0, 0, 0], [0, 0, 0]]) // biome-ignore format: a table
})

// ---------------------------------------------------------------- the program
const folder = temporaryFolder()
process.env.TMPDIR = join(folder, 'temporary')
mkdirSync(process.env.TMPDIR)
function write(path: string, content: string, mode?: number): string {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content, { mode })
  return file
}

/** A program that answers as the one for training: says `ready`, then does this for each photo. */
const program = (ready: object, each = "answer({ error: { code: 'ERR_NO', message: 'photo ' + id } })") =>
  write(
    'program',
    `#!${process.execPath}
const fs = require('node:fs')
fs.writeFileSync(${JSON.stringify(join(folder, 'started'))}, process.argv.slice(2).map((one, i) => (i ? fs.readFileSync(one) : one)).join('\\n'))
const answer = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
answer(${JSON.stringify(ready)})
let rest = Buffer.alloc(0)
process.stdin.on('data', (bytes) => {
  rest = Buffer.concat([rest, bytes])
  const end = rest.indexOf('\\n')
  if (end < 0) return
  const { id, width, height } = JSON.parse(rest.subarray(0, end))
  if (rest.length < end + 1 + 3 * width * height) return
  const data = rest.subarray(end + 1, end + 1 + 3 * width * height)
  rest = rest.subarray(end + 1 + data.length)
  ${each}
})
`,
    0o755,
  )

const job: PredictJob = { version: 1, weights: '/w', scales: [1], flip: true, device: 'cpu', threads: 2 }
const ready = { event: 'ready', classes: ['background', 'cat'], network: 'small' }
const open = (file: string, signal = new AbortController().signal) => Network.start(file, job, ['background', 'cat'], signal)
const folders = () => readdirSync(tmpdir()).length

test('a network is a program that gets its job in a file and photos one after another, until it is closed', async () => {
  const before = folders()
  const values = 'process.stdout.write(Buffer.from(Float32Array.from(data.subarray(0, 4), (value) => value / 8).buffer))'
  const file = program(ready, `answer({ id, width: 2, height: 1, labels: 2 }); ${values}`)
  const signal = new AbortController().signal
  const network = await open(file, signal)
  assert.is(readFileSync(join(folder, 'started'), 'utf8'), `predict\n${JSON.stringify(job)}`)
  assert.is(folders(), before + 1)
  const pixels = (first: number) => ({ data: Buffer.from([first, 2, 4, 8, 0, 0]), width: 2, height: 1, pages: 1 })
  const both = await Promise.all([network.probabilities(pixels(1)), network.probabilities(pixels(6))])
  assert.equal(both, [[0.125, 0.25, 0.5, 1], [0.75, 0.25, 0.5, 1]].map((list) => ({ labels: 2, values: Float32Array.from(list) }))) // biome-ignore format: a table
  await network.close()
  assert.is(folders(), before)
})

test('an error of a photo is its own, and the network goes on with the next', async () => {
  const network = await open(program(ready))
  for (const id of [1, 2]) {
    const reason = (await reasonOf(network.probabilities(photo))) as Error & { code: string }
    assert.is(reason.message, `photo ${id}`)
  }
  await network.close()
})

test('weights of other classes, and a program that fails or ends, give the reason and leave nothing', async () => {
  const before = folders()
  const other = program({ ...ready, classes: ['background', 'dog', 'bus'] })
  await rejects(
    open(other),
    'ERR_INVALID_ARG',
    'predict: the weights /w are for 3 labels (background, dog, bus), and the run has 2 (background, cat); name weights of this run',
  )
  const failed = (await reasonOf(open(program({ event: 'error', code: 'ERR_MEMORY', message: 'no room' })))) as Error
  assert.is(failed.message, 'no room')
  const ended = await open(program(ready, "process.stderr.write('out of luck'); process.exitCode = 3; process.exit()"))
  assert.match(((await reasonOf(ended.probabilities(photo))) as Error).message, /out of luck|3/)
  await ended.close()
  const controller = new AbortController()
  const stopped = await open(program(ready, 'process.stdin.pause()'), controller.signal)
  const waiting = stopped.probabilities(photo)
  controller.abort(new Error('interrupted'))
  assert.is(((await reasonOf(waiting)) as Error).message, 'interrupted')
  await stopped.close()
  assert.is(folders(), before)
})

test('a photo gives its files and its entry: the known labels, or those of the mask', async () => {
  const entries: unknown[] = []
  const files: ReadonlyMap<string, Uint8Array>[] = []
  const exchange = {
    prepare: () => ({ bytes: 1, modified: 2 }),
    read: async () => photo,
    save(saved: ReadonlyMap<string, Uint8Array>, entry: unknown) {
      files.push(saved)
      entries.push(entry)
    },
    fail: (entry: unknown) => void entries.push(entry),
  }
  const network = { probabilities: async () => probabilities } as unknown as Network
  const legend = { names: ['cat', 'dog'], colours: [] }
  const stages = predictStages({ network, options, outputs: ['mask'], legend, settings: 's' }, exchange as never)
  for (const labels of [undefined, [0]]) {
    const item = { id: 'x', photo: '/x.jpg', ...(labels && { labels }) }
    const state = stages.prepare(item)
    const made = await stages.segment(item, state)
    const { item: done, ignored } = await stages.save(await stages.encode(made, item), made, item, state)
    assert.equal([done.labels, ignored], [labels ?? [1], 0])
  }
  stages.fail?.({ id: 'y', photo: '/y.jpg' }, 'no')
  const common = { id: 'x', photo: '/x.jpg', bytes: 1, modified: 2, settings: 's' }
  assert.equal(entries, [
    { ...common, labels: [1] },
    { ...common, labels: [0] },
    { id: 'y', photo: '/y.jpg', bytes: 0, modified: 0, settings: 's', failed: 'no' },
  ])
  assert.equal([...(await readMask(Buffer.from(files[0]?.get('mask') as Uint8Array))).data], [0, 2, 2])
})

// ---------------------------------------------------------------- which photos
const given = (...args: string[]): PredictOptions =>
  predictCommand()
    .exitOverride()
    .configureOutput({ writeErr() {} })
    .action(() => undefined)
    .parse(['run', ...args], { from: 'user' })
    .opts()
const file = { classes: [{ name: 'cat' }] }

test('photos by name have ids from the folder that was named, else from the working folder or the root', async () => {
  for (const path of ['set/a/x.jpg', 'set/y.png', 'set/y.webp', 'here/z.jpg']) write(path, '')
  const before = process.cwd()
  process.chdir(join(folder, 'here'))
  try {
    const args = ['../set', '../set/a/x.jpg', 'z.jpg', './z.jpg', 'gone.jpg']
    const { dataset, set, source } = await findPredictPhotos(args, given(), file)
    const at = (path: string) => join(realpathSync(folder), path)
    const root = at('set/a/x').slice(1)
    assert.equal(
      [...dataset.items].map(({ id, photo: of, labels }) => [id, of, labels]),
      [
        ['a/x', at('set/a/x.jpg'), undefined],
        ['y', at('set/y.png'), undefined],
        [root, at('set/a/x.jpg'), undefined],
        ['z', at('here/z.jpg'), undefined],
      ],
    )
    assert.equal(dataset.failures, [
      {
        id: '../set/y.webp',
        message: `its results would have the same names as those of ${at('set/y.png')}; rename one of the photos`,
      },
      { id: 'gone.jpg', message: 'there is no such file or folder' },
    ])
    assert.equal([set, source], ['photos', { kind: 'photos', folder: at('here') }])
  } finally {
    process.chdir(before)
  }
})

test('a data set is listed without its labels, unless --known-labels asks for them', async () => {
  const labels = write('labels.csv', 'a/x.jpg,cat\n')
  const set = ['--folder', join(folder, 'set')]
  const found = async (...args: string[]) => {
    const { dataset, set: name, source } = await findPredictPhotos([], given(...args), file)
    return [[...dataset.items].map(({ id, labels: of }) => [id, of]), name, source.labels]
  }
  assert.equal(await found(...set), [[['a/x', undefined], ['y', undefined]], 'folder', 'auto']) // biome-ignore format: a table
  assert.equal(await found(...set, '--labels', labels, '--known-labels'), [[['a/x', [0]]], 'folder', labels])
  for (const [args, photos, message] of [
    [set, ['x.jpg'], `name photos or a data set, not both: x.jpg and ${folder}/set`],
    [
      [...set, '--labels', labels],
      [],
      '--labels only limits the masks with --known-labels; add --known-labels, or leave out --labels',
    ],
    [[...set, '--known-labels'], [], '--known-labels needs --labels with --folder'],
    [['--known-labels'], ['x.jpg'], '--known-labels needs a data set: --voc, --coco, or --folder with --labels'],
  ] as const) {
    const error = (await reasonOf(findPredictPhotos(photos, given(...args), file))) as Error
    assert.ok(error instanceof UsageError)
    assert.is(error.message, `predict: ${message}`)
  }
})

test('a folder that is not a run, or a run without weights, is refused with the remedy', async () => {
  const settings = { classes: [], network: { name: 'small' }, testing: { scales: [1], flip: false }, crf: false }
  write('run/manifest.json', JSON.stringify({ format: 1, version: '1', command: 'train', source: {}, settings }))
  const refused = async (run: string, message: string, ...args: string[]) => {
    const work = () => predict(join(folder, run), [join(folder, 'set/y.png')], given(...args, '-o', join(folder, 'never')))
    const error = (await reasonOf(having(console, { log() {} }, work))) as Error
    assert.ok(error instanceof UsageError)
    assert.is(error.message, `predict: ${message}`)
  }
  await refused('set', `${folder}/set is not a training run; name a folder that clip-es train filled`)
  const remedy = 'start clip-es train again to finish the run, or name a checkpoint with --weights'
  await refused('run', `there are no weights ${folder}/run/best.safetensors; ${remedy}`)
  await refused('run', `there are no weights gone; ${remedy}`, '--weights', 'gone')
  assert.not(existsSync(join(folder, 'never')))
})

test.run()
