// The files of a training run: what belongs to it, what may be continued, and its report.
import { appendFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { thinned } from '../../cli/src/train/charts.js'
import { settingsOf } from '../../cli/src/train/presets.js'
import { writeRunReport } from '../../cli/src/train/report.js'
import {
  bestFile,
  claimRun,
  jobFile,
  pictureFile,
  readJob,
  readLosses,
  readTrainManifest,
  readValidations,
  type TrainJob,
  type TrainManifest,
  writeJob,
} from '../../cli/src/train/run_files.js'
import { encodeMask } from '../../ts/photos/mask_png.js'

let run: string
test.before.each(() => {
  run = mkdtempSync(join(tmpdir(), 'clip-es-run-'))
})
test.after.each(() => rmSync(run, { recursive: true, force: true }))

const options = { out: '', preset: 'small', seed: 1, device: 'cpu', loaders: 1, overwrite: false, json: false } as const

const manifestWith = (more: object = {}): TrainManifest => ({
  ...{ format: 1, version: '1.0.0', command: 'train', source: { results: '/masks' } },
  settings: { ...settingsOf({ ...options, ...more }), classes: [{ name: 'cat' }], crf: true },
})

const jobWith = (names: string[]): TrainJob => {
  const { network, training } = manifestWith().settings
  const sample = (name: string) => ({ name, photo: `/${name}.jpg`, mask: join(run, `${name}.png`) })
  return {
    ...{ version: 1, run, classes: ['background', 'cat'], network, training, every: { log: 1, checkpoint: 5, validation: 5 } },
    ...{ pictures: 8, device: 'cpu', threads: 1, loaders: 1, seed: 1 },
    samples: names.map((name) => ({ ...sample(name), confidence: null })),
    validation: names.map(sample),
  }
}

test('a run of the same settings and photos is continued', () => {
  claimRun(run, manifestWith(), ['a', 'b'], false)
  writeJob(jobWith(['a', 'b']))
  claimRun(run, manifestWith(), ['a', 'b'], false)
  assert.equal(readTrainManifest(run), JSON.parse(JSON.stringify(manifestWith())))
})

test('a run of other settings is refused with what differs, and replaced with overwrite', () => {
  claimRun(run, manifestWith(), ['a'], false)
  writeJob(jobWith(['a']))
  appendFileSync(join(run, 'log.jsonl'), '{"iteration":1,"loss":2}\n')
  assert.throws(
    () => claimRun(run, manifestWith({ batch: 3, confidence: 'soft' }), ['a', 'b'], false),
    /batch was 8 and is 3; confidence was .*"hard".* and is .*"soft".*; the photos differ \(1 and 2\)\. Choose another folder with --out, or begin again with --overwrite/,
  )
  assert.ok(existsSync(join(run, 'log.jsonl')))
  claimRun(run, manifestWith({ batch: 3 }), ['a', 'b'], true)
  assert.not.ok(existsSync(join(run, 'log.jsonl')))
  assert.not.ok(existsSync(join(run, 'job.json')))
})

test('how a network is used may change: it does not concern the training', () => {
  claimRun(run, manifestWith(), [], false)
  claimRun(run, manifestWith({ testScales: [1, 2] }), [], false)
  assert.equal(readTrainManifest(run)?.settings.testing.scales, [1, 2])
})

test('the folder of something else is refused', () => {
  writeFileSync(join(run, 'manifest.json'), '{"format":1,"settings":{"classes":[]}}')
  assert.throws(() => readTrainManifest(run), /manifest\.json is not about a training run; choose another folder/)
  writeFileSync(join(run, 'manifest.json'), '{')
  assert.throws(() => readTrainManifest(run), /choose another folder, or delete this file/)
})

test('with overwrite everything that a run has written is removed, and nothing else', () => {
  claimRun(run, manifestWith(), ['a'], false)
  const folders = ['checkpoints', 'pictures', 'photos']
  const files = ['log.jsonl', 'validation.jsonl', 'best.safetensors', 'report.html', 'job.json', 'own.txt']
  for (const name of folders) {
    mkdirSync(join(run, name))
    writeFileSync(join(run, name, 'x'), '')
  }
  for (const name of files) writeFileSync(join(run, name), '{}')
  claimRun(run, manifestWith(), ['a'], true)
  assert.equal(readdirSync(run).sort(), ['manifest.json', 'own.txt'])
  assert.is(readFileSync(join(run, 'manifest.json'), 'utf8'), `${JSON.stringify(manifestWith(), null, 1)}\n`)
})

test('what differs is named whole: settings one by one, and other photos of the same number', () => {
  const refusal = (manifest: TrainManifest, names: string[]) => {
    try {
      claimRun(run, manifest, names, false)
      return undefined
    } catch (error) {
      return (error as Error).message
    }
  }
  claimRun(run, manifestWith(), ['a'], false)
  const refused = (what: string) =>
    `${run} holds a run of other settings: ${what}. Choose another folder with --out, or begin again with --overwrite`
  assert.is(refusal(manifestWith({ seed: 2 }), ['b']), refused('seed was 1 and is 2'), 'without a job the photos are not known')
  writeJob(jobWith(['a']))
  assert.is(refusal(manifestWith(), ['b']), refused('the photos differ (1 and 1)'))
  assert.is(
    refusal(manifestWith({ network: 'deeplabv2-resnet50', msc: [2], weights: 'w', iterations: 5 }), ['a']),
    refused(
      'validateEvery was 100 and is 1; checkpointEvery was 100 and is 1; iterations was 4000 and is 5; network was "small" and is ' +
        '"deeplabv2-resnet50"; msc was [] and is [2]; weights was null and is "w"',
    ),
  )
  const classes = { ...manifestWith(), settings: { ...manifestWith().settings, classes: [{ name: 'dog' }] } }
  assert.is(refusal(classes, ['a']), refused('classes was [{"name":"cat"}] and is [{"name":"dog"}]'))
  assert.is(refusal(manifestWith(), ['a']), undefined)
})

test('only the manifest of a training run is one, and a run has its files at these places', () => {
  const good = { format: 1, command: 'train', settings: {} }
  const write = (manifest: unknown) => writeFileSync(join(run, 'manifest.json'), JSON.stringify(manifest))
  assert.is(readTrainManifest(run), undefined)
  write(good)
  assert.equal(readTrainManifest(run), good)
  for (const wrong of [null, { ...good, format: 2 }, { ...good, command: 'dataset' }, { ...good, settings: undefined }]) {
    write(wrong)
    assert.throws(
      () => readTrainManifest(run),
      (error: Error) => error.message === `${join(run, 'manifest.json')} is not about a training run; choose another folder`,
    )
  }
  assert.equal([readJob(run), readLosses(run), readValidations(run)], [undefined, [], []])
  assert.equal(
    [jobFile('/r'), bestFile('/r'), pictureFile('/r', 12, 'a/b'), pictureFile('/r', 1234567, 'a')],
    ['/r/job.json', '/r/best.safetensors', '/r/pictures/000012/a/b.png', '/r/pictures/1234567/a.png'],
  )
  writeFileSync(join(run, 'job.json'), '{')
  assert.throws(() => readJob(run), /job\.json: .+; choose another folder, or delete this file$/)
  writeFileSync(join(run, 'log.jsonl'), '{"iteration":1}\n\n{"iteration":2,"loss":"x"}\n{"iteration":3,"loss":0}\n')
  assert.equal(readLosses(run), [{ iteration: 3, loss: 0 }])
  writeFileSync(join(run, 'validation.jsonl'), '{"iteration":1}\n{"iteration":2,"iou":[]}\n')
  assert.equal(readValidations(run), [{ iteration: 2, iou: [] }] as never)
})

test('a line that was cut short is skipped', () => {
  const validation = { iteration: 10, miou: 0.1, iou: [0.1, null] }
  writeFileSync(join(run, 'validation.jsonl'), `${JSON.stringify(validation)}\n{"iteration":30,"mio`)
  assert.equal(readValidations(run), [validation])
  writeFileSync(join(run, 'log.jsonl'), '{"iteration":1,"loss":0.5}\n{"iteration":2,"lo')
  assert.equal(readLosses(run), [{ iteration: 1, loss: 0.5 }])
})

test('a curve of many losses has their means', () => {
  const points = thinned(Array.from({ length: 4000 }, (_, i) => ({ x: i + 1, y: i % 2 })))
  assert.is(points.length, 400)
  assert.equal(points[0], { x: 5.5, y: 0.5 })
  assert.equal(thinned([{ x: 1, y: 2 }]), [{ x: 1, y: 2 }])
  assert.equal(thinned([]), [])
})

test('the report has both curves, the labels and the pictures of the last validation, and nothing that runs or is fetched', async () => {
  const job = jobWith(['a<b'])
  const mask = await encodeMask(Uint8Array.from([0, 1, 1, 0]), { width: 2, height: 2 })
  writeFileSync(join(run, 'a<b.png'), mask)
  writeFileSync(join(run, 'log.jsonl'), '{"iteration":1,"loss":2}\n{"iteration":2,"loss":1}\n')
  mkdirSync(join(run, 'pictures/000002'), { recursive: true })
  writeFileSync(join(run, 'pictures/000002/a<b.png'), mask)
  writeFileSync(join(run, 'validation.jsonl'), '{"iteration":2,"miou":0.625,"iou":[0.75,0.5]}\n')
  await writeRunReport(job, manifestWith())
  const page = readFileSync(join(run, 'report.html'), 'utf8')
  assert.is(page.match(/<svg /g)?.length, 2)
  assert.match(page, /Best validation mIoU<\/dt><dd>62\.5 %/)
  assert.match(page, /cat<\/td>[\s\S]*?<td>50\.0<\/td>/)
  assert.match(page, /a&#60;b/)
  assert.match(page, /src="data:image\/webp;base64,/)
  assert.match(page, /pixels below 0\.95 are left out/)
  assert.not.match(page, /<script|a<b|src="http/)
})

test('the loss of a report is the mean of its last 50, and pictures are those of the last validation that are there', async () => {
  const job = { ...jobWith(['a', 'b', 'c']), pictures: 2 }
  const losses = Array.from({ length: 51 }, (_, i) => JSON.stringify({ iteration: i + 1, loss: i === 0 ? 1000 : 2 }))
  writeFileSync(join(run, 'log.jsonl'), losses.join('\n'))
  const validations = [3, 7].map((iteration) => JSON.stringify({ iteration, miou: 0.5, iou: [0.5, 0.5] }))
  writeFileSync(join(run, 'validation.jsonl'), validations.join('\n'))
  const mask = await encodeMask(Uint8Array.from([0, 1, 1, 0]), { width: 2, height: 2 })
  for (const name of ['a', 'c']) {
    writeFileSync(join(run, `${name}.png`), mask)
    mkdirSync(join(run, 'pictures/000007'), { recursive: true })
    writeFileSync(join(run, 'pictures/000007', `${name}.png`), mask)
  }
  await writeRunReport(job, manifestWith())
  const page = readFileSync(join(run, 'report.html'), 'utf8')
  assert.match(page, '<dt>Loss</dt><dd>2.000</dd>')
  assert.match(page, '<dt>Iteration</dt><dd>51</dd>')
  assert.match(page, 'Validation pictures at iteration 7')
  assert.is(page.match(/<div class="example">/g)?.length, 1, 'b has no mask, and c is the third')
  assert.match(page, '>50.0 at 3<')
})

test('a run without validation has a report, too', async () => {
  writeFileSync(join(run, 'log.jsonl'), '{"iteration":1,"loss":2}\n')
  await writeRunReport({ ...jobWith(['a']), validation: [] }, manifestWith())
  assert.is(readFileSync(join(run, 'report.html'), 'utf8').match(/<svg /g)?.length, 1)
})

test.run()
