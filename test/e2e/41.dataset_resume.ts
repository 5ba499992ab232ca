// `clip-es dataset` continues what an earlier run left.
import { once } from 'node:events'
import { cpSync, readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import {
  assertWhole,
  dataset,
  files,
  folder,
  labelsFile,
  makePhotos,
  masksOf,
  photos,
  startDataset,
  whole,
} from './demo_dataset.js'
import { randomNumbers } from './demo_set.js'

let labels: Map<string, string[]>
test.before(async () => {
  labels = await makePhotos()
  const { status, stderr } = dataset('-o', whole, '--confidence', '--cams')
  assert.is(status, 0, stderr)
})

test('a second run has nothing to do, and if one mask is missing it makes that one', () => {
  assert.match(dataset('-o', whole).stdout, /^0 photos to do, 60 done before/)
  const [first] = [...labels.keys()] as [string]
  const before = masksOf(whole)
  unlinkSync(join(whole, `masks/${first}.png`))
  assert.match(dataset('-o', whole).stdout, /^1 photo to do, 59 done before/)
  assert.equal(masksOf(whole), before)
})

test('a photo is done again if it or its labels changed', async () => {
  const out = join(folder, 'changed')
  cpSync(whole, out, { recursive: true })
  const [first, second] = [...labels.keys()] as [string, string]
  const lines = readFileSync(labelsFile, 'utf8')
  const photo = readFileSync(join(photos, `${second}.png`))
  writeFileSync(labelsFile, lines.replace(`${first}.png,`, `${first}.png,key;`))
  writeFileSync(join(photos, `${second}.png`), await sharp(photo).negate().png().toBuffer())
  const { stdout } = dataset('-o', out)
  writeFileSync(labelsFile, lines)
  writeFileSync(join(photos, `${second}.png`), photo)
  assert.match(stdout, /^2 photos to do, 58 done before/)
})

test('a run that is killed again and again continues, and ends with the same masks', async () => {
  const out = join(folder, 'killed')
  const random = randomNumbers(7)
  let [kills, done] = [0, 0]
  for (;;) {
    const child = startDataset('-o', out, '--cams')
    let [text, timer] = ['', undefined as NodeJS.Timeout | undefined]
    child.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more
      // Only after the start, which takes longer than the photos.
      if (kills < 12) timer ??= setTimeout(() => child.kill('SIGKILL'), 350 * random())
    })
    const [status] = (await once(child, 'close')) as [number | null]
    clearTimeout(timer)
    await assertWhole(out)
    const before = /^\d+ photos? to do, (\d+) done before/.exec(text)?.[1]
    if (before !== undefined) {
      assert.ok(Number(before) >= done, `${before} after ${done}`)
      done = Number(before)
    }
    if (status === 0) break
    kills++
    assert.ok(kills < 60)
  }
  assert.ok(kills >= 3, `only ${kills} kills: the set is too small for this test`)
  assert.equal(masksOf(out), masksOf(whole))
  assert.equal(
    files(out).filter((file) => file.startsWith('.partial') || file.endsWith('.lock')),
    [],
  )
})

test('an interrupt ends the run with status 130, whole files and no lock', async () => {
  const out = join(folder, 'interrupted')
  const child = startDataset('-o', out)
  let interrupted = false // only once: a second interrupt ends the process at once
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (interrupted || !text.includes('left)')) return
    interrupted = true
    child.kill('SIGINT')
  })
  const [status] = (await once(child, 'close')) as [number | null]
  assert.is(status, 130)
  await assertWhole(out)
  assert.equal(
    files(out).filter((file) => file.endsWith('.lock')),
    [],
  )
})

test('an empty result is made again', () => {
  const out = join(folder, 'hollow')
  cpSync(whole, out, { recursive: true })
  const [first] = [...labels.keys()] as [string]
  assert.is(dataset('-o', out).status, 0) // completes what other tests changed
  truncateSync(join(out, `masks/${first}.png`), 0)
  assert.match(dataset('-o', out).stdout, /^1 photo to do, 59 done before/)
  assert.equal(masksOf(out), masksOf(whole))
})

test('--overwrite removes results that are not asked for again', () => {
  const out = join(folder, 'overwritten')
  const part = ['-o', out, '--shard', '1/20']
  assert.is(dataset(...part, '--cams', '--confidence').status, 0)
  assert.is(files(join(out, 'cams')).length, 3)
  assert.is(dataset(...part, '--no-refine', '--overwrite').status, 0)
  for (const kind of ['cams', 'confidence']) assert.equal(files(join(out, kind)), [], kind)
  assert.is(files(join(out, 'masks')).length, 3)
})

test('a changed setting is refused with both values, and accepted with --overwrite', () => {
  const out = join(folder, 'settings')
  const part = ['-o', out, '--shard', '1/20']
  assert.is(dataset(...part).status, 0)
  const before = masksOf(out)
  const refused = dataset(...part, '--background-power', '2', '--no-refine')
  assert.is(refused.status, 2)
  assert.match(
    refused.stderr,
    /holds results of other settings: backgroundPower was 1 and is 2; refine was true and is false\. .*--overwrite/,
  )
  assert.equal(masksOf(out), before)
  assert.match(dataset(...part, '--background-power', '2', '--overwrite').stdout, /^3 photos to do;/)
  assert.equal([...masksOf(out).keys()], [...before.keys()])
  assert.not.equal(masksOf(out), before)
  assert.match(dataset(...part, '--background-power', '2').stdout, /^0 photos to do, 3 done before/)
})

test.run()
