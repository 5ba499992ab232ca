// Photos and results by HTTP, both sides.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { type ClientRequest, createServer, request } from 'node:http'
import type { AddressInfo } from 'node:net'
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

/** What the server answers: status, text and the headers that it sets. */
async function answerOf(path: string, init: RequestInit = {}): Promise<unknown[]> {
  const response = await fetch(`${server.url}${path}`, {
    ...init,
    headers: { authorization: `Bearer ${server.token}`, ...init.headers },
  })
  return [response.status, await response.text(), response.headers.get('content-type')]
}
const text = (status: number, body: string) => [status, body, 'text/plain; charset=utf-8']

test('every answer says why, as a text', async () => {
  const path = `/jobs/${job}/0`
  assert.match(server.url, /^http:\/\/127\.0\.0\.1:\d+$/)
  assert.match(server.token, /^[0-9a-f]{64}$/)
  assert.equal([server.kind, Object.keys(server).sort()], ['http', ['close', 'kind', 'token', 'url']])
  assert.equal(await answerOf(path, { headers: { authorization: 'Bearer' } }), text(401, 'the token is wrong'))
  assert.equal(await answerOf(`/jobs/${job}/8`), text(410, 'this job is not in the queue any more'))
  for (const other of [`/jobs/${job.slice(1)}/0`, `/jobs/${job}0/0`, `${path}?a`, `/x${path}`, `/jobs/${job}/x`])
    assert.is((await answerOf(other))[0], 410, other)
  assert.equal(await answerOf(path, { method: 'POST' }), text(405, 'GET and PUT are answered'))
  const put = (body: Buffer, headers = {}) =>
    answerOf(path, { method: 'PUT', body: new Uint8Array(body), headers: { [stateHeader]: '1 2', ...headers } })
  const result = { labels: [0], scores: [1], settings: 's' }
  const body = Buffer.concat(packResult(result, files))
  assert.equal(await put(body, { [stateHeader]: 'x' }), text(400, `the header ${stateHeader} is missing`))
  assert.equal(await put(body.subarray(1)), text(400, 'the body is cut off'))
  assert.equal(
    await put(Buffer.concat(packResult({ ...result, settings: 't' }, files))),
    text(409, 'the results are of other settings'),
  )
  assert.equal(await answerOf(`/jobs/${job}/2`), text(422, `${join(folder, 'gone.png')}: there is no such file, or it is empty`))
  diskIsFull = true
  diskErrors.length = 0
  assert.equal(await put(body), text(507, 'no space'))
  assert.equal(
    diskErrors.map(({ message }) => message),
    ['no space'],
  )
  diskIsFull = false
  const refused = (
    await answerOf(`/jobs/${job}/3`, { method: 'PUT', body: new Uint8Array(body), headers: { [stateHeader]: '1 2' } })
  )[0]
  assert.is(refused, 422, 'a result that cannot be written is the fault of its photo')
  assert.equal(await put(body), text(204, ''))
  const photo = await fetch(`${server.url}${path}`, { headers: { authorization: `Bearer ${server.token}` } })
  const { bytes, modified } = photoState(join(folder, 'a.png'))
  assert.equal(
    [photo.headers.get('content-type'), photo.headers.get(stateHeader)],
    ['application/octet-stream', `${bytes} ${modified}`],
  )
  assert.equal(Buffer.from(await photo.arrayBuffer()), readFileSync(join(folder, 'a.png')))
})

test('64 requests are answered at the same time, the next one hears that the server is busy', async () => {
  const path = `/jobs/${job}/0`
  const headers = { authorization: `Bearer ${server.token}`, [stateHeader]: '1 2', 'content-length': 10 }
  const held = new Set<ClientRequest>()
  const hold = () => {
    const call = request(`${server.url}${path}`, { method: 'PUT', headers })
    held.add(call)
    call.on('error', () => undefined).write('x')
    call.on('response', (response) => {
      response.resume()
      held.delete(call)
      hold() // it was refused, because a request of statusIs() was still counted
    })
  }
  // Three times: an answered request is counted until its connection has ended.
  const statusIs = async (wanted: number) => {
    for (let tries = 0, found = 0; tries < 500 && found < 3; tries++) {
      found = (await answerOf(path))[0] === wanted ? found + 1 : 0
      if (found === 0) await new Promise((wake) => setTimeout(wake, 10))
    }
    assert.is((await answerOf(path))[0], wanted, `with ${held.size} requests`)
  }
  for (let i = 0; i < 63; i++) hold()
  await statusIs(200)
  hold()
  await statusIs(503)
  assert.equal(await answerOf(path), text(503, 'busy'))
  for (const call of held) call.destroy()
  await statusIs(200)
})

test('an address that is taken, a failure of this side, and an address of IPv6', async () => {
  const options = { exchange: {} as never, outputs: [], settings: 's', onDiskError: () => undefined }
  const broken = () => {
    throw new Error('a bug')
  }
  const other = await servePhotos({ ...options, address: { host: '127.0.0.1', port: 0 }, photo: broken })
  const port = Number(new URL(other.url).port)
  const taken = await servePhotos({ ...options, address: { host: '127.0.0.1', port }, photo: broken }).catch(({ code }) => code)
  assert.is(taken, 'EADDRINUSE')
  const asked = await fetch(`${other.url}/jobs/${job}/0`, { headers: { authorization: `Bearer ${other.token}` } })
  assert.equal([asked.status, await asked.text()], [500, 'a bug'])
  await other.close()
  const gone = await fetch(other.url).catch(({ cause }) => cause.code)
  assert.is(gone, 'ECONNREFUSED')
  const six = await servePhotos({ ...options, address: { host: '::1', port: 0 }, photo: broken }).catch(() => undefined)
  if (six) assert.match(six.url, /^http:\/\/\[::1\]:\d+$/)
  await six?.close()
})

test('a worker is told what the producer says, and who it is', async () => {
  const message = async (promise: unknown): Promise<string> => {
    const error = await Promise.resolve(promise).then(
      () => new Error('it works'),
      (reason: Error) => reason,
    )
    return `${error instanceof TransferError ? 'transfer' : 'photo'}: ${error.message}`
  }
  const over = servedPhoto(server, `j${'1'.repeat(20)}`, 0)
  const gone = `transfer: the producer at ${server.url} answers 410: this job is not in the queue any more`
  assert.is(await message(over.read(item)), gone)
  assert.is(await message(over.save(files, entry)), gone)
  assert.equal(over.prepare(item), { bytes: 0, modified: 0 })
  assert.is(
    await message(servedPhoto(server, job, 2).read(item)),
    `photo: ${join(folder, 'gone.png')}: there is no such file, or it is empty`,
  )
  assert.match(await message(servedPhoto(server, job, 1).read(item)), /^photo: it is not an image/)
  const nobody = { kind: 'http', url: 'http://127.0.0.1:1', token: 't' } as const
  assert.match(
    await message(servedPhoto(nobody, job, 0).read(item)),
    /^transfer: the producer at http:\/\/127\.0\.0\.1:1 does not answer \(.+\); check that this machine can reach it$/,
  )
  const half = createServer((_, response) => {
    response.writeHead(200, { 'content-length': 100 }).write('x')
    setTimeout(() => response.destroy(), 50)
  })
  await new Promise<void>((resolve) => half.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(half.address() as AddressInfo).port}`
  assert.match(
    await message(servedPhoto({ ...nobody, url }, job, 0).read(item)),
    /^transfer: the producer at \S+ stopped while it sent a photo \(.+\)$/,
  )
  half.close()
})

test.run()
