// The parts of the queue that need no Redis.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Gate } from '../../cli/src/queue/gate.js'
import { type Group, groupsOf, jobSize, newJob } from '../../cli/src/queue/jobs.js'
import { address, queueName, redisUrl } from '../../cli/src/queue/options.js'
import { shownUrl } from '../../cli/src/queue/redis.js'
import { runId } from '../../cli/src/queue/runs.js'
import { packResult, readState, unpackResult, writeState } from '../../cli/src/queue/served.js'
import { folderId, readFolderId } from '../../cli/src/results/folder_id.js'
import { removeLeftovers } from '../../cli/src/results/leftovers.js'
import { sleep } from '../../cli/src/shared/wait.js'
import type { DatasetItem } from '../../cli/src/sources/dataset.js'
import { unlessAborted } from '../../ts/core/abort.js'

const itemsOf = (count: number): DatasetItem[] =>
  Array.from({ length: count }, (_, i) => ({ id: `p${i}`, photo: `/photos/p${i}.jpg`, labels: [i % 20] }))
const sizes = (groups: Iterable<Group>): number[] => [...groups].map(({ all }) => all.length)

test('groups have 16 to 64 photos, by their bytes', () => {
  const all = () => true
  assert.equal(sizes(groupsOf(itemsOf(200), 64, all, () => 1000)), [64, 64, 64, 8])
  assert.equal(sizes(groupsOf(itemsOf(128), 64, all, () => 2 ** 20)), [32, 32, 32, 32])
  assert.equal(sizes(groupsOf(itemsOf(128), 64, all, () => 100 * 2 ** 20)), [16, 16, 16, 16, 16, 16, 16, 16])
  assert.equal(sizes(groupsOf(itemsOf(70), 16, all, () => 1)), [16, 16, 16, 16, 6])
  assert.equal([10, 1024, 2048, 1e6].map(jobSize), [16, 16, 32, 64])
})

test('the cuts do not depend on what is left, and sizes are looked up only where something is', () => {
  const items = itemsOf(640)
  const bytes = ({ id }: DatasetItem) => (Number(id.slice(1)) % 3) * 2 ** 20
  const whole = [...groupsOf(items, 64, () => true, bytes)]
  let looked = 0
  const isLeft = (number: number) => number === 130 || number === 131
  const rest = [
    ...groupsOf(items, 64, isLeft, (item) => {
      looked++
      return bytes(item)
    }),
  ]
  assert.is(rest.length, 1)
  const { first: start, all, left } = rest[0] as Group
  assert.equal(
    left.map((place) => [start + place, all[place]?.id]),
    [
      [130, 'p130'],
      [131, 'p131'],
    ],
  )
  assert.is(looked, 64)
  const same = whole.find(({ all }) => all.some(({ id }) => id === 'p130')) as Group
  const path = ({ photo }: DatasetItem) => photo
  const [first, again] = [newJob('run', same, path), newJob('run', rest[0] as Group, path)]
  assert.is(again.opts.jobId, first.opts.jobId)
  for (const photo of again.data.photos) assert.equal(photo, first.data.photos[photo[0]], 'places are those of the group')
})

test('the id of a job says run, photos and labels', () => {
  const [a, b] = itemsOf(2) as [DatasetItem, DatasetItem]
  const idOf = (run: string, ...all: DatasetItem[]) => newJob(run, { first: 0, all, left: [...all.keys()] }, () => '').opts.jobId
  const ids = [
    idOf('r', a, b),
    idOf('s', a, b),
    idOf('r', a),
    idOf('r', { ...a, labels: [3] }, b),
    idOf('r', { id: a.id, photo: a.photo }, b),
  ]
  assert.is(new Set(ids).size, ids.length)
  assert.is(idOf('r', a, b), idOf('r', { ...a, photo: '/elsewhere/p0.jpg' }, b), 'the same on a machine with another root')
  assert.not.equal(runId('f', 's', '1-of-1'), runId('f', 's', '1-of-2'))
})

