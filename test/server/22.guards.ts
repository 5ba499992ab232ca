// Who may use the server: API keys, origins, host names, TLS. And what every answer says to browsers.
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { serve } from '../../server/src/index.js'
import { testIf } from '../test_if.js'
import { post, problem, rawGet, sceneFile, startServer, until } from './support.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-server-'))
test.after(() => rmSync(folder, { recursive: true }))

const photo = sceneFile('scene01')
const path = '/v1/segment?classes=emoji&format=raw'
const [first, second] = ['a key of the test 1'.replaceAll(' ', '-'), 'a key of the test 2'.replaceAll(' ', '-')]
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

test('requests need a key; health does not; a changed file counts at once', async () => {
  const keyFile = join(folder, 'keys')
  writeFileSync(keyFile, `# a comment\n${first}\n`)
  const server = await startServer({ keyFile })
  const status = async (headers: Record<string, string>) => (await post(server, path, photo, headers)).status
  try {
    const refused = await post(server, path, photo)
    assert.is(refused.headers.get('www-authenticate'), 'Bearer')
    assert.is((await problem(refused, 401)).code, 'ERR_UNAUTHORIZED')
    assert.equal(
      [await status(bearer(first)), await status({ 'x-api-key': first }), await status(bearer(second))],
      [200, 200, 401],
    )
    assert.is((await fetch(`${server.url}/health/ready`)).status, 200)
    assert.is((await fetch(`${server.url}/metrics`)).status, 401)
    writeFileSync(keyFile, `${second}\n`)
    await until(async () => (await status(bearer(second))) === 200)
    assert.is(await status(bearer(first)), 401)
    writeFileSync(keyFile, 'short\n') // a mistake does not open or close the server
    await new Promise((resolve) => setTimeout(resolve, 1500))
    assert.is(await status(bearer(second)), 200)
  } finally {
    await server.close()
  }
})

const failure = (options: Parameters<typeof startServer>[0]) =>
  startServer(options).then(
    async (server) => {
      await server.close()
      return 'it starts'
    },
    ({ code, message }) => `${code} ${message}`,
  )

test('short keys, missing files and open servers are refused at the start', async () => {
  assert.match(await failure({ keys: ['short'] }), /^ERR_INVALID_ARG .*key of 5 characters/)
  assert.match(await failure({ keyFile: join(folder, 'none') }), /^ERR_INVALID_ARG .*cannot be read/)
  assert.match(await failure({ host: '0.0.0.0' }), /^ERR_INVALID_ARG the host 0.0.0.0 can be reached from other machines/)
  assert.is(await failure({ host: '0.0.0.0', open: true }), 'it starts')
})

test('pages of other origins are refused, unless CORS allows them', async () => {
  const origin = 'https://example.org'
  const server = await startServer()
  try {
    for (const headers of [{ origin }, { 'sec-fetch-site': 'cross-site' }] as Record<string, string>[])
      assert.is((await problem(await post(server, path, photo, headers), 403)).code, 'ERR_FORBIDDEN')
    const own = await post(server, path, photo, { origin: server.url, 'sec-fetch-site': 'same-origin' })
    assert.is(own.status, 200)
    assert.is(own.headers.get('access-control-allow-origin'), null)
  } finally {
    await server.close()
  }
  const shared = await startServer({ cors: [origin], keys: [first] })
  try {
    const preflight = await fetch(`${shared.url}${path}`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization' },
    })
    assert.is(preflight.status, 204)
    const answer = await post(shared, path, photo, { origin, ...bearer(first) })
    assert.is(answer.status, 200)
    assert.is(answer.headers.get('access-control-allow-origin'), origin)
    assert.is((await post(shared, path, photo, { origin: 'https://other.example', ...bearer(first) })).status, 403)
  } finally {
    await shared.close()
  }
})

test('a name that another site lets point here is refused, unless a proxy is trusted', async () => {
  for (const [trustProxy, expected] of [
    [false, 403],
    [true, 200],
  ] as const) {
    const server = await startServer({ trustProxy })
    try {
      const { status } = await rawGet(server.url, '/v1/model', { host: 'rebound.example' })
      assert.is(status, expected)
    } finally {
      await server.close()
    }
  }
})

test('every answer has the security headers and an id of its request', async () => {
  const server = await startServer()
  try {
    for (const at of ['/v1/model', '/nothing', '/health/live']) {
      const { headers } = await fetch(`${server.url}${at}`)
      assert.is(headers.get('x-content-type-options'), 'nosniff', at)
      assert.match(headers.get('content-security-policy') ?? '', "default-src 'none'")
    }
    const response = await fetch(`${server.url}/v1/classes/none`)
    assert.is(response.headers.get('x-request-id'), (await problem(response, 404)).requestId)
  } finally {
    await server.close()
  }
})

const hasOpenssl = spawnSync('openssl', ['version']).error === undefined
testIf(hasOpenssl, 'TLS: there is no openssl to make a certificate')('TLS by certificate files', async () => {
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')]
  const args = `req -x509 -newkey rsa:2048 -nodes -keyout ${key} -out ${cert} -days 1 -subj /CN=localhost`
  assert.is(spawnSync('openssl', args.split(' ')).status, 0)
  const server = await serve({ port: 0, tls: { cert, key } })
  try {
    assert.match(server.url, /^https:/)
    const status = await new Promise((resolve, reject) => {
      get(`${server.url}/health/ready`, { rejectUnauthorized: false }, ({ statusCode }) => resolve(statusCode)).on(
        'error',
        reject,
      )
    })
    assert.is(status, 200)
  } finally {
    await server.close()
  }
})

test.run()
