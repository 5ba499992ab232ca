// POST /v1/batches of a real server: a Redis, a worker and a callback behind it.
import { existsSync, symlinkSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { test as always } from 'uvu'
import * as assert from 'uvu/assert'
import type { BatchState } from '../../server/src/index.js'
import { testIf } from '../test_if.js'
import { type Program, until } from './program.js'
import { lacksRedis, Place } from './support.js'

const test = testIf(!lacksRedis, lacksRedis ?? '')
const place = new Place()
const told: { url: string; state: BatchState }[] = []
const names = Array.from({ length: 20 }, (_, i) => `00/${String(i).padStart(4, '0')}`)

/** A host of a photo, that is also told about batches. */
const host = createServer(async (request, response) => {
  let body = ''
  for await (const chunk of request) body += chunk
  if (request.method === 'POST') told.push({ url: request.url as string, state: JSON.parse(body) })
  if (request.url === '/photo.png') response.end(place.read('set/photos/00/0000.png'))
  else response.writeHead(request.method === 'POST' ? 200 : 404).end()
})
let url: string
let server: Program

always.before(async () => {
  if (lacksRedis) return
  await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve))
  url = `http://127.0.0.1:${(host.address() as AddressInfo).port}`
  await place.makePhotos(names.length)
  await place.startRedis()
})
always.after.each(() => place.stop())
always.after(async () => {
  host.close()
  await place.remove()
})

async function startServer(): Promise<string> {
  const allowed = new URL(url).host
  const hosts = ['--private-host', allowed, '--private-callback-host', allowed]
  server = place.start(['serve', '--port', '0', '--threads', '1', '--batch-queue', place.url, ...hosts])
  await server.says(/listening on /)
  return /listening on (\S+)/.exec(server.output)?.[1] as string
}

async function send(at: string, body: object): Promise<BatchState> {
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(`${at}/v1/batches`, { method: 'POST', headers, body: JSON.stringify(body) })
  assert.is(response.status, 202, await response.clone().text())
  return (await response.json()) as BatchState
}

const get = async (at: string, id: string): Promise<BatchState> =>
  (await (await fetch(`${at}/v1/batches/${id}`)).json()) as BatchState

test('workers do a batch: the masks of clip-es dataset, by polling and by callback; deleted, it is gone', async () => {
  place.worker()
  const at = await startServer()
  const photos = [
    ...names.map((name) => ({ path: `set/photos/${name}.png`, name })),
    { url: `${url}/photo.png`, name: 'fetched' },
    { url: `${url}/missing.png`, name: 'missing' },
  ]
  const how = { maps: { preset: 'clip' }, scales: [0.5, 1], flip: true, minScore: 0.3 }
  const { id, folder } = await send(at, { photos, classes: 'emoji', ...how, callback: `${url}/done` })
  await until('the batch has ended', async () => (await get(at, id)).ended !== undefined)
  const { state, done, failed, failures } = await get(at, id)
  assert.equal([state, done, failed], ['done', 21, 1])
  assert.match(`${failures[0]?.photo}: ${failures[0]?.message}`, /^missing: .*was answered with the status 404/)
  await until('the callback is told', () => told.length > 0)
  assert.equal([told[0]?.url, told[0]?.state.id, told[0]?.state.state, told.length], ['/done', id, 'done', 1])

  place.makeLabels('all.csv', names)
  const source = ['--folder', 'set/photos', '--labels', 'all.csv', '--threads', '1']
  const flags = ['--maps', 'clip', '--scales', '0.5,1', '--flip', '--min-score', '0.3']
  await place.start(['dataset', ...source, ...flags, '-o', 'local']).ended
  const local = place.files('local/masks')
  const masks = place.files(join(folder, 'masks'))
  for (const name of names) assert.ok(masks.get(`${name}.png`) === local.get(`${name}.png`), name)
  assert.ok(masks.get('fetched.png') === local.get('00/0000.png'))
  const mask = await fetch(`${at}/v1/batches/${id}/masks/00/0001`)
  assert.is(Buffer.from(await mask.arrayBuffer()).toString('base64'), local.get('00/0001.png'))

  assert.is((await fetch(`${at}/v1/batches/${id}`, { method: 'DELETE' })).status, 204)
  assert.not.ok(existsSync(place.path(folder)))
  assert.match(place.operate('status'), /^no run /)
})

test('a server that is killed goes on with its batches when it is started again', async () => {
  told.length = 0
  const first = await startServer()
  const photos = names.map((name) => `set/photos/${name}.png`)
  const { id } = await send(first, { photos, classes: ['panda', 'television'], callback: `${url}/again` })
  await until('the run is there', async () => /20 photos, jobs: 1 wait/.test(await place.status()))
  await server.kill()
  place.worker()
  const second = await startServer()
  await until('the callback is told', () => told.length > 0)
  const state = await get(second, id)
  assert.equal([state.state, state.done, state.failed, told[0]?.state.done], ['done', 20, 0, 20])
})

test('a batch that is deleted while it waits, and photos that are not there or lead out of the folder', async () => {
  const at = await startServer()
  const { id, folder } = await send(at, { photos: ['set/photos/00/0001.png'], classes: ['panda'] })
  await until('the run is there', async () => /1 photo, jobs: 1 wait/.test(await place.status()))
  assert.is((await fetch(`${at}/v1/batches/${id}`, { method: 'DELETE' })).status, 204)
  assert.not.ok(existsSync(place.path(folder)))
  assert.match(place.operate('status'), /^no run /)
  symlinkSync('/etc/hostname', place.path('set/outside.png'))
  for (const path of ['set/photos/none.png', 'set/photos', 'set/outside.png']) {
    const body = JSON.stringify({ photos: [path], classes: ['panda'] })
    const response = await fetch(`${at}/v1/batches`, { method: 'POST', headers: { 'content-type': 'application/json' }, body })
    assert.match(
      `${response.status} ${await response.text()}`,
      /^400 .*there is no photo '\S+' in the folder of the server's --batch-root/,
    )
  }
})

always.run()
