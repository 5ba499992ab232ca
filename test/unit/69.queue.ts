// The parts of the queue that need no Redis.
import { createHash } from 'node:crypto'
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Gate } from '../../cli/src/queue/gate.js'
import { type Group, groupsOf, jobSize, newJob } from '../../cli/src/queue/jobs.js'
import { address, defaultName, queueName, redisUrl } from '../../cli/src/queue/options.js'
import { Paths } from '../../cli/src/queue/paths.js'
import { shownUrl } from '../../cli/src/queue/redis.js'
import { heartbeat, Keys, runId, shortLife } from '../../cli/src/queue/runs.js'
import { mostResultBytes, packResult, readState, stateHeader, unpackResult, writeState } from '../../cli/src/queue/served.js'
import { folderId, readFolderId } from '../../cli/src/results/folder_id.js'
import { removeLeftovers } from '../../cli/src/results/leftovers.js'
import { UsageError } from '../../cli/src/shared/usage.js'
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
  assert.equal([10, 1024, 1025, 2048, 4032, 4033, 1e6].map(jobSize), [16, 16, 17, 32, 63, 64, 64])
  const enough = 2 ** 21 // bytes of a photo: 16 of them are 32 MiB
  assert.equal(sizes(groupsOf(itemsOf(64), 64, all, () => enough)), [16, 16, 16, 16])
  assert.equal(sizes(groupsOf(itemsOf(64), 64, all, () => enough - 1)), [17, 17, 30])
  assert.equal(sizes(groupsOf(itemsOf(31), 16, all, () => 1)), [31], 'no group has fewer than 16, but that of a small rest')
  assert.equal(sizes(groupsOf(itemsOf(32), 16, all, () => 1)), [16, 16])
  assert.equal(sizes(groupsOf(itemsOf(64), 64, all)), [64], 'photos that are not there have no bytes')
  assert.equal([...groupsOf(itemsOf(64), 64, () => false)], [])
  const firsts = [...groupsOf(itemsOf(200), 64, all, () => 2 ** 20)].map(({ first }) => first)
  assert.equal(firsts, [0, 32, 64, 96, 128, 160, 192])
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

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')

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
  assert.is(runId('f', 's', '1-of-1'), sha256('f s 1-of-1').slice(0, 16))
  const text = { id: 'b', photo: '/photos/b.jpg' }
  const group: Group = { first: 3, all: [a, text], left: [0, 1] }
  assert.equal(
    newJob('r', group, ({ photo }) => photo.slice(1)),
    {
      name: 'photos',
      data: { photos: [[0, 'p0', 'photos/p0.jpg', [0]] as never, [1, 'b', 'photos/b.jpg']] },
      opts: {
        ...{ attempts: 1000, keepLogs: 0, stackTraceLimit: 1, removeOnFail: false },
        jobId: `j${sha256('r\np0 0\nb auto').slice(0, 20)}`,
      },
    },
  )
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

/** What a reader of options says to a text. */
const refusal = (read: (text: string) => unknown, text: string): string => {
  try {
    return `taken as ${JSON.stringify(read(text))}`
  } catch (error) {
    return (error as Error).message
  }
}

test('URLs, names and addresses; a password is never shown', () => {
  for (const url of ['rediss://u:p@host:7/3', 'redis://host', 'redis://host/', 'redis://[::1]:1/99999'])
    assert.is(redisUrl(url), url)
  const example = 'Expected a URL such as redis://host:6379/0 or rediss://user:password@host.'
  for (const wrong of [
    'host',
    'http://host',
    'redis://',
    'redis://host/x',
    'redis://host/100000',
    'redis://host/1/2',
    'xredis://host',
  ])
    assert.is(refusal(redisUrl, wrong), example, wrong)
  assert.is(defaultName, 'clip-es')
  assert.equal(['a', 'A-1_.', 'x'.repeat(64)].map(queueName), ['a', 'A-1_.', 'x'.repeat(64)])
  for (const wrong of ['a:b', '', 'x'.repeat(65), 'é'])
    assert.is(refusal(queueName, wrong), 'Expected 1 to 64 letters, digits, dots, hyphens or underscores.')
  assert.equal(address('7000'), { host: '127.0.0.1', port: 7000 })
  assert.equal(address('[::1]:0'), { host: '::1', port: 0 })
  assert.equal(address('h.test:65535'), { host: 'h.test', port: 65535 })
  for (const wrong of ['host', 'host:x', ':7000', '65536', 'h:100000', ''])
    assert.is(refusal(address, wrong), 'Expected [host:]port, such as 10.0.0.5:7000.', wrong)
  assert.is(shownUrl('redis://user:secret@host/1'), 'redis://user:***@host/1')
  assert.is(shownUrl('redis://user@host:1'), 'redis://user@host:1')
})

