// Whole runs of the training program: output, checkpoints, exact resume.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { drawSet, type Job, makeJob, type Sample, start, temporaryFolder } from './support.js'

const folder = temporaryFolder()
test.after(folder.remove)
let samples: Sample[]
let whole: Job
test.before(async () => {
  samples = await drawSet(join(folder.path, 'set'), 10)
  whole = makeJob(path('whole'), samples, { validation: samples.slice(0, 3) })
})
const path = (name: string): string => join(folder.path, name)
const log = (run: string): string => readFileSync(join(run, 'log.jsonl'), 'utf8')
const file = (run: string, name: string): Buffer => readFileSync(join(run, name))

test('a run reports its events and writes its files', async () => {
  const { status, events } = await start(whole)
  assert.is(status, 0, events.at(-1)?.message)
  const kinds = (kind: string) => events.filter(({ event }) => event === kind)
  assert.is(events[0]?.event, 'start')
  assert.is(events[0]?.resumed, false)
  assert.is(kinds('iteration').length, 12)
  assert.equal(
    kinds('checkpoint').map(({ iteration }) => iteration),
    [0, 4, 8, 12],
  )
  assert.equal(
    kinds('validation').map(({ iteration }) => iteration),
    [6, 12],
  )
  assert.is(events.at(-1)?.event, 'end')
  assert.equal(readdirSync(join(whole.run, 'checkpoints')).sort(), [
    '000004.safetensors',
    '000004.state.safetensors',
    '000008.safetensors',
    '000008.state.safetensors',
    '000012.safetensors',
    '000012.state.safetensors',
  ])
  const pictures = kinds('validation')[0]?.pictures ?? []
  assert.equal(
    pictures,
    ['scene-0', 'scene-1'].map((name) => join(whole.run, 'pictures/000006', `${name}.png`)),
  )
  assert.ok(pictures.every(existsSync))
  assert.equal(
    log(whole.run)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).loss),
    kinds('iteration').map(({ loss }) => loss),
  )
})

test('the same seed gives the same run, and another seed another one', async () => {
  const again = { ...whole, run: path('again'), loaders: 4 }
  assert.is((await start(again)).status, 0)
  assert.is(log(again.run), log(whole.run))
  assert.ok(file(again.run, 'best.safetensors').equals(file(whole.run, 'best.safetensors')))
  const other = { ...whole, run: path('other'), seed: 8 }
  assert.is((await start(other)).status, 0)
  assert.is.not(log(other.run), log(whole.run))
})

for (const killedAt of [1, 3, 6, 7, 11]) {
  test(`a run that is killed at iteration ${killedAt} goes on with the same losses and weights, bit for bit`, async () => {
    const job = { ...whole, run: path(`killed-${killedAt}`) }
    const killed = await start(job, {
      onEvent: (event, kill) => {
        if (event.event === 'iteration' && event.iteration === killedAt) kill('SIGKILL')
      },
    })
    assert.is(killed.signal, 'SIGKILL')
    const resumed = await start(job)
    assert.is(resumed.status, 0)
    assert.is(resumed.events[0]?.resumed, true)
    assert.is(log(job.run), log(whole.run))
    assert.is(readFileSync(join(job.run, 'validation.jsonl'), 'utf8'), readFileSync(join(whole.run, 'validation.jsonl'), 'utf8'))
    for (const name of ['best.safetensors', 'checkpoints/000012.safetensors', 'checkpoints/000012.state.safetensors'])
      assert.ok(file(job.run, name).equals(file(whole.run, name)), name)
  })
}

test('SIGINT saves a checkpoint, and the run goes on from there with the same losses', async () => {
  const job = { ...whole, run: path('interrupted') }
  const stopped = await start(job, {
    onEvent: (event, kill) => {
      if (event.event === 'iteration' && event.iteration === 5) kill('SIGINT')
    },
  })
  assert.is(stopped.status, 130)
  const last = stopped.events.at(-1)
  assert.is(last?.event, 'checkpoint')
  const resumed = await start(job)
  assert.is(resumed.status, 0)
  assert.is(resumed.events[0]?.iteration, last?.iteration)
  assert.is(log(job.run), log(whole.run))
})

test('DeepLabV2 with ResNet-50 and multi-scale inputs trains, starts from weights, and continues', async () => {
  const network = { name: 'deeplabv2-resnet50', msc: [0.5, 0.75], weights: null as string | null }
  const first = makeJob(path('deeplab'), samples, { network, every: { log: 1, checkpoint: 1, validation: 5 } })
  Object.assign(first.training, { iterations: 2, batch: 2, learningRate: 1e-4, crop: 33 })
  assert.is((await start(first)).status, 0)
  const weights = join(first.run, 'best.safetensors')
  const second = { ...first, run: path('deeplab-2'), network: { ...network, weights } }
  assert.is((await start(second)).status, 0)
  const killed = { ...second, run: path('deeplab-3') }
  await start(killed, { onEvent: ({ event, iteration }, kill) => event === 'checkpoint' && iteration === 1 && kill('SIGKILL') })
  assert.is((await start(killed)).status, 0)
  assert.is(log(killed.run), log(second.run))
})

test('a run learns its tiny set', async () => {
  const job = makeJob(path('learns'), samples, { validation: samples, every: { log: 1, checkpoint: 200, validation: 200 } })
  Object.assign(job.training, { iterations: 120, batch: 5, accumulate: 1, learningRate: 0.05 })
  const { status, events } = await start(job)
  assert.is(status, 0)
  assert.ok((events.find(({ event }) => event === 'validation')?.miou ?? 0) > 0.8, JSON.stringify(events.at(-1)))
})

test.run()
