// Photos by URL: what a host can try. The host is a server of this test, and a resolver of this test says where it is.
import type { IncomingMessage, ServerResponse } from 'node:http'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ServerError } from '../../server/src/errors.js'
import { type FetchOptions, RemotePhotos } from '../../server/src/remote/photos.js'
import type { Resolve } from '../../server/src/remote/requests.js'
import { type PhotoHost, rejected, resolverOf, startPhotoHost } from './remote_support.js'

const signal = new AbortController().signal
const local = { 'photos.test': ['127.0.0.1'] }
const photo = Buffer.from('the bytes of a photo')

const answers: Record<string, (request: IncomingMessage, response: ServerResponse) => void> = {
  '/photo.jpg': (_, response) => response.setHeader('content-type', 'text/html').end(photo),
  '/again': (_, response) => response.writeHead(302, { location: '/photo.jpg' }).end(),
  '/loop': (_, response) => response.writeHead(307, { location: '/loop' }).end(),
  '/nowhere': (_, response) => response.writeHead(301).end(),
  '/missing': (_, response) => response.writeHead(404).end('no photo'),
  '/zipped': (_, response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end(photo),
  '/cut': (_, response) => {
    response.writeHead(200, { 'content-length': 1000 }).write(photo)
    setTimeout(() => response.destroy(), 20)
  },
  '/large': (_, response) => response.writeHead(200, { 'content-length': 1e9 }).write(photo),
  '/endless': (_, response) => {
    const write = () => {
      while (response.write(Buffer.alloc(16384)));
    }
    response.writeHead(200).on('drain', write)
    write()
  },
  '/slow': (_, response) => {
    response.writeHead(200, { 'content-length': 1000 })
    const timer = setInterval(() => response.write('.'), 20)
    response.on('close', () => clearInterval(timer))
  },
  '/silent': () => {},
  '/split': (_, response) => {
    response.write(photo.subarray(0, 3))
    setTimeout(() => response.end(photo.subarray(3)), 20)
  },
}
let host: PhotoHost

test.before(async () => {
  host = await startPhotoHost((request, response) => {
    const { pathname, searchParams } = new URL(request.url as string, 'http://x')
    const to = searchParams.get('to')
    if (to) response.writeHead(302, { location: to }).end()
    else (answers[pathname] as (typeof answers)[string])(request, response)
  })
})
test.after(() => host.close())
test.before.each(() => {
  host.requests.length = 0
})

const photosOf = (resolve: Resolve = resolverOf(local), more: Partial<ConstructorParameters<typeof RemotePhotos>[0]> = {}) =>
  new RemotePhotos({ photoBytes: 1e5, time: 5000, privateHosts: [`photos.test:${host.port}`], resolve, ...more })

const at = (path: string, name = 'photos.test'): string => `http://${name}:${host.port}${path}`
const get = (path: string, options: Partial<FetchOptions> = {}) => photosOf().fetch(at(path), { signal, ...options })

async function refusedWith(promise: Promise<unknown>, status: number, message: RegExp | string): Promise<ServerError> {
  const error = await rejected(promise)
  assert.is(error.status, status, error.message)
  assert.match(error.message, message)
  assert.ok(error.remedy)
  return error
}

test('the bytes of a photo, whatever the host calls them; the header Host has the name', async () => {
  assert.equal(await get('/photo.jpg'), photo)
  assert.equal(await get('/split'), photo)
  assert.is(host.requests[0]?.headers.host, `photos.test:${host.port}`)
  const { host: _, ...headers } = host.requests[0]?.headers ?? {}
  const own = { 'user-agent': 'clip-es-server', accept: 'image/*', 'accept-encoding': 'identity', connection: 'close' }
  assert.equal([host.requests[0]?.method, headers], ['GET', own], 'nothing else, no authorization either')
})

test('the bytes are counted while they arrive, and counting can end the download', async () => {
  let held = 0
  await get('/split', { hold: (bytes) => (held += bytes) })
  assert.is(held, photo.length)
  const full = new Error('full')
  const hold = () => {
    throw full
  }
  assert.is(await get('/endless', { hold }).catch((error: unknown) => error), full)
})

test('a host with a private address is refused, and never connected to', async () => {
  const addresses = ['127.0.0.1', '10.0.0.1', '169.254.169.254', '100.64.0.1', '::1', '::ffff:127.0.0.1', 'fd00::1', '224.0.0.1']
  for (const address of addresses)
    await refusedWith(
      photosOf(resolverOf({ 'public.test': [address] }), { remoteHosts: [`public.test:${host.port}`] }).fetch(
        at('/photo.jpg', 'public.test'),
        { signal },
      ),
      403,
      'the host public.test:',
    )
  assert.is(host.requests.length, 0)
})

test('one private address among public ones is enough', async () => {
  const resolve = resolverOf({ 'mixed.test': ['93.184.215.14', '10.0.0.1'] })
  const photos = photosOf(resolve, { remoteHosts: ['mixed.test'] })
  await refusedWith(photos.fetch('http://mixed.test/', { signal }), 403, 'an address that is not of the public internet')
})

test('an address in the URL is checked like one of a name, however it is written', async () => {
  const listed = ['127.0.0.1', '[::ffff:7f00:1]', '[::1]', '10.0.0.1'].map((name) => `${name}:${host.port}`)
  const photos = photosOf(resolverOf({}), { remoteHosts: listed, privateHosts: [] })
  for (const name of [
    '127.0.0.1',
    '2130706433',
    '0x7f.1',
    '017700000001',
    '[::ffff:127.0.0.1]',
    '[::1]',
    '10.0.0.1',
    '167772161',
  ])
    await refusedWith(photos.fetch(at('/photo.jpg', name), { signal }), 403, 'not of the public internet')
  assert.is(host.requests.length, 0)
  const allowed = photosOf(resolverOf({}), { privateHosts: [`127.0.0.1:${host.port}`] })
  assert.equal(await allowed.fetch(at('/photo.jpg', '2130706433'), { signal }), photo)
})

test('a name is looked up once for a connection: one that rebinds is not followed', async () => {
  // The second answer would be refused by the connection: nothing listens there.
  const resolve = resolverOf({ 'photos.test': [['127.0.0.1'], ['127.0.0.9']] })
  assert.equal(await photosOf(resolve).fetch(at('/photo.jpg'), { signal }), photo)
  assert.equal(resolve.asked, ['photos.test'])
  // Public when it is checked first, private when a redirect comes back to it.
  const rebinding = resolverOf({ ...local, 'rebind.test': [['93.184.215.14'], ['127.0.0.1']] })
  await rebinding('rebind.test')
  const photos = photosOf(rebinding, { remoteHosts: [`rebind.test:${host.port}`] })
  const url = at(`/?to=${encodeURIComponent(at('/photo.jpg', 'rebind.test'))}`)
  await refusedWith(photos.fetch(url, { signal }), 403, 'the host rebind.test')
  assert.is(host.requests.length, 2)
})

test('a redirect is followed within the list, and refused everywhere else', async () => {
  assert.equal(await get('/again'), photo)
  host.requests.length = 0
  const to = (location: string) => get(`/?to=${encodeURIComponent(location)}`)
  await refusedWith(to(`http://127.0.0.1:${host.port}/photo.jpg`), 403, 'photos are not fetched from the host 127.0.0.1')
  await refusedWith(to('http://169.254.169.254/latest/meta-data'), 403, 'from the host 169.254.169.254')
  await refusedWith(to('http://[::ffff:127.0.0.1]/'), 403, 'from the host [::ffff:7f00:1]')
  await refusedWith(to('//evil.test/photo.jpg'), 403, 'from the host evil.test')
  await refusedWith(to('file:///etc/passwd'), 403, 'begins with file:')
  await refusedWith(to(`http://user:secret@photos.test:${host.port}/`), 403, 'has a user name')
  assert.is(host.requests.length, 6)
  await refusedWith(get('/loop'), 400, 'redirects more than 3 times')
  assert.is(host.requests.length, 10)
  await refusedWith(get('/nowhere'), 400, 'redirects without saying where to')
  await refusedWith(to('http://[1::2::3]/'), 400, "redirects to 'http://[1::2::3]/', which is not a URL")
})

test('a token goes to the host of the URL, not to where it redirects', async () => {
  const other = await startPhotoHost((_, response) => response.end(photo))
  const photos = photosOf(resolverOf({ ...local, 'store.test': ['127.0.0.1'] }), {
    privateHosts: [`photos.test:${host.port}`, `store.test:${other.port}`],
  })
  const url = at(`/?to=${encodeURIComponent(`http://store.test:${other.port}/signed`)}`)
  assert.equal(await photos.fetch(url, { signal, authorization: 'Token abc' }), photo)
  assert.is(host.requests[0]?.headers.authorization, 'Token abc')
  assert.is(other.requests[0]?.headers.authorization, undefined)
  await photos.fetch(at('/again'), { signal, authorization: 'Token abc' })
  assert.is(host.requests.at(-1)?.headers.authorization, 'Token abc')
  await other.close()
})

test('a photo with too many bytes is refused, by its length at once, and without one as soon as it has them', async () => {
  for (const path of ['/large', '/endless']) {
    const error = await refusedWith(get(path), 413, `the photo http://photos.test:${host.port}${path} has more than 100000 bytes`)
    assert.is(error.code, 'ERR_TOO_LARGE')
  }
})

test('a host that is slow, or silent, or whose name is slow, has no more than the time', async () => {
  for (const path of ['/slow', '/silent'])
    await refusedWith(photosOf(undefined, { time: 100 }).fetch(at(path), { signal }), 400, 'had not arrived after 0.1 s')
  const never: Resolve = () => new Promise(() => {})
  await refusedWith(photosOf(never, { time: 50 }).fetch(at('/photo.jpg'), { signal }), 400, 'had not arrived after 0.05 s')
})

test('an abort ends a download with its reason, and the connection', async () => {
  const controller = new AbortController()
  const reason = new Error('the client has left')
  setTimeout(() => controller.abort(reason), 50)
  assert.is(await get('/slow', { signal: controller.signal }).catch((error: unknown) => error), reason)
  const [request] = host.requests as [IncomingMessage]
  if (!request.socket.destroyed) await new Promise((resolve) => request.socket.once('close', resolve))
  assert.is(await get('/photo.jpg', { signal: AbortSignal.abort(reason) }).catch((error: unknown) => error), reason)
})

test('a photo of exactly the limit is read, also where its length is told', async () => {
  for (const path of ['/photo.jpg', '/split']) {
    const of = (photoBytes: number) => photosOf(undefined, { photoBytes }).fetch(at(path), { signal })
    assert.equal(await of(photo.length), photo)
    await refusedWith(of(photo.length - 1), 413, `has more than ${photo.length - 1} bytes`)
  }
})

test('a host that answers with something else', async () => {
  await refusedWith(get('/missing?signature=secret'), 400, /missing was answered with the status 404$/)
  await refusedWith(get('/zipped'), 400, 'is compressed (gzip)')
  await refusedWith(get('/cut'), 400, 'ended early')
  await refusedWith(photosOf(resolverOf({})).fetch(at('/photo.jpg'), { signal }), 400, 'the host photos.test is not known')
  await refusedWith(photosOf().fetch('photo.jpg', { signal }), 400, "the photo 'photo.jpg' is not a URL")
  const closed = photosOf(resolverOf({ 'photos.test': ['127.0.0.9'] }))
  await refusedWith(closed.fetch(at('/photo.jpg'), { signal }), 400, 'cannot be fetched (ECONNREFUSED)')
})

test.run()
