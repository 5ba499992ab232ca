// What the training program says when something is wrong.
import { copyFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { drawSet, type Event, type Job, makeJob, type Sample, start, temporaryFolder } from './support.js'

const folder = temporaryFolder()
test.after(folder.remove)
let samples: Sample[]
test.before(async () => {
  samples = await drawSet(join(folder.path, 'set'), 6)
})
let runs = 0
const job = (changes: Record<string, unknown> = {}): Job => makeJob(join(folder.path, `run-${runs++}`), samples, changes)

/** Runs a job that must fail, and returns its error. */
async function failureOf(bad: Job, limits?: string): Promise<Event> {
  const { status, events } = await start(bad, { limits })
  assert.is(status, 1)
  const last = events.at(-1)
  assert.is(last?.event, 'error')
  return last as Event
}

/** The samples with a changed one in the middle. */
const withSample = (change: Partial<Sample>): Sample[] =>
  samples.map((sample, i) => (i === 3 ? { ...sample, ...change } : sample))

async function grey(name: string, size: number, value: number): Promise<string> {
  const file = join(folder.path, name)
  await sharp(Buffer.alloc(size * size, value), { raw: { width: size, height: size, channels: 1 } })
    .toColourspace('b-w')
    .png()
    .toFile(file)
  return file
}

test('a missing mask is found before the training starts', async () => {
  const { code, message } = await failureOf(job({ samples: withSample({ mask: join(folder.path, 'none.png') }) }))
  assert.is(code, 'ERR_IO')
  assert.match(message, /sample scene-3: .*none\.png is missing/)
})

test('a mask of another size is named with both sizes', async () => {
  const { code, message } = await failureOf(job({ samples: withSample({ mask: await grey('small.png', 40, 0) }) }))
  assert.is(code, 'ERR_INVALID_ARG')
  assert.match(message, /scene-3: mask .*small\.png is 40 x 40, but photo .* is 48 x 48/)
})

test('an unknown label is named before the training starts', async () => {
  const { message } = await failureOf(job({ samples: withSample({ mask: await grey('nine.png', 48, 9) }) }))
  assert.match(message, /scene-3: mask .*nine\.png has the label 9, expected labels below 3/)
})

test('a file that is not a picture, and one that is cut short, are named', async () => {
  const text = join(folder.path, 'text.png')
  writeFileSync(text, 'not a picture')
  assert.match((await failureOf(job({ samples: withSample({ photo: text }) }))).message, /text\.png is neither a JPEG nor a PNG/)
  assert.match((await failureOf(job({ samples: withSample({ mask: text }) }))).message, /text\.png is not a PNG file/)
  const cut = join(folder.path, 'cut.jpg')
  writeFileSync(cut, (await sharp(samples[3]?.photo).jpeg().toBuffer()).subarray(0, 700))
  assert.match(
    (await failureOf(job({ samples: withSample({ photo: cut }) }))).message,
    /cut\.jpg is a damaged or unsupported JPEG/,
  )
})

test('a loss that is not a number ends the run, names the photos, and keeps a checkpoint that can be used', async () => {
  const bad = job()
  Object.assign(bad.training, { learningRate: 1e18, iterations: 40 })
  const { code, message } = await failureOf(bad)
  assert.is(code, 'ERR_DIVERGED')
  assert.match(
    message,
    /the loss of iteration \d+ is not a number; its photos are scene-\d, scene-\d, scene-\d; .*lower learning rate/,
  )
  const kept = /last good checkpoint is (\S+\.safetensors)/.exec(message)?.[1] as string
  const weights = job({ network: { name: 'small', msc: [], weights: kept } })
  assert.is((await start(weights)).status, 0)
})

test('two runs in one folder: the second one is refused', async () => {
  const first = job()
  first.training.iterations = 2000
  let second: Promise<Event> | undefined
  const ended = await start(first, {
    onEvent: (event, kill) => {
      if (event.event !== 'iteration' || second) return
      second = failureOf(first)
      second.finally(() => kill('SIGTERM'))
    },
  })
  assert.is(ended.status, 130)
  assert.match((await second)?.message ?? '', /another training runs in/)
})

test('a file that cannot be written is named with the reason, and the run goes on later', async () => {
  const first = job()
  // Files of more than 3 MB cannot be written, so the first checkpoint fails, as on a full disk.
  const { code, message } = await failureOf(first, "trap '' XFSZ; ulimit -f 3000")
  assert.is(code, 'ERR_IO')
  assert.match(message, /checkpoints\/000000\S*\.safetensors cannot be written: File too large; make room/)
  assert.equal(readdirSync(join(first.run, 'checkpoints')), [])
  assert.is((await start(first)).status, 0)
})

test('a run that needs more memory than there is says which batch and crop would fit', async () => {
  const big = job({ network: { name: 'deeplabv2-resnet101', msc: [0.5, 0.75], weights: null } })
  Object.assign(big.training, { batch: 10, crop: 321 })
  const { code, message } = await failureOf(big, 'ulimit -v 6000000')
  assert.is(code, 'ERR_OUT_OF_MEMORY')
  assert.match(
    message,
    /needs about \d+\.\d GB of memory for batch 10 with crop 321, but \d\.\d GB are available; batch \d with crop 321, or batch 10 with crop \d+ would fit/,
  )
})

test('a resumed run with another network or other classes is refused', async () => {
  const first = job()
  assert.is((await start(first)).status, 0)
  const { message } = await failureOf({ ...first, classes: ['background', 'square', 'disc', 'star'] })
  assert.match(message, /3 classes, not small with 4 classes/)
})

test('a damaged checkpoint is named', async () => {
  const first = job()
  assert.is((await start(first)).status, 0)
  const newest = join(first.run, 'checkpoints/000012.safetensors')
  copyFileSync(samples[0]?.photo as string, newest)
  const { code, message } = await failureOf(first)
  assert.is(code, 'ERR_MODEL_FORMAT')
  assert.match(message, /000012\.safetensors is not a valid safetensors file/)
})

test('a device that is not there is refused', async () => {
  assert.match((await failureOf(job({ device: 'tpu' }))).message, /device is 'tpu', expected cpu, cuda or cuda:N/)
})

test.run()
