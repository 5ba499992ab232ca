// Whole runs of segment and dataset with an engine that has no model: what it is asked, what is written, what is printed.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { SegmentOptions } from '../../ts/index.js'
import { packageVersion } from '../../ts/support/index.js'
import { engineFlags, folder, labelled, makePhotos, photos, read, run, set } from './engine_support.js'
import { otherModelPath } from './support.js'

test.before(makePhotos)

test('segment: the engine is asked what the command line says, and the record has every setting', async () => {
  const how = ['--box-threshold=0.5', '--background-power=2', '--ignore-below=0.25', '--no-refine', '--crf', '--flip']
  const what = ['--classes', 'cat,dog', '--background', 'sky', '--labels', 'dog', '--overlay', '--cams', '--confidence', '--json']
  const { asked, lines, errors, status, concurrency } = await run([
    'segment',
    'photos',
    'gone.png',
    ...what,
    ...how,
    ...engineFlags,
    '-o',
    'seg',
  ])
  const { signal, ...loaded } = asked.load[0] as { signal: AbortSignal }
  assert.ok(signal instanceof AbortSignal)
  assert.equal(loaded, {
    ...{ model: otherModelPath, precision: 'float32', device: undefined, threads: 3, concurrency: undefined, maxSide: 512 },
    weightsFolder: undefined,
  })
  assert.equal(asked.classes, [
    {
      specs: [{ name: 'cat' }, { name: 'dog' }],
      encoding: { template: 'a clean origami {}.', background: ['sky'], fusion: 'sentence', signal },
    },
  ])
  assert.equal(asked.segment[0], {
    ...{ refine: false, crf: true, boxThreshold: 0.5, backgroundPower: 2, ignoreBelow: 0.25, flip: true },
    ...{ labels: ['dog'], include: ['confidence', 'cams'], signal },
  })
  assert.equal([status, concurrency, asked.closed], [1, [1], 1])
  const outcomes = lines.map((line) => JSON.parse(line))
  assert.equal(
    outcomes.map(({ path, error }) => [path, error?.code]),
    [['gone.png', 'ENOENT'], ['photos/a.png', undefined], ['photos/b.png', undefined], ['photos/c.png', undefined], ['photos/d.png', outcomes[4].error.code]], // biome-ignore format: a table
  )
  assert.ok(outcomes[4].error.code)
  assert.match(errors.at(-1) as string, /^clip-es: 3 photos done in .*, 2 failed: listed above; results are in seg$/)
  const { manifest } = JSON.parse(readFileSync(join(folder, 'seg/segment.jsonl'), 'utf8').split('\n')[0] as string)
  assert.equal(manifest, {
    ...{ format: 1, version: packageVersion(), model: '/m.pt', source: {} },
    settings: {
      ...{ set: 'photos', model: '01ab', precision: 'float32', maxSide: '512', classes: [{ name: 'cat' }, { name: 'dog' }] },
      ...{ template: 'a clean origami {}.', background: ['sky'], fusion: 'sentence' },
      ...{ boxThreshold: 0.5, backgroundPower: 2, ignoreBelow: 0.25, refine: false, crf: true, flip: true },
    },
  })
  const files = readdirSync(join(folder, 'seg/photos')).filter((name) => name.startsWith('a'))
  assert.equal(files.sort(), ['a.npz', 'a.png', 'a_confidence.png', 'a_overlay.png'])
})

test('segment: lines for people, the defaults, and a run without photos', async () => {
  const plain = await run([
    'segment',
    'photos/a.png',
    '--class-file',
    'classes.json',
    '--labels',
    'auto',
    ...engineFlags,
    '-o',
    'plain',
  ])
  assert.equal([plain.status, plain.errors, plain.asked.closed], [undefined, [], 1])
  assert.match((plain.lines as [string])[0], /^photos\/a\.png: dog 100.* %? ?\(score 0\.12\); plain\/photos\/a\.png, 0\.00 s$/)
  const { settings } = JSON.parse(readFileSync(join(folder, 'plain/segment.jsonl'), 'utf8').split('\n')[0] as string).manifest
  const { boxThreshold, backgroundPower, ignoreBelow, refine, crf, labelThreshold } = settings
  assert.equal([boxThreshold, backgroundPower, ignoreBelow, refine, crf, labelThreshold], [0.4, 1, 0, true, false, 0.15])
  const [{ crf: asked, include, labels }] = plain.asked.segment as [SegmentOptions]
  assert.equal([asked, include, labels], [false, [], 'auto'])
  const none = await run(['segment', 'gone.png', '--classes', 'cat,dog', '-o', 'never'])
  assert.equal([none.status, none.asked.load, none.lines], [1, [], []])
  assert.equal(none.errors, [
    'clip-es: gone.png: there is no such file or folder',
    "clip-es: there is no photo to work on. Name photos, folders of photos, or globs in quotes: clip-es segment 'photos/*.jpg' --classes cat,dog",
  ])
  assert.not(existsSync(join(folder, 'never')))
  const json = await run(['segment', 'gone.png', '--classes', 'cat,dog', '--json'])
  assert.equal(json.lines.map((line) => JSON.parse(line)), [{ path: 'gone.png', error: { code: 'ENOENT', message: 'there is no such file or folder' } }]) // biome-ignore format: a table
  const bad = await run(['segment', 'photos/a.png', '--classes', 'cat,dog', '-o', 'bad'], 'no texts')
  assert.equal([bad.failed?.message, bad.asked.closed], ['no texts', 1])
})

