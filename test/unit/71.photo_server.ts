// Photos and results by HTTP, both sides.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { folderExchange } from '../../cli/src/dataset/photo.js'
import { TransferError } from '../../cli/src/pipeline/pipeline.js'
import { servedPhoto } from '../../cli/src/queue/http_client.js'
import { type PhotoServer, servePhotos } from '../../cli/src/queue/http_server.js'
import { packResult, stateHeader } from '../../cli/src/queue/served.js'
import { Journal, photoState, readJournal } from '../../cli/src/results/journal.js'
import { ResultStore } from '../../cli/src/results/store.js'

const job = `j${'0'.repeat(20)}`
const files = new Map([['mask', Buffer.from('a mask')]] as const)
let folder = ''
let server: PhotoServer
let journal: Journal
const diskErrors: Error[] = []
let diskIsFull = false

test.before.each(async () => {
  folder = mkdtempSync(join(tmpdir(), 'clip-es-served-'))
  await sharp({ create: { width: 4, height: 3, channels: 3, background: 'red' } })
    .png()
    .toFile(join(folder, 'a.png'))
  writeFileSync(join(folder, 'broken.png'), 'no picture')
  const out = join(folder, 'out')
  journal = new Journal(out, '1-of-1')
  const exchange = folderExchange({ store: new ResultStore(out, '1-of-1'), journal }, ['mask'])
  const save: typeof exchange.save = (...args) => {
    if (diskIsFull) throw Object.assign(new Error('no space'), { code: 'ENOSPC' })
    return exchange.save(...args)
  }
  const photos = ['a', 'broken', 'gone', 'n'.repeat(252)].map((id) => ({ id, photo: join(folder, `${id}.png`), labels: [0] }))
  server = await servePhotos({
    address: { host: '127.0.0.1', port: 0 },
    ...{ exchange: { ...exchange, save }, outputs: ['mask'], settings: 's' },
    photo: (name, place) => (name === job ? photos[place] : undefined),
    onDiskError: (error) => diskErrors.push(error),
  })
})
test.after.each(async () => {
  await server.close()
  journal.close()
  rmSync(folder, { recursive: true })
})

const item = { id: 'a', photo: 'a', labels: [0] }
const entry = { ...item, bytes: 0, modified: 0, settings: 's', scores: [0.5] }

test('a photo comes as it is, its result is kept with the state of the file, and once more does no harm', async () => {
  const exchange = servedPhoto(server, job, 0)
  const { width, height } = await exchange.read(item)
  assert.equal([width, height], [4, 3])
  await exchange.save(files, entry)
  await exchange.save(files, entry)
  assert.is(readFileSync(join(folder, 'out/masks/a.png'), 'utf8'), 'a mask')
  const kept = readJournal(join(folder, 'out')).get('a')
  const photo = join(folder, 'a.png')
  assert.equal(kept, { id: 'a', photo, labels: [0], ...photoState(photo), settings: 's', scores: [0.5] })
})

test('what is the fault of the photo is told as such', async () => {
  const messages = [1, 2, 3].map(async (place) => {
    const error = await servedPhoto(server, job, place)
      .read(item)
      .then(
        () => undefined,
        (reason) => reason,
      )
    assert.not.instance(error, TransferError)
    return error.message
  })
  const [broken, gone, long] = await Promise.all(messages)
  assert.not.match(broken, /the image/)
  assert.match(gone, /there is no such file/)
  assert.match(long, /its result would be called/)
})

test('a job that is over, results of other settings and a full disk are the fault of no photo', async () => {
  const error = (promise: unknown): Promise<Error> =>
    Promise.resolve(promise).then(
      () => assert.unreachable() as never,
      (reason: Error) => reason,
    )
  assert.instance(await error(servedPhoto(server, `j${'1'.repeat(20)}`, 0).read(item)), TransferError)
  const exchange = servedPhoto(server, job, 0)
  await exchange.read(item)
  assert.match((await error(exchange.save(files, { ...entry, settings: 't' }))).message, /409.*other settings/)
  diskIsFull = true
  assert.match((await error(exchange.save(files, entry))).message, /507/)
  diskIsFull = false
  assert.is(diskErrors.length, 1)
  await server.close()
  assert.match(
    (await error(servedPhoto(server, job, 0).read(item))).message,
    /does not answer.*check that this machine can reach it/,
  )
  server = { ...server, close: async () => undefined }
})

test('nothing without the token, no other path, no endless body', async () => {
  const statusOf = async (path: string, init: RequestInit = {}, token = server.token) =>
    (await fetch(`${server.url}${path}`, { ...init, headers: { ...init.headers, authorization: `Bearer ${token}` } })).status
  const path = `/jobs/${job}/0`
  assert.is(await statusOf(path), 200)
  for (const wrong of ['', 'x', `${server.token}x`, server.token.slice(1)]) assert.is(await statusOf(path, {}, wrong), 401)
  assert.is((await fetch(`${server.url}${path}`)).status, 401)
  for (const other of ['/', '/jobs', `/jobs/${job}/00000`, `/jobs/${job}/9`, `/jobs/${job}/../../a.png`])
    assert.is(await statusOf(other), 410)
  assert.is(await statusOf(path, { method: 'DELETE' }), 405)
  const body = Buffer.concat(packResult({ labels: [0], scores: [1], settings: 's' }, files))
  assert.is(await statusOf(path, { method: 'PUT', body }), 400, 'without a state')
  assert.is(await statusOf(path, { method: 'PUT', body: 'x', headers: { [stateHeader]: '1 2' } }), 400)
  const long = await new Promise((resolve) => {
    const headers = { authorization: `Bearer ${server.token}`, [stateHeader]: '1 2', 'content-length': 2 ** 40 }
    const call = request(`${server.url}${path}`, { method: 'PUT', headers }, ({ statusCode }) => resolve(statusCode))
    call.on('error', resolve)
    call.write('x')
  })
  assert.is(long, 413)
  assert.is(readJournal(join(folder, 'out')).size, 0)
})

test.run()
