// A run over a data set with a stand-in for the engine.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type DatasetJob, datasetStages, folderExchange } from '../../cli/src/dataset/photo.js'
import { runPipeline } from '../../cli/src/pipeline/pipeline.js'
import { Progress } from '../../cli/src/pipeline/progress.js'
import { isDone, Journal, photoState, readJournal } from '../../cli/src/results/journal.js'
import { type OutputKind, ResultStore, resultFile } from '../../cli/src/results/store.js'

const [width, height] = [4, 3]
let folder = ''
test.before.each(async () => {
  folder = mkdtempSync(join(tmpdir(), 'clip-es-run-'))
  await sharp({ create: { width, height, channels: 3, background: 'red' } })
    .png()
    .toFile(join(folder, 'a.png'))
})
test.after.each(() => rmSync(folder, { recursive: true, force: true }))

/** Runs one photo; `during` happens while the engine works on it. */
async function run(id: string, during: () => void, mask = new Uint8Array(width * height)) {
  const out = join(folder, 'out')
  const journal = new Journal(out, '1-of-1')
  const segment = async () => {
    during()
    return { width, height, labels: ['cat'], scores: Float32Array.of(0.5), mask, timings: {} }
  }
  const outputs: OutputKind[] = ['mask']
  const job = {
    segmenter: { segment },
    classes: { names: ['cat'] },
    options: {},
    outputs,
    colours: [],
    maxPixels: 1e6,
    settings: 's',
  }
  const stages = datasetStages(
    job as unknown as DatasetJob,
    folderExchange({ store: new ResultStore(out, '1-of-1'), journal }, outputs),
  )
  const heard: string[] = []
  const item = { id, photo: join(folder, 'a.png'), labels: [0] }
  await runPipeline([item], stages, {
    ...{ window: 1, signal: new AbortController().signal, progress: new Progress(1, 'none'), out },
    describe(outcome) {
      heard.push('error' in outcome ? `failed ${id}: ${outcome.error.message}` : `done ${id} ${outcome.summary.ignored}`)
      return { text: () => '', json: () => ({}) }
    },
  })
  journal.close()
  return { heard, item, out, entry: readJournal(out).get(id) }
}

test('a photo that is replaced while it is processed is done again', async () => {
  const before = photoState(join(folder, 'a.png'))
  const { heard, item, entry } = await run('a', () =>
    writeFileSync(join(folder, 'a.png'), Buffer.concat([readFileSync(join(folder, 'a.png')), Buffer.alloc(9)])),
  )
  assert.equal(heard, ['done a 0'])
  assert.equal([entry?.bytes, entry?.modified], [before.bytes, before.modified])
  assert.not(isDone(entry, item, 's'))
})

test('a photo is done after its files are written, and the ignored share is reported', async () => {
  const { heard, item, entry, out } = await run(
    'b',
    () => undefined,
    Uint8Array.from({ length: 12 }, (_, i) => (i < 3 ? 255 : 1)),
  )
  assert.equal(heard, ['done b 0.25'])
  assert.ok(isDone(entry, item, 's'))
  assert.ok(readFileSync(resultFile(out, 'mask', 'b')).length > 0)
})

test('a photo whose result names are too long fails before any work, and the journal has the reason', async () => {
  const id = 'n'.repeat(252)
  const { heard, entry } = await run(id, () => assert.unreachable())
  assert.match(heard.join(), /^failed n+: its result would be called n+\.png, which has 256 bytes/)
  assert.match(entry?.failed ?? '', /256 bytes/)
})

test.run()