test('dataset: results, journal and manifest, with a line for each photo and one at the end', async () => {
  const first = await run(['dataset', ...labelled, ...engineFlags, '-o', 'data', '--json'])
  assert.equal([first.status, first.asked.closed, first.concurrency, first.errors], [1, 1, [1], []])
  const events = first.lines.map((line) => JSON.parse(line))
  assert.equal(
    events.map(({ event, id }) => [event, id]),
    [['failed', 'x.png'], ['done', 'a'], ['done', 'b'], ['done', 'c'], ['failed', 'd'], ['end', undefined]], // biome-ignore format: a table
  )
  assert.equal({ ...events[5], seconds: 0 }, { event: 'end', done: 3, already: 0, failed: 2, seconds: 0 })
  assert.equal(events[1].labels, ['cat', 'dog'])
  const { settings, ...manifest } = read('data/manifest.json')
  const source = { kind: 'folder', folder: photos, labels: join(folder, 'labels.csv') }
  assert.equal(manifest, { format: 1, version: packageVersion(), model: '/m.pt', source })
  assert.equal([settings.set, settings.maxSide], ['folder', '512'])
  assert.equal(readdirSync(join(folder, 'data')).sort(), ['journal', 'manifest.json', 'masks'])
  assert.equal(readdirSync(join(folder, 'data/journal')), ['1-of-1.jsonl'])
  assert.equal(readdirSync(join(folder, 'data/masks')), ['a.png', 'b.png', 'c.png'])
  rmSync(join(folder, 'data/masks/b.png'))
  const second = await run(['dataset', ...labelled, ...engineFlags, '-o', 'data'])
  assert.is(second.lines[0], `2 photos to do, 2 done before; results in ${folder}/data`)
  assert.match(second.lines[1] as string, /^b: dog \(1\/2, /)
  assert.match(second.lines.at(-1) as string, /^1 photo done in .*, 2 failed: listed above$/)
  assert.is(second.errors[0], 'clip-es: x.png: there is no such photo in the folder; did you mean a.png?')
  const part = await run(['dataset', ...labelled, ...engineFlags, '-o', 'data', '--shard', '4/4'])
  assert.equal([part.status, readdirSync(join(folder, 'data/journal')).sort()], [1, ['1-of-1.jsonl', '4-of-4.jsonl']])
})

test('dataset: notes are said to people, and labels that CLIP finds are listed in labels.json', async () => {
  writeFileSync(join(folder, 'one.csv'), 'a.png,cat\n')
  const one = await run(['dataset', ...set, '--labels', 'one.csv', ...engineFlags, '-o', 'one'])
  assert.equal(one.lines.slice(0, 2), [`1 photo to do; results in ${folder}/one`, '3 photos without labels left out'])
  assert.is(one.status, undefined)
  assert.not(existsSync(join(folder, 'one/labels.json')))
  const json = await run(['dataset', ...set, '--labels', 'one.csv', ...engineFlags, '-o', 'one', '--json'])
  assert.is(json.lines.length, 1)
  const auto = await run(['dataset', ...set, '--labels', 'auto', ...engineFlags, '-o', 'auto', '--confidence', '--cams'])
  assert.equal([auto.status, auto.asked.segment[0]?.labels, auto.asked.segment[0]?.include], [1, 'auto', ['confidence', 'cams']])
  const found = { labels: ['dog'], presence: [0.6543] }
  assert.equal(read('auto/labels.json'), { a: found, b: found, c: found })
  const bad = await run(['dataset', ...labelled, ...engineFlags, '-o', 'bad data'], 'no texts')
  assert.equal([bad.failed?.message, bad.asked.closed], ['no texts', 1])
})

test.run()
