// Signals of the command: the first asks for the end, the second ends it, whatever the process does.
import { execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-stop-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

const stop = join(__dirname, '../../cli/src/shared/stop.ts')

/** A process that listens for signals, says 'ready', and runs the script. */
function start(script: string) {
  const code = `
    const { listenForStops, stopSignal } = require(${JSON.stringify(stop)})
    listenForStops()
    const keep = setInterval(() => {}, 1000)
    ${script}
    process.stdin.on('end', () => process.exit(9)).resume() // the test has ended
    process.stdout.write('ready\\n')`
  const child = spawn(process.execPath, ['--import', 'tsx', '--input-type=commonjs', '-e', code], {
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: 60_000,
    killSignal: 'SIGKILL',
  })
  let errors = ''
  child.stderr.on('data', (text: Buffer) => (errors += text))
  const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
  return { child, ended, stderr: () => errors }
}

const said = async (child: ReturnType<typeof start>['child'], word: string) => {
  for (let text = ''; !text.includes(word); ) text += String((await once(child.stdout, 'data'))[0])
}

const whileWorking: [what: string, script: string][] = [
  ['work that never ends', ''],
  ['a thread that waits for a named pipe', `require('node:fs').open(${JSON.stringify(join(folder, 'pipe'))}, 'r', () => {})`],
]

for (const [what, script] of whileWorking)
  test(`the second signal ends the process during ${what}`, async () => {
    if (script) execFileSync('mkfifo', [join(folder, 'pipe')])
    const { child, ended } = start(
      `stopSignal().addEventListener('abort', () => setTimeout(() => process.stdout.write('aborted\\n'), 50));${script}`,
    )
    await said(child, 'ready')
    child.kill('SIGINT')
    await said(child, 'aborted')
    child.kill('SIGINT')
    assert.equal(await ended, [null, 'SIGINT'], 'which a shell shows as 130')
  })

test('the second signal ends a process whose event loop is blocked', async () => {
  const { child, ended } = start(
    `stopSignal().addEventListener('abort', () => setTimeout(() => { process.stdout.write('busy\\n', () => { const end = Date.now() + 30_000; while (Date.now() < end); }) }, 50))`,
  )
  await said(child, 'ready')
  child.kill('SIGINT')
  await said(child, 'busy')
  await new Promise((done) => setTimeout(done, 200))
  const begin = Date.now()
  child.kill('SIGTERM')
  assert.equal(await ended, [null, 'SIGTERM'])
  assert.ok(Date.now() - begin < 20_000, 'it did not wait for the end of the computation')
})

test('two signals while the event loop is blocked end the process', async () => {
  const { child, ended } = start(
    `stopSignal(); setTimeout(() => { const end = Date.now() + 1500; while (Date.now() < end); }, 50)`,
  )
  await said(child, 'ready')
  await new Promise((done) => setTimeout(done, 300))
  child.kill('SIGINT')
  await new Promise((done) => setTimeout(done, 100))
  child.kill('SIGINT')
  assert.equal(await ended, [null, 'SIGINT'])
})

test('a signal ends a process at once if it did not call stopSignal()', async () => {
  const { child, ended } = start('')
  await said(child, 'ready')
  child.kill('SIGINT')
  assert.equal(await ended, [130, null])
})

for (const [name, message, status] of [
  ['SIGINT', 'interrupted\n', 130],
  ['SIGTERM', 'ended by SIGTERM\n', 143],
  ['SIGHUP', 'ended by SIGHUP\n', 129],
] as const)
  test(`the reason of an abort by ${name} is '${message.trim()}', with the exit status ${status}`, async () => {
    const { child, ended } = start(`
      const signal = stopSignal()
      signal.addEventListener('abort', () => { console.log(signal.reason.message); process.exit(signal.reason.status) })`)
    await said(child, 'ready')
    child.kill(name)
    await said(child, message)
    assert.equal(await ended, [status, null])
  })

test('a signal shows the cursor again on a terminal, and writes no escape codes elsewhere', async () => {
  for (const [isTTY, expected] of [
    [undefined, ''],
    [true, '\u001b[?25h'],
  ] as const) {
    const { child, ended, stderr } = start(
      `process.stderr.isTTY = ${isTTY}; stopSignal().addEventListener('abort', () => setTimeout(() => process.exit(3), 100))`,
    )
    await said(child, 'ready')
    child.kill('SIGTERM')
    assert.equal(await ended, [3, null])
    assert.is(stderr(), expected)
  }
})

test('standard output that cannot be written ends the process with status 1 and the reason', async () => {
  const { ended, stderr } = start(`process.stdout.emit('error', Object.assign(new Error('no space'), { code: 'ENOSPC' }))`)
  assert.equal(await ended, [1, null])
  assert.is(stderr(), 'clip-es: standard output cannot be written (no space)\n')
})

test('a reader that leaves aborts with status 1', async () => {
  const { ended } = start(`
    const signal = stopSignal()
    process.stdout.emit('error', Object.assign(new Error('broken pipe'), { code: 'EPIPE' }))
    process.exit(signal.aborted ? 10 + signal.reason.status : 2)`)
  assert.equal(await ended, [11, null])
})

test.run()