test('the keys of a queue begin with its name, and what expires is renewed in time', () => {
  const keys = new Keys('q')
  assert.equal(
    [keys.prefix, keys.runs, keys.workers, keys.worker('w'), keys.producer('r'), keys.drain('r'), keys.photos('r', 'j')],
    [
      ...['clip-es:q', 'clip-es:q:runs', 'clip-es:q:workers', 'clip-es:q:worker:w', 'clip-es:q:producer:r', 'clip-es:q:drain:r'],
      'clip-es:q:photos:r:j',
    ],
  )
  assert.equal([shortLife, heartbeat], [15_000, 4000])
})

test('jobs have paths from the root, or ids where photos are served; what is outside of the root is refused', () => {
  const paths = new Paths({ out: '/data/runs/one', root: '/data' })
  assert.equal([paths.root, paths.out], ['/data', 'runs/one'])
  assert.is(paths.photo({ id: 'a', photo: '/data/photos/a.jpg' }), 'photos/a.jpg')
  assert.is(paths.photo({ id: 'a', photo: '/data/..a.jpg' }), '..a.jpg')
  const outside = (what: string, path: string) =>
    `dataset: ${what} ${path} is not in /data; name a folder with --root that contains photos and results on every machine, or send them with --serve-photos`
  for (const path of ['/data/../a.jpg', '/other/a.jpg', '/'])
    assert.throws(
      () => paths.photo({ id: 'a', photo: path }),
      (error: Error) => error instanceof UsageError && error.message === outside('the photo', path),
    )
  assert.is(
    refusal((out) => new Paths({ out, root: '/data' }), '/runs'),
    outside('the folder of results', '/runs'),
  )
  const here = new Paths({ out: 'runs' })
  assert.equal([here.root, here.out], [process.cwd(), 'runs'])
  assert.is(new Paths({ out: '.' }).out, '')
  const served = new Paths({ out: '/elsewhere', root: '/data', servePhotos: { host: 'h', port: 1 } })
  assert.equal([served.out, served.photo({ id: 'a/b', photo: '/elsewhere/x.jpg' })], ['', 'a/b'])
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
  const why = (changed: Buffer, outputs: Parameters<typeof unpackResult>[1] = ['mask']) =>
    refusal(() => unpackResult(changed, outputs), '')
  const head = 4 + body.readUInt32BE()
  for (let length = 0; length < head; length++) assert.is(why(body.subarray(0, length)), 'the body is cut off')
  const sizes = 'the files do not have the sizes of their list'
  for (const changed of [body.subarray(0, head), body.subarray(0, -1), Buffer.concat([body, Buffer.from('x')])])
    assert.is(why(changed), sizes)
  for (const outputs of [['mask', 'cams'], [], ['cams']] as const) assert.is(why(body, outputs), 'other files are expected')
  /** A body with this head. */
  const packed = (text: string) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(text.length)
    return Buffer.concat([length, Buffer.from(text)])
  }
  for (const file of [
    ['other', 1],
    ['mask', 0],
    ['mask', -1],
    ['mask', 1.5],
    ['mask', '1'],
  ])
    assert.is(why(packed(JSON.stringify({ entry, files: [file] }))), 'the list of files is wrong')
  const wrong = { labels: ['x'], scores: [null], presence: 1, settings: 7 }
  for (const [name, value] of Object.entries(wrong))
    assert.is(why(Buffer.concat(packResult({ ...entry, [name]: value } as never, files))), 'the entry is wrong', name)
  for (const name of ['labels', 'scores', 'settings'])
    assert.is(why(Buffer.concat(packResult({ ...entry, [name]: undefined } as never, files))), 'the entry is wrong', name)
  const more = { ...entry, presence: [0.5, 1] }
  const all = new Map(
    (
      [
        ['mask', 1],
        ['confidence', 2],
        ['cams', 3],
      ] as const
    ).map(([kind, size]) => [kind, Buffer.alloc(size, size)]),
  )
  const unpacked = unpackResult(Buffer.concat(packResult({ ...more, id: 'left out' } as never, all)), [
    'cams',
    'mask',
    'confidence',
  ])
  assert.equal(unpacked.entry, more)
  assert.equal(
    [...unpacked.files].map(([kind, bytes]) => [kind, [...bytes]]),
    [
      ['mask', [1]],
      ['confidence', [2, 2]],
      ['cams', [3, 3, 3]],
    ],
  )
  assert.equal([mostResultBytes, stateHeader], [536870912, 'x-clip-es-photo-state'])
  const state = { bytes: 12, modified: 1700000000000 }
  assert.is(writeState(state), '12 1700000000000')
  assert.equal(readState(writeState(state)), state)
  const [most, over] = ['9'.repeat(16), '1'.repeat(17)]
  assert.equal(readState(`${most} ${most}`), { bytes: Number(most), modified: Number(most) })
  for (const text of [undefined, '', '1', '-1 2', 'a b', '1 2 3', ` 1 2`, `${over} 1`, `1 ${over}`])
    assert.is(readState(text), undefined)
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
