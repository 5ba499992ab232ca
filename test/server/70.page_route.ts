// What the server says to browsers about the page: addresses, headers, and who may load it. No browser is needed.
import fastify from 'fastify'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clipEs, type RunningServer } from '../../server/src/index.js'
import { problem, rawGet, sceneFile, sceneLabels, startServer } from './support.js'

const key = 'a-key-of-this-test'
let server: RunningServer

test.before(async () => {
  server = await startServer({ keys: [key] })
})
test.after(() => server.close())

const get = (path: string, headers: Record<string, string> = {}) => fetch(`${server.url}${path}`, { headers })

test('the page needs no key, the API does', async () => {
  for (const path of ['/', '/page/page.js', '/page/page.css', '/page/icon.svg', '/page/scenes', '/page/scenes/scene01.png'])
    assert.is((await get(path)).status, 200, path)
  await problem(await get('/v1/model'), 401)
})

test('the policy allows only files of the server, and the page has nothing inline', async () => {
  const response = await get('/')
  assert.is(response.headers.get('content-type'), 'text/html; charset=utf-8')
  const policy = response.headers.get('content-security-policy') ?? ''
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/)
  assert.not.match(policy, 'unsafe')
  const html = await response.text()
  assert.not.match(html, /<style|\sstyle=|\son[a-z]+=/i)
  for (const [script] of html.matchAll(/<script[^>]*>[^<]*/g)) assert.match(script, /src="page\/[a-z]+\.js">$/)
  for (const [, address] of html.matchAll(/<(?:script|link|img)[^>]*?(?:src|href)="([^"]+)"/g))
    assert.match(address ?? '', /^page\//)
})

test('files are asked for again only when they have changed', async () => {
  const etag = (await get('/page/page.js')).headers.get('etag') as string
  assert.is((await get('/page/page.js', { 'if-none-match': etag })).status, 304)
  assert.is((await get('/page/page.js', { 'if-none-match': '"old"' })).status, 200)
})

test('scenes are those of the demo; other files are not served', async () => {
  const scenes = (await (await get('/page/scenes')).json()) as { name: string; labels: string[] }[]
  assert.is(scenes.length, 12)
  assert.equal(scenes[0], { name: 'scene01', labels: sceneLabels('scene01') })
  assert.equal(Buffer.from(await (await get('/page/scenes/scene01.png')).arrayBuffer()), sceneFile('scene01'))
  for (const path of ['scene01', 'labels.json', 'scene01_mask.png', 'scene99.png', 'constructor.png', '..%2Femoji-clip.pt'])
    await problem(await get(`/page/scenes/${path}`), 404)
  for (const path of ['none.js', '__proto__', '..%2Findex.js']) await problem(await get(`/page/${path}`), 404)
})

test('a link from another site opens the page, but another site cannot load parts of it', async () => {
  const from = (mode: string) => ({ 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': mode })
  assert.is((await rawGet(server.url, '/', from('navigate'))).status, 200)
  assert.is((await rawGet(server.url, '/page/page.js', from('no-cors'))).status, 403)
})

test('under a prefix the page is at the address with a slash, and its own addresses are below it', async () => {
  const app = fastify()
  try {
    await app.register(clipEs, { segmenter: server.service.segmenter, prefix: '/tools/masks' })
    app.get('/', async () => "the application's own page")
    const redirect = await app.inject('/tools/masks?a=1')
    assert.is(redirect.statusCode, 302)
    assert.is(new URL(redirect.headers.location as string, 'http://host/tools/masks').href, 'http://host/tools/masks/?a=1')
    assert.match((await app.inject('/tools/masks/')).body, '<title>clip-es')
    assert.is((await app.inject('/tools/masks/page/page.js')).statusCode, 200)
    assert.is((await app.inject('/')).body, "the application's own page")
  } finally {
    await app.close()
  }
})

test('without the page its addresses are not there, and requests are answered', async () => {
  const without = await startServer({ page: false })
  try {
    for (const path of ['/', '/page/page.js', '/page/scenes']) await problem(await fetch(`${without.url}${path}`), 404)
    assert.is((await fetch(`${without.url}/v1/model`)).status, 200)
  } finally {
    await without.close()
  }
})

test.run()
