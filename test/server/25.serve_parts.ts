// A server of its own, with a stand-in for the engine: who may reach it, what it logs, its limits of time, and what the command makes of its options.
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import type { Server } from 'node:http'
import { connect } from 'node:net'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { serveCommand } from '../../cli/src/serve/command.js'
import { limitsOf, type ServeArguments } from '../../cli/src/serve/options.js'
import { runServer } from '../../cli/src/serve/run.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { type ServeOptions, serve } from '../../server/src/index.js'
import { Segmenter } from '../../ts/index.js'
import { temporaryFolder } from '../unit/support.js'
import { rawGet } from './support.js'

const folder = temporaryFolder()
const segmenter = {
  model: { path: '/models/x.pt', width: 4, photosAtATime: 1 },
  close: async () => undefined,
} as unknown as Segmenter
const start = (options: ServeOptions = {}) => serve({ port: 0, segmenter, ...options })

/** The code and the message of what a promise rejects with. */
const refusal = async (promise: Promise<unknown>): Promise<string> =>
  await promise.then(
    () => 'it resolves',
    ({ code, message }) => (code === undefined ? message : `${code} ${message}`),
  )

test('a server that other machines can reach needs keys, or to be open', async () => {
  const closed = (host: string) =>
    `ERR_INVALID_ARG the host ${host} can be reached from other machines, and there are no API keys; give some by keyFile (--api-keys FILE), or say ` +
    'that everyone may use the server by open: true (--open)'
  for (const host of ['0.0.0.0', '::', 'example.org', '127.evil.test', '10.127.0.1'])
    assert.is(await refusal(start({ host })), closed(host))
  assert.is(await refusal(start({ host: '0.0.0.0', open: false, keys: [] })), closed('0.0.0.0'))
  for (const options of [
    {},
    { host: 'localhost' },
    { host: '127.0.0.2' },
    { host: '0.0.0.0', open: true },
    { host: '0.0.0.0', keys: ['0123456789abcdef'] },
  ]) {
    const server = await start(options)
    assert.match(server.url, /^http:\/\/.+:\d+$/)
    await server.close()
  }
  assert.match(await refusal(start({ host: '0.0.0.0', keyFile: join(folder, 'none') })), /^ERR_INVALID_ARG the file of API keys/)
  for (const tls of [
    { cert: join(folder, 'none'), key: join(folder, 'key') },
    { cert: __filename, key: join(folder, 'key') },
  ])
    assert.match(
      await refusal(start({ tls })),
      new RegExp(`^ERR_INVALID_ARG the TLS file ${folder}/(none|key) cannot be read \\(ENOENT.*\\); give a PEM file$`),
    )
})

test('only a server of this machine, without a proxy, looks at the name that it is called by', async () => {
  for (const [options, status] of [
    [{}, 403],
    [{ trustProxy: true }, 200],
    [{ host: '0.0.0.0', open: true }, 200],
  ] as const) {
    const server = await start(options)
    const port = new URL(server.url).port
    assert.is(
      (await rawGet(`http://127.0.0.1:${port}`, '/health/live', { host: 'rebound.test' })).status,
      status,
      JSON.stringify(options),
    )
    await server.close()
  }
  const proxied = await start({ trustProxy: true })
  const told = (await fetch(`${proxied.url}/health/live`, { headers: { 'x-request-id': 'of the proxy' } })).headers.get(
    'x-request-id',
  )
  await proxied.close()
  const direct = await start()
  const own = (await fetch(`${direct.url}/health/live`, { headers: { 'x-request-id': 'of a stranger' } })).headers.get(
    'x-request-id',
  )
  await direct.close()
  assert.is(told, 'of the proxy')
  assert.match(own as string, /^[0-9a-f-]{36}$/)
})

test('what is not there is answered like every error, and each request has one line in the log', async () => {
  const lines: [fields: Record<string, unknown>, text: string][] = []
  const log = Object.fromEntries(
    ['debug', 'info', 'warn', 'error', 'fatal', 'trace', 'silent'].map((level) => [level, () => undefined]),
  )
  Object.assign(log, {
    level: 'info',
    child: () => log,
    info: (fields: object, text: string) => lines.push([fields as never, text]),
  })
  const server = await start({ log: log as never })
  const answer = await fetch(`${server.url}/v3/none?secret=1`)
  const { requestId, ...problem } = (await answer.json()) as Record<string, unknown>
  assert.equal(problem, {
    ...{
      type: 'about:blank',
      title: 'There is nothing here',
      status: 404,
      detail: 'there is no GET /v3/none',
      code: 'ERR_NOT_FOUND',
    },
    remedy: 'GET /docs lists what there is',
  })
  const { headers } = answer
  assert.equal(
    [headers.get('content-type'), headers.get('x-content-type-options'), headers.get('cross-origin-resource-policy')],
    ['application/problem+json; charset=utf-8', 'nosniff', 'same-origin'],
  )
  assert.match(requestId as string, /^[0-9a-f-]{36}$/)
  const answered = lines.filter(([, text]) => text === 'answered')
  const { milliseconds, ...fields } = answered[0]?.[0] ?? {}
  assert.equal([answered.length, fields], [1, { method: 'GET', path: '/v3/none', status: 404, ip: '127.0.0.1' }])
  assert.ok(Number.isInteger(milliseconds))
  await server.close()
})

