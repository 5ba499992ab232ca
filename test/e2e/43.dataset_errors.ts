// What `clip-es dataset` does with photos, labels and folders that it cannot use.
import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, mkdirSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import {
  assertWhole,
  clipEs,
  count,
  dataset,
  files,
  folder,
  labelsFile,
  makePhotos,
  masksOf,
  photos,
  whole,
} from './demo_dataset.js'
import { main } from './support.js'

let labels: Map<string, string[]>
test.before(async () => {
  labels = await makePhotos()
  const { status, stderr } = dataset('-o', whole)
  assert.is(status, 0, stderr)
})

test('broken photos, unknown labels and missing photos are listed, the others are done, and the status is 1', async () => {
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
  assert.match(run().stdout, /^3 photos to do, 3 done before/, 'photos that failed are tried again')
  assert.ok(existsSync(join(out, 'masks', `${ids[0]}.png`)))
})

test('a result that cannot be written is listed, and the others are done', async () => {
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

// The test mounts a small file system, which needs the right to do so.
const mounts = spawnSync('unshare', ['-m', 'true']).status === 0
const mountTest = testIf(mounts, 'the full disk and the read-only folder: this user may not mount')

const inMount = (script: string): SpawnSyncReturns<string> =>
  spawnSync('unshare', ['-m', 'sh', '-c', script], {
    encoding: 'utf8',
    env: { ...process.env, RUN: `"${process.execPath}" "${main}" dataset --folder "${photos}" --labels "${labelsFile}"` },
  })

mountTest('a full disk ends the run at once without half-written files, and with space it continues', async () => {
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

mountTest('a read-only folder is one error before any work', () => {
  const out = join(folder, 'read-only')
  mkdirSync(out)
  const { stdout, stderr } = inMount(`mount -t tmpfs -o ro none "${out}" && eval "$RUN -o '${out}'"; echo "status $?"`)
  assert.is(stdout, 'status 1\n')
  assert.match(stderr, /cannot write to the folder .*EROFS/)
})

test.run()
