import { type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCams } from '../../cli/src/formats/read_cams.js'
import { maskFromCams } from '../../cli/src/metrics/cam_rule.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { testIf } from '../test_if.js'
import { emojiNames, makeDemoSet, randomNumbers } from './demo_set.js'

const main = join(__dirname, '../../cli/dist/main.js')
const folder = mkdtempSync(join(tmpdir(), 'clip-es-dataset-'))
const set = join(folder, 'set')
const photos = join(set, 'photos')
const labelsFile = join(set, 'labels.csv')
const count = 60

const clipEs = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: folder })
const dataset = (...args: string[]) => clipEs('dataset', '--folder', photos, '--labels', labelsFile, ...args)

let labels: Map<string, string[]>
test.before(async () => {
  assert.ok(existsSync(main), `${main} is missing: npm run build`)
  labels = await makeDemoSet(set, count)
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** Paths of all files below a folder. */
function files(dir: string, below = dir): string[] {
  if (!existsSync(dir)) return []
  return readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(dir, entry.name)
      return entry.isDirectory() ? files(path, below) : [relative(below, path)]
    })
    .sort()
}

const masksOf = (out: string): Map<string, string> =>
  new Map(files(join(out, 'masks')).map((file) => [file, readFileSync(join(out, 'masks', file), 'base64')]))

const entries = (out: string): { id: string; failed?: string }[] =>
  readdirSync(join(out, 'journal'))
    .flatMap((file) =>
      readFileSync(join(out, 'journal', file), 'utf8')
        .trim()
        .split('\n'),
    )
    .flatMap((line) => (line.startsWith('{') && line.endsWith('}') ? [JSON.parse(line)] : []))

/** No temporary file, and every file there is can be read whole. */
async function assertWhole(out: string): Promise<void> {
  for (const file of files(out)) {
    if (file.startsWith('.partial')) continue
    assert.not.match(file, /\.tmp$/)
    if (file.endsWith('.png')) await sharp(readFileSync(join(out, file)), { failOn: 'warning' }).stats()
    if (file.endsWith('.npz')) await readCams(join(out, file))
  }
}

const whole = join(folder, 'whole')

// The tester's own model is not the one that knows these scenes.
delete process.env.CLIP_ES_MODEL

test('a folder of photos: a mask, a confidence map and CAMs for each', async () => {
  const { status, stdout, stderr } = dataset('-o', whole, '--confidence', '--cams')
  assert.is(status, 0, stderr)
  assert.match(stdout, new RegExp(`^${count} photos to do; results in ${whole}\n`))
  assert.match(stdout, /\n\d\d\/\d{4}: [a-z, ]+ \(\d+\/60, [\d.]+\/(s|min), .* left\)\n/, 'a line for each photo')
  assert.match(stdout, new RegExp(`\n${count} photos done in .* \\([\\d.]+/s\\)\n$`))
  assert.equal(
    files(whole).filter((file) => !file.startsWith('journal')),
    [
      'manifest.json',
      ...[...labels.keys()].flatMap((id) => [`cams/${id}.npz`, `confidence/${id}.png`, `masks/${id}.png`]),
    ].sort(),
  )
})

test('a mask is of its photo, has the values of its labels, and is what its CAMs make', async () => {
  for (const [id, names] of labels) {
    const { width, height } = await sharp(join(photos, `${id}.png`)).metadata()
    const mask = await readMask(readFileSync(join(whole, `masks/${id}.png`)))
    assert.equal([mask.width, mask.height], [width, height])
    const values = names.map((name) => emojiNames.indexOf(name) + 1)
    assert.equal(
      [...new Set(mask.data)].filter((value) => value && !values.includes(value)),
      [],
    )
    const cams = await readCams(join(whole, `cams/${id}.npz`))
    assert.equal(
      cams.keys,
      values.map((value) => value - 1).sort((a, b) => a - b),
    )
    const made = maskFromCams(cams, { power: 1 })
    const off = made.filter((value, i) => value !== mask.data[i]).length
    assert.ok(off <= made.length * 0.01, `${id}: ${off} pixels`) // CAMs are rounded to float16
    const confidence = await sharp(join(whole, `confidence/${id}.png`)).metadata()
    assert.equal([confidence.width, confidence.height, confidence.depth], [width, height, 'ushort'])
  }
})

test('started again it has nothing to do, and with one mask gone it does that one', () => {
  assert.match(dataset('-o', whole).stdout, /^0 photos to do, 60 done before/)
  const [first] = [...labels.keys()] as [string]
  const before = masksOf(whole)
  unlinkSync(join(whole, `masks/${first}.png`))
  assert.match(dataset('-o', whole).stdout, /^1 photo to do, 59 done before/)
  assert.equal(masksOf(whole), before)
})