test('the gate lets many in, or one alone', async () => {
  const gate = new Gate()
  let [inside, most, aloneWith] = [0, 0, -1]
  const work = (alone: boolean) =>
    gate.pass(alone, async () => {
      inside++
      most = Math.max(most, inside)
      if (alone) aloneWith = Math.max(aloneWith, inside)
      await sleep(5)
      inside--
    })
  await Promise.all([work(false), work(false), work(true), work(false), work(true), work(false)])
  assert.equal([most, aloneWith, inside], [2, 1, 0])
  await gate.pass(true, () => Promise.reject(new Error('no'))).catch(() => undefined)
  await gate.pass(false, () => Promise.resolve())
})

test('waiting ends when the signal aborts, and leaves no listener behind', async () => {
  const controller = new AbortController()
  assert.is(await unlessAborted(controller.signal, Promise.resolve(7)), 7)
  const start = performance.now()
  setTimeout(() => controller.abort(new Error('stop')), 10)
  await sleep(60_000, controller.signal)
  assert.ok(performance.now() - start < 30_000)
  const reason = await unlessAborted(controller.signal, new Promise(() => undefined)).catch(({ message }) => message)
  assert.is(reason, 'stop')
})

test('URLs, names and addresses; a password is never shown', () => {
  assert.is(redisUrl('rediss://u:p@host:7/3'), 'rediss://u:p@host:7/3')
  for (const wrong of ['host', 'http://host', 'redis://', 'redis://host/x'])
    assert.throws(() => redisUrl(wrong), /redis:\/\/host/)
  assert.throws(() => queueName('a:b'), /letters, digits/)
  assert.equal(address('7000'), { host: '127.0.0.1', port: 7000 })
  assert.equal(address('[::1]:0'), { host: '::1', port: 0 })
  for (const wrong of ['host', 'host:x', ':70000', '99999']) assert.throws(() => address(wrong), /host:\]port/)
  assert.not.match(shownUrl('redis://user:secret@host'), /secret/)
})

test('results travel whole or are refused', () => {
  const entry = { labels: [1, 2], scores: [0.5, 0.25], settings: 's' }
  const files = new Map([['mask', Buffer.from('png')]] as const)
  const body = Buffer.concat(packResult(entry, files))
  const { entry: got, files: received } = unpackResult(body, ['mask'])
  assert.equal(got, entry)
  assert.equal(
    [...received].map(([kind, bytes]) => [kind, Buffer.from(bytes).toString()]),
    [['mask', 'png']],
  )
  for (let length = 0; length < body.length; length++) assert.throws(() => unpackResult(body.subarray(0, length), ['mask']))
  assert.throws(() => unpackResult(Buffer.concat([body, Buffer.from('x')]), ['mask']), /sizes/)
  assert.throws(() => unpackResult(body, ['mask', 'cams']), /other files/)
  const wrong = Buffer.concat(packResult({ ...entry, labels: ['x'] as never }, files))
  assert.throws(() => unpackResult(wrong, ['mask']), /the entry is wrong/)
  const state = { bytes: 12, modified: 1700000000000 }
  assert.equal(readState(writeState(state)), state)
  for (const text of [undefined, '', '1', '-1 2', 'a b']) assert.is(readState(text), undefined)
})

test('a folder of results keeps its id; what killed workers left is removed', () => {
  const out = mkdtempSync(join(tmpdir(), 'clip-es-queue-'))
  assert.is(readFolderId(out), undefined)
  const id = folderId(out)
  assert.equal([folderId(out), readFolderId(out)], [id, id])
  for (const worker of ['dead', 'alive']) {
    writeFileSync(join(out, 'journal', `queue-${worker}.lock`), '')
    writeFileSync(join(out, 'journal', `queue-${worker}.jsonl`), '')
    mkdirSync(join(out, `.partial-queue-${worker}`))
  }
  mkdirSync(join(out, '.partial-1-of-1'))
  removeLeftovers(out, (worker) => worker === 'alive')
  assert.equal(readdirSync(out).sort(), ['.partial-1-of-1', '.partial-queue-alive', 'journal'])
  const journal = ['folder-id', 'queue-alive.jsonl', 'queue-alive.lock', 'queue-dead.jsonl']
  assert.equal(readdirSync(join(out, 'journal')).sort(), journal)
  rmSync(out, { recursive: true })
})

test.run()
