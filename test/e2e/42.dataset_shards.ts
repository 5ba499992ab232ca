// Several processes of `clip-es dataset` share one data set.
import { once } from 'node:events'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clipEs, count, dataset, folder, labelsFile, makePhotos, masksOf, photos, startDataset, whole } from './demo_dataset.js'

test.before(async () => {
  await makePhotos()
  const { status, stderr } = dataset('-o', whole)
  assert.is(status, 0, stderr)
})

const entries = (out: string): { id: string; failed?: string }[] =>
  readdirSync(join(out, 'journal'))
    .flatMap((file) =>
      readFileSync(join(out, 'journal', file), 'utf8')
        .trim()
        .split('\n'),
    )
    .flatMap((line) => (line.startsWith('{') && line.endsWith('}') ? [JSON.parse(line)] : []))

test('shards that run at the same time do each photo exactly once, with the same masks', async () => {
  const out = join(folder, 'shards')
  const children = [1, 2, 3].map((part) => startDataset('-o', out, '--shard', `${part}/3`))
  for (const child of children) child.stdout.resume()
  assert.equal(
    (await Promise.all(children.map((child) => once(child, 'close')))).map(([status]) => status),
    [0, 0, 0],
  )
  assert.equal(masksOf(out), masksOf(whole))
  const ids = entries(out).map(({ id }) => id)
  assert.is(ids.length, count)
  assert.is(new Set(ids).size, count)
  assert.match(dataset('-o', out).stdout, /^0 photos to do, 60 done before/, 'a run with another number of shards continues')
  const { status, stderr } = dataset('-o', out, '--shard', '4/3')
  assert.is(status, 2)
  assert.match(stderr, /--shard/)
})

test('only the first shard reports errors of the annotations', () => {
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

test('two processes cannot work on one shard', async () => {
  const out = join(folder, 'twice')
  const child = startDataset('-o', out)
  await once(child.stdout, 'data')
  child.kill('SIGSTOP')
  const { status, stderr } = dataset('-o', out)
  assert.is(status, 2)
  assert.match(stderr, new RegExp(`process ${child.pid} is working on this part of`))
  child.kill('SIGKILL')
})

test.run()
