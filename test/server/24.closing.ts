// How `clip-es serve` starts and ends, as a process: signals, running requests, the exit status, log lines.
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { temporaryFolder } from '../unit/support.js'
import { oneOf, post, root, sceneFile, until } from './support.js'

const main = join(root, 'cli/dist/main.js')
const photo = sceneFile('scene01')
const path = '/v1/segment?classes=emoji&format=raw'
// Enough pixels for the CRF to take a second or more.
const largePhoto = memo(() => sharp(photo).resize(800, 600).jpeg().toBuffer())

function memo<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined
  return () => {
    made ??= make()
    return made
  }
}

interface Running {
  child: ChildProcess
  url: string
  output: () => { stdout: string; stderr: string }
  exited: Promise<{ status: number | null; signal: string | null }>
}

async function start(...args: string[]): Promise<Running> {
  const child = spawn(process.execPath, [main, 'serve', '--port', '0', '--threads', '1', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const output = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text) => {
      output[name] += text
    })
  const exited = once(child, 'close').then(([status, signal]) => ({ status, signal }))
  await Promise.race([exited, until(() => output.stdout.includes('\n'))])
  const url = /^listening on (http:\/\/127\.0\.0\.1:\d+)\n$/.exec(output.stdout)?.[1]
  assert.ok(url, `${output.stdout}${output.stderr}`)
  return { child, url, output: () => output, exited }
}

const running = async (url: string): Promise<number> =>
  Number(/^clip_es_queue_running (\d+)/m.exec(await (await fetch(`${url}/metrics`)).text())?.[1])

test('SIGTERM: not ready, new photos are refused, the running request is answered, status 0', async () => {
  const { child, url, exited, output } = await start('--close-seconds', '600', '--request-seconds', '600')
  const slow = post({ url }, `${path}&crf=true`, await largePhoto())
  await until(async () => (await running(url)) === 1)
  child.kill('SIGTERM')
  await until(async () => (await fetch(`${url}/health/ready`)).status === 503)
  const refused = await post({ url }, path, photo)
  assert.is(refused.status, 503)
  assert.is(((await refused.json()) as { code: string }).code, 'ERR_CLOSED')
  const answer = await slow
  assert.is(answer.status, 200)
  assert.is((await answer.arrayBuffer()).byteLength, 800 * 600)
  assert.equal(await exited, { status: 0, signal: null })
  assert.is(output().stdout.split('\n').length, 2)
})

test('requests that take longer than they may are ended, and the status is still 0', async () => {
  const { child, url, exited } = await start('--close-seconds', '0.1')
  const slow = oneOf(post({ url }, `${path}&crf=true`, await largePhoto()))
  await until(async () => (await running(url)) === 1)
  child.kill('SIGTERM')
  const response = (await slow) as Response
  assert.is(response.status, 503)
  assert.equal(await exited, { status: 0, signal: null })
})

test('a second signal ends it at once', async () => {
  const { child, url, exited } = await start()
  const slow = oneOf(post({ url }, `${path}&crf=true`, await largePhoto()))
  await until(async () => (await running(url)) === 1)
  child.kill('SIGTERM')
  await until(async () => (await fetch(`${url}/health/ready`)).status === 503)
  child.kill('SIGTERM')
  assert.is((await exited).signal, 'SIGTERM')
  assert.instance(await slow, Error)
})

test('Ctrl-C without requests: status 0, also while connections are kept open', async () => {
  const { child, url, exited } = await start()
  assert.is((await fetch(`${url}/health/live`)).status, 200)
  child.kill('SIGINT')
  assert.equal(await exited, { status: 0, signal: null })
})

test('a signal that comes before the server listens ends it, too', async () => {
  const early = join(temporaryFolder(), 'early.cjs')
  const script = `const { Server } = require('node:net')
    const { listen } = Server.prototype
    Server.prototype.listen = function (...args) {
      process.emit('SIGTERM')
      return listen.apply(this, args)
    }`
  writeFileSync(early, script)
  const child = spawn(process.execPath, ['--require', early, main, 'serve', '--port', '0', '--threads', '1'], { stdio: 'ignore' })
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
  assert.equal(await once(child, 'close'), [0, null])
  clearTimeout(timer)
})

test('log lines are JSON with the id of the request, on standard error', async () => {
  const { child, url, exited, output } = await start('--log', 'info')
  const { headers } = await post({ url }, path, photo)
  child.kill('SIGTERM')
  await exited
  const lines = output()
    .stderr.split('\n')
    .filter((line) => line.startsWith('{'))
    .map((line) => JSON.parse(line) as Record<string, unknown>)
  const line = lines.find(({ msg }) => msg === 'answered')
  assert.is(line?.reqId, headers.get('x-request-id'))
  assert.equal([line?.method, line?.path, line?.status], ['POST', '/v1/segment', 200])
})

const end = async (...args: string[]): Promise<string> => {
  const child = spawn(process.execPath, [main, 'serve', ...args], { stdio: ['ignore', 'ignore', 'pipe'] })
  let stderr = ''
  child.stderr.setEncoding('utf8').on('data', (text) => {
    stderr += text
  })
  const [status] = await once(child, 'close')
  return `${status} ${stderr}`
}

test('what cannot start says why and what to do', async () => {
  const other: Server = createServer().listen(0, '127.0.0.1')
  await once(other, 'listening')
  const { port } = other.address() as { port: number }
  assert.match(
    await end('--port', String(port)),
    /^1 .*cannot listen on 127.0.0.1, port \d+: another program listens there; choose another port/s,
  )
  other.close()
  assert.match(await end('--host', '0.0.0.0'), /^2 .*give some by keyFile \(--api-keys FILE\)/s)
  assert.match(await end('--tls-cert', 'x'), /^2 .*--tls-cert and --tls-key belong together/s)
  assert.match(await end('--prot', '1'), /^2 .*Did you mean --port/s)
})

test.run()