test('a photo or a label that changed is done again', async () => {
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

test('killed again and again at any moment, it goes on and ends with the same masks', async () => {
  const out = join(folder, 'killed')
  const random = randomNumbers(7)
  let [kills, done] = [0, 0]
  for (;;) {
    const args = [main, 'dataset', '--folder', photos, '--labels', labelsFile, '-o', out, '--cams']
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
    let [text, timer] = ['', undefined as NodeJS.Timeout | undefined]
    child.stdout.setEncoding('utf8').on('data', (more: string) => {
      text += more
      // Not before it works: the start takes longer than the photos.
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

test('an interrupt ends it with 130, whole files and no lock', async () => {
  const out = join(folder, 'interrupted')
  const args = [main, 'dataset', '--folder', photos, '--labels', labelsFile, '-o', out]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  let interrupted = false // once: a second interrupt ends it at once, with whatever lies there
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

test('shards, at once, do each photo exactly once, with the same masks', async () => {
  const out = join(folder, 'shards')
  const children = [1, 2, 3].map((part) =>
    spawn(process.execPath, [main, 'dataset', '--folder', photos, '--labels', labelsFile, '-o', out, '--shard', `${part}/3`], {
      stdio: 'ignore',
    }),
  )
  assert.equal(
    (await Promise.all(children.map((child) => once(child, 'close')))).map(([status]) => status),
    [0, 0, 0],
  )
  assert.equal(masksOf(out), masksOf(whole))
  const ids = entries(out).map(({ id }) => id)
  assert.is(ids.length, count)
  assert.is(new Set(ids).size, count)
  assert.match(dataset('-o', out).stdout, /^0 photos to do, 60 done before/, 'and another number of shards goes on')
  const { status, stderr } = dataset('-o', out, '--shard', '4/3')
  assert.is(status, 2)
  assert.match(stderr, /--shard/)
})

test('what the annotations say wrong is told by the first shard only', () => {
  const file = join(folder, 'stray.csv')
  writeFileSync(file, `${readFileSync(labelsFile, 'utf8')}00/nothing.png,cat\n`)
  const shard = (part: string) =>
    clipEs('dataset', '--folder', photos, '--labels', file, '-o', join(folder, 'stray'), '--shard', part)
  const first = shard('1/20')
  assert.is(first.status, 1)
  assert.match(first.stderr, /00\/nothing\.png: there is no such photo/)
  const second = shard('2/20')
  assert.is(second.status, 0, second.stderr)
  assert.not.match(second.stderr, /nothing\.png/)
})

test('a result of no bytes is made again', () => {
  const out = join(folder, 'hollow')
  cpSync(whole, out, { recursive: true })
  const [first] = [...labels.keys()] as [string]
  assert.is(dataset('-o', out).status, 0) // what other tests have touched
  truncateSync(join(out, `masks/${first}.png`), 0)
  assert.match(dataset('-o', out).stdout, /^1 photo to do, 59 done before/)
  assert.equal(masksOf(out), masksOf(whole))
})

test('--overwrite leaves nothing of what is not asked for again', () => {
  const out = join(folder, 'overwritten')
  const part = ['-o', out, '--shard', '1/20']
  assert.is(dataset(...part, '--cams', '--confidence').status, 0)
  assert.is(files(join(out, 'cams')).length, 3)
  assert.is(dataset(...part, '--no-refine', '--overwrite').status, 0)
  for (const kind of ['cams', 'confidence']) assert.equal(files(join(out, kind)), [], kind)
  assert.is(files(join(out, 'masks')).length, 3)
})

test('two processes do not work on one shard', async () => {
  const out = join(folder, 'twice')
  const args = [main, 'dataset', '--folder', photos, '--labels', labelsFile, '-o', out]
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'ignore'] })
  await once(child.stdout, 'data')
  child.kill('SIGSTOP')
  const { status, stderr } = dataset('-o', out)
  assert.is(status, 2)
  assert.match(stderr, new RegExp(`process ${child.pid} is working on this part of`))
  child.kill('SIGKILL')
})

test('a changed setting is refused with both values, and replaced with --overwrite', () => {
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

test('--json has an object for each photo and one for the end', () => {
  const { stdout } = dataset('-o', join(folder, 'json'), '--shard', '1/20', '--json')
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  assert.equal(
    events.map(({ event }) => event),
    ['done', 'done', 'done', 'end'],
  )
  assert.equal(events[3].done, 3)
  assert.equal(events[0].labels, labels.get(events[0].id))
})

test('broken photos, unknown labels and missing photos are listed, the rest is done, and the status is 1', async () => {
  const dir = join(folder, 'broken')
  const ids = [...labels.keys()].slice(0, 8)
  mkdirSync(join(dir, 'photos/00'), { recursive: true })
  for (const id of ids) copyFileSync(join(photos, `${id}.png`), join(dir, 'photos', `${id}.png`))
  const at = (i: number) => join(dir, 'photos', `${ids[i]}.png`)
  truncateSync(at(0), Math.floor(statSync(at(0)).size / 2))
  truncateSync(at(1), 0)
  writeFileSync(at(2), 'this is no picture')
  rmSync(at(3))
  mkdirSync(at(3))
  const words = ids.map((id, i) => `${id}.png,${i === 4 ? 'unicorn' : (labels.get(id) as string[]).join(';')}`)
  writeFileSync(join(dir, 'labels.csv'), `${words.join('\n')}\n00/nothing.png,cat\n`)
  const out = join(dir, 'out')
  const run = () => clipEs('dataset', '--folder', join(dir, 'photos'), '--labels', join(dir, 'labels.csv'), '-o', out)
  const { status, stdout, stderr } = run()
  assert.is(status, 1)
  assert.match(stderr, new RegExp(`clip-es: ${ids[0]}: it is damaged`))
  assert.match(stderr, new RegExp(`clip-es: ${ids[1]}: it is empty`))
  assert.match(stderr, new RegExp(`clip-es: ${ids[2]}: it is not an image`))
  assert.match(stderr, new RegExp(`clip-es: ${ids[3]}\\.png: there is no such photo`))
  assert.match(stderr, new RegExp(`clip-es: ${ids[4]}\\.png: the class file has no class named 'unicorn'`))
  assert.match(stderr, /clip-es: 00\/nothing\.png: there is no such photo/)
  assert.match(stdout, /3 photos done in .*, 6 failed: listed above\n$/)
  assert.equal(
    files(join(out, 'masks')),
    ids.slice(5).map((id) => `${id}.png`),
  )
  await assertWhole(out)
  copyFileSync(join(photos, `${ids[0]}.png`), at(0))
  assert.match(run().stdout, /^3 photos to do, 3 done before/, 'what failed is tried again')
  assert.ok(existsSync(join(out, 'masks', `${ids[0]}.png`)))
})

test('a result that cannot be written is listed, and the rest is done', async () => {
  const out = join(folder, 'blocked')
  const [first, second] = [...labels.keys()] as [string, string]
  mkdirSync(join(out, 'masks', `${first}.png`), { recursive: true })
  const { status, stderr } = dataset('-o', out, '--shard', '1/20', '--cams')
  assert.is(status, 1)
  assert.match(stderr, new RegExp(`clip-es: ${first}: .*${first}\\.png is a folder; only regular files are replaced`))
  assert.not(existsSync(join(out, 'cams', `${first}.npz`)), `nothing of ${first}, and ${second} is another shard's`)
  assert.is(files(join(out, 'masks')).length, 2)
})

test('a folder that cannot be written is refused before any work', () => {
  const { status, stderr, stdout } = dataset('-o', join(labelsFile, 'out'))
  assert.is(status, 1)
  assert.is(stdout, '')
  assert.match(stderr, /cannot write to the folder .*; choose another one with --out/)
})

// A file system of our own needs the right to mount one.
const mounts = spawnSync('unshare', ['-m', 'true']).status === 0
const mountTest = testIf(mounts, 'the full disk and the read-only folder: this user may not mount')

const inMount = (script: string): SpawnSyncReturns<string> =>
  spawnSync('unshare', ['-m', 'sh', '-c', script], {
    encoding: 'utf8',
    env: { ...process.env, RUN: `"${process.execPath}" "${main}" dataset --folder "${photos}" --labels "${labelsFile}"` },
  })

mountTest('a full disk ends the work at once, nothing is half-written, and with room it goes on', async () => {
  const out = join(folder, 'full')
  mkdirSync(out)
  const copy = join(folder, 'full-copy')
  const { stdout, stderr } = inMount(
    `mount -t tmpfs -o size=900k none "${out}" && eval "$RUN -o '${out}' --cams"; echo "status $?"; cp -r "${out}" "${copy}"
     mount -o remount,size=100m "${out}" && eval "$RUN -o '${out}' --cams"; echo "status $?"; cp -r "${out}" "${copy}-later"`,
  )
  assert.equal(stdout.match(/^status \d$/gm), ['status 1', 'status 0'], stdout + stderr)
  const [, done] = /clip-es: ENOSPC: .+; (\d+) of 60 photos done; .+ Make room and run the same command again/.exec(stderr) ?? []
  assert.ok(Number(done) > 0 && Number(done) < count, stdout)
  await assertWhole(copy)
  assert.ok(files(join(copy, 'masks')).length >= Number(done))
  assert.equal(masksOf(`${copy}-later`), masksOf(whole))
})

mountTest('a read-only folder: said once, before any work', () => {
  const out = join(folder, 'read-only')
  mkdirSync(out)
  const { stdout, stderr } = inMount(`mount -t tmpfs -o ro none "${out}" && eval "$RUN -o '${out}'"; echo "status $?"`)
  assert.is(stdout, 'status 1\n')
  assert.match(stderr, /cannot write to the folder .*EROFS/)
})

test('a wrong command line is said with what would be right', () => {
  for (const [args, message] of [
    [[], /name a data set: --voc DIR --split NAME/],
    [['--voc', 'x'], /--voc needs --split/],
    [['--coco', 'x'], /--coco needs --annotations/],
    [['--folder', 'x', '--split', 'val', '--labels', 'y'], /--split cannot be used with --folder/],
    [['--folder', 'x', '--coco', 'y'], /cannot be used with option/],
    [['--folder', photos, '--labels', 'none.csv'], /there is no labels file .*none\.csv; name an existing one with --labels/],
    [['--folder', photos, '--labels', labelsFile, '--class-file', 'none.json'], /none\.json: cannot be read/],
    [['--folder', photos, '--labels', labelsFile, '--box-treshold', '1'], /Did you mean --box-threshold\?/],
  ] as [string[], RegExp][]) {
    const { status, stderr } = clipEs('dataset', ...args)
    assert.is(status, 2, args.join(' '))
    assert.match(stderr, message)
  }
})

test('the stored pixels count, whatever EXIF says of the orientation', async () => {
  const dir = join(folder, 'exif')
  mkdirSync(dir)
  const [first] = [...labels.keys()] as [string]
  await sharp(join(photos, `${first}.png`))
    .jpeg({ quality: 95 })
    .withMetadata({ orientation: 6 })
    .toFile(join(dir, 'x.jpg'))
  writeFileSync(
    join(dir, 'labels.txt'),
    `x.jpg ${(labels.get(first) as string[]).map((name) => name.replace(' ', '_')).join(' ')}\n`,
  )
  assert.is(clipEs('dataset', '--folder', dir, '--labels', join(dir, 'labels.txt'), '-o', join(dir, 'out')).status, 0)
  const { width, height } = await sharp(join(dir, 'x.jpg')).metadata()
  const mask = await readMask(readFileSync(join(dir, 'out/masks/x.png')))
  assert.equal([mask.width, mask.height], [width, height])
})

// ---------------------------------------------------------------- real photos
const data = process.env.CLIP_ES_DATA
const dataTest = testIf(data, 'VOC and COCO: CLIP_ES_DATA names no folder of real photos')

dataTest('VOC: every photo of a split gets a mask of its size', async () => {
  const voc = join(data as string, 'voc/VOC2012')
  const out = join(folder, 'voc')
  const { status, stderr } = clipEs('dataset', '--voc', voc, '--split', 'val', '--labels', join(voc, 'labels.txt'), '-o', out)
  assert.is(status, 0, stderr)
  const ids = readFileSync(join(voc, 'ImageSets/Segmentation/val.txt'), 'utf8').trim().split('\n')
  assert.equal(files(join(out, 'masks')), ids.map((id) => `${id}.png`).sort())
  for (const id of ids) {
    const [mask, truth] = await Promise.all(
      [join(out, 'masks', `${id}.png`), join(voc, 'SegmentationClass', `${id}.png`)].map((file) => readMask(readFileSync(file))),
    )
    assert.equal([mask?.width, mask?.height], [truth?.width, truth?.height])
  }
  const evaluated = clipEs('eval', out)
  assert.is(evaluated.status, 0, evaluated.stderr)
  assert.match(evaluated.stdout, /60 pictures, 21 labels/)
})

dataTest('COCO: labels from the annotations, under the names of the paper', () => {
  const coco = join(data as string, 'coco')
  const out = join(folder, 'coco')
  const { status, stderr } = clipEs(
    'dataset',
    '--coco',
    coco,
    '--annotations',
    join(coco, 'annotations/instances.json'),
    '-o',
    out,
  )
  assert.is(status, 0, stderr)
  assert.is(files(join(out, 'masks')).length, 40)
  const evaluated = clipEs('eval', out, '--json') // the truth is drawn from the annotations' shapes
  assert.is(evaluated.status, 0, evaluated.stderr)
  assert.is(JSON.parse(evaluated.stdout).images, 40)
  assert.is(clipEs('report', out).status, 0)
})

test.run()
