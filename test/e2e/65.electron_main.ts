// The main process and the preload script of examples/electron, with a stand-in for Electron that records what they set. The types of
// all calls are checked against Electron's own, if npm can fetch these.
import { spawnSync } from 'node:child_process'
import { EventEmitter } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { testIf } from '../test_if.js'
import { FakeElectron, type FakeWindow, requireWith } from './electron/fake_electron.js'
import { example } from './electron/processes.js'
import { root } from './support.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-electron-'))
test.after(() => rmSync(folder, { recursive: true, force: true }))

/** Starts the application. */
async function start(appPath = folder) {
  const electron = new FakeElectron(appPath)
  requireWith(join(example, 'main/main.js'), electron.module())
  await new Promise(setImmediate)
  return { electron, window: electron.windows[0] as FakeWindow }
}

/** The preload script asks for the engine. */
const ask = ({ webContents }: FakeWindow, senderFrame: unknown = webContents.mainFrame) =>
  webContents.ipc.emit('connect-engine', { senderFrame })

test('the page is isolated, in a sandbox, and without Node', async () => {
  const { electron, window } = await start()
  assert.equal(window.options.webPreferences, {
    preload: join(example, 'preload.js'),
    contextIsolation: true,
    sandbox: true,
    nodeIntegration: false,
  })
  assert.ok(electron.app.sandboxed)
  assert.is(window.webContents.mainFrame.url, 'app://clip-es/index.html')
  assert.equal(electron.schemes, [{ scheme: 'app', privileges: { standard: true, secure: true } }])
})

test('the page opens no windows, goes nowhere, and gets no permission', async () => {
  const { electron, window } = await start()
  assert.equal(window.webContents.openHandler?.({ url: 'https://example.org' }), { action: 'deny' })
  for (const event of ['will-navigate', 'will-attach-webview']) {
    let prevented = false
    window.webContents.emit(event, { preventDefault: () => (prevented = true) })
    assert.ok(prevented, event)
  }
  const answers: boolean[] = []
  electron.requestHandler?.(window.webContents, 'media', (allowed) => answers.push(allowed))
  assert.equal([...answers, electron.checkHandler?.()], [false, false])
})

test('only files of the page are served, with a policy that allows nothing from elsewhere', async () => {
  const { electron } = await start()
  const get = (path: string) => electron.handlers.app?.(new Request(`app://clip-es${path}`)) as Promise<Response>
  const index = await get('/index.html')
  assert.is(index.status, 200)
  assert.match(await index.text(), /<script type="module" src="page\.mjs">/)
  const policy = index.headers.get('content-security-policy') ?? ''
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';/)
  assert.not.match(policy, /unsafe|https?:|data:|\*/)
  for (const path of ['/', '/tsconfig.json', '/../main/main.js', '/%2e%2e/package.json', '/..%2fpackage.json', '/none.mjs'])
    assert.is((await get(path)).status, 404, path)
})

test('only the own page gets a port, and a page that is loaded again gets a new one', async () => {
  const { electron, window } = await start()
  const { webContents } = window
  ask(window, { url: 'app://clip-es/index.html' }) // a frame inside the page
  webContents.mainFrame.url = 'https://example.org/app://clip-es/'
  ask(window)
  assert.equal([electron.processes.length, webContents.posted.length], [0, 0])

  webContents.mainFrame.url = 'app://clip-es/index.html'
  ask(window)
  webContents.emit('did-start-navigation')
  ask(window)
  assert.is(electron.processes.length, 1)
  assert.is(electron.processes[0]?.program, join(example, 'engine/index.js'))
  assert.is(electron.processes[0]?.posted.length, 2)
  assert.equal(
    webContents.posted.map(({ channel, message, ports }) => [channel, message, ports.length]),
    Array(2).fill(['engine', { type: 'clip-es-engine', restarted: false }, 1]),
  )

  webContents.emit('destroyed')
  electron.processes[0]?.events.emit('exit', 1)
  assert.is(webContents.posted.length, 2, 'nothing is posted to a closed window')
})

test('the engine ends with the application', async () => {
  const { electron, window } = await start()
  ask(window)
  electron.app.emit('window-all-closed')
  assert.is(electron.app.quits, process.platform === 'darwin' ? 0 : 1)
  electron.app.emit('will-quit')
  assert.ok(electron.processes[0]?.killed)
})

test('an archive in models/ is the model, otherwise the environment says it', async () => {
  const first = await start()
  ask(first.window)
  assert.is(first.electron.processes[0]?.env, process.env)
  mkdirSync(join(folder, 'app/models'), { recursive: true })
  writeFileSync(join(folder, 'app/models/ViT-B-16.pt'), '')
  const { electron, window } = await start(join(folder, 'app'))
  ask(window)
  assert.is(electron.processes[0]?.env.CLIP_ES_MODEL, join(folder, 'app/models/ViT-B-16.pt'))
})

test('the preload script asks for the engine when the page is ready, and hands over the port', () => {
  const ipcRenderer = Object.assign(new EventEmitter(), { send: (channel: string) => sent.push(channel) })
  const sent: string[] = []
  const posted: unknown[][] = []
  const window = Object.assign(new EventEmitter(), {
    addEventListener: (name: string, listener: () => void) => window.on(name, listener),
    postMessage: (...args: unknown[]) => posted.push(args),
    location: { origin: 'app://clip-es' },
  })
  const preload = readFileSync(join(example, 'preload.js'), 'utf8')
  // A sandboxed preload script can require little else.
  const require = (name: string) => (name === 'electron' ? { ipcRenderer } : assert.unreachable(name))
  new Function('require', 'window', preload)(require, window)
  assert.equal(sent, [])
  window.emit('DOMContentLoaded')
  assert.equal(sent, ['connect-engine'])
  const message = { type: 'clip-es-engine', restarted: false }
  ipcRenderer.emit('engine', { ports: ['port'] }, message)
  assert.equal(posted, [[message, 'app://clip-es', ['port']]])
})

function compile(project: string): void {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout } = spawnSync(process.execPath, [tsc, '-p', project], { encoding: 'utf8' })
  assert.is(status, 0, stdout)
}

test("the page's script agrees with the types of the messages", () => compile(join(example, 'page')))

/** Electron's declarations, without its program. */
function fetchTypes(): string | undefined {
  const { devDependencies } = JSON.parse(readFileSync(join(example, 'package.json'), 'utf8')) as {
    devDependencies: { electron: string }
  }
  const args = [
    'pack',
    `electron@${devDependencies.electron}`,
    '--json',
    '--ignore-scripts',
    '--fetch-retries=0',
    '--pack-destination',
    folder,
  ]
  const packed = spawnSync('npm', args, { cwd: folder, encoding: 'utf8' })
  if (packed.status !== 0) return undefined
  const { filename } = (JSON.parse(packed.stdout) as { filename: string }[]).at(-1) as { filename: string }
  const { status } = spawnSync('tar', ['xzf', filename, 'package/electron.d.ts'], { cwd: folder })
  return status === 0 ? join(folder, 'package/electron.d.ts') : undefined
}
const types = fetchTypes()

testIf(types, "the Electron example against Electron's types: npm cannot fetch the package electron")(
  "the main process, the preload script and the engine agree with Electron's types",
  () => {
    const include = ['contract.d.ts', 'preload.js', 'main', 'engine'].map((name) => join(example, name))
    const compilerOptions = { typeRoots: [join(root, 'node_modules/@types')] }
    const config = { extends: join(example, 'tsconfig.json'), compilerOptions, files: [types], include }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    compile(folder)
  },
)

test.run()