test('headers and bodies have their time, and what is not HTTP is answered', async () => {
  const server = await start({ limits: { uploadTime: 12_000 } })
  const { headersTimeout, requestTimeout } = server.app.server as Server
  assert.equal([headersTimeout, requestTimeout], [12_000, 17_000])
  const socket = connect(Number(new URL(server.url).port), '127.0.0.1')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  socket.write('hello\r\n\r\n')
  await once(socket, 'close')
  assert.match(text, /^HTTP\/1\.1 400 The request cannot be read\r\n/)
  await server.close()
  const usual = await start()
  assert.is((usual.app.server as Server).headersTimeout, 30_000)
  await usual.close()
})

/** What the command line of `clip-es serve` says. */
function parse(...args: string[]): ServeArguments {
  const command = serveCommand()
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
  command.action(() => undefined)
  command.parse(args, { from: 'user' })
  return command.opts()
}

test('the command line becomes options, and its units those of the server', () => {
  const usual = { host: '127.0.0.1', port: 8080, page: true, batchName: 'clip-es', closeSeconds: 30 }
  assert.equal(parse(), usual)
  assert.equal(parse('--open', '--trust-proxy', '--no-page', '--log', 'debug', '--cors', 'a', '--cors', 'b'), {
    ...usual,
    ...{ open: true, trustProxy: true, page: false, log: 'debug', cors: ['a', 'b'] },
  })
  const lists = ['--remote-host', '--private-host', '--callback-host', '--private-callback-host', '--class-file']
  const names = ['remoteHost', 'privateHost', 'callbackHost', 'privateCallbackHost', 'classFile']
  assert.equal(parse(...lists.flatMap((name) => [name, 'x', name, 'y'])), {
    ...usual,
    ...Object.fromEntries(names.map((name) => [name, ['x', 'y']])),
  })
  assert.throws(() => parse('--log', 'all'), 'Allowed choices are debug, info, warn, error.')
  assert.equal(limitsOf(parse()), {})
  const limits = parse(
    ...['--queue', '0', '--photo-megabytes', '2', '--photo-megapixels', '3', '--upload-megabytes', '4', '--store-megabytes', '5'],
    ...['--store-seconds', '6', '--upload-seconds', '7', '--request-seconds', '8'],
  )
  assert.equal(limitsOf(limits), {
    ...{ queue: 0, photoBytes: 2 * 1048576, photoPixels: 3e6, uploadBytes: 4 * 1048576, storeBytes: 5 * 1048576 },
    ...{ storeTime: 6000, uploadTime: 7000, requestTime: 8000 },
  })
})

test('the help has the defaults of the server', () => {
  const descriptions = Object.fromEntries(serveCommand().options.map(({ long, description }) => [long, description]))
  for (const [option, value] of [
    ['queue', '64'],
    ['photo-megabytes', '32'],
    ['photo-megapixels', '50'],
    ['upload-megabytes', '512'],
    ['store-megabytes', '1024'],
    ['store-seconds', '600'],
    ['upload-seconds', '30'],
    ['request-seconds', '60'],
  ] as const)
    assert.match(descriptions[`--${option}`] as string, `(default: ${value})`)
})

test('command lines that cannot be served are refused with the remedy', async () => {
  const { load } = Segmenter
  Segmenter.load = async () => segmenter
  const run = async (...args: string[]): Promise<string> => {
    const error = await runServer(parse(...args)).then(
      () => new Error('it serves'),
      (reason: Error) => reason,
    )
    return `${error instanceof UsageError ? 'usage' : (error as NodeJS.ErrnoException).code} ${error.message}`
  }
  try {
    for (const name of ['cert', 'key'])
      assert.is(await run(`--tls-${name}`, 'x'), 'usage --tls-cert and --tls-key belong together: give both')
    assert.match(await run('--tls-cert', 'x', '--tls-key', 'y'), /^usage the TLS file x cannot be read/)
    assert.is(await run('--batch-root', 'x'), 'usage serve: --batch-root needs --batch-queue')
    for (const name of ['--callback-host', '--private-callback-host'])
      assert.is(await run(name, 'x'), 'usage serve: --callback-host needs --batch-queue')
    writeFileSync(join(folder, 'own.json'), JSON.stringify({ classes: [{ name: 'cat' }] }))
    const file = join(folder, 'own.json')
    assert.is(
      await run('--class-file', file, '--class-file', file),
      'usage two class files are called own; rename one, because requests use this name',
    )
    assert.match(await run('--label-studio', 'nowhere'), /^usage labelStudio\.url is 'nowhere'/)
    assert.match(await run('--remote-host', 'a b'), /^usage remoteHosts has 'a b'/)
    assert.match(await run('--private-host', 'a b'), /^usage privateHosts has 'a b'/)
    const taken = await start()
    const { port } = new URL(taken.url)
    assert.is(
      await run('--port', port),
      `EADDRINUSE cannot listen on 127.0.0.1, port ${port}: another program listens there; choose another port with --port, or end that program`,
    )
    await taken.close()
    assert.is(
      await run('--host', '192.0.2.1', '--port', '0', '--open'),
      'EADDRNOTAVAIL cannot listen on 192.0.2.1, port 0: this machine does not have this address; choose one of its own with --host, or 0.0.0.0 for all',
    )
    assert.match(
      await run('--host', 'no-such-host.invalid', '--port', '0', '--open'),
      /^(ENOTFOUND cannot listen on no-such-host\.invalid, port 0: there is no such host; choose an address of this machine with --host|EAI_AGAIN )/,
    )
  } finally {
    Segmenter.load = load
  }
})

test.run()
