const { existsSync } = require('node:fs')
const { join } = require('node:path')
const { app, BrowserWindow, MessageChannelMain, protocol, session, utilityProcess } = require('electron')
const { EngineHost } = require('./engine_host.js')
const { servePage } = require('./pages.js')

const origin = 'app://clip-es'

app.enableSandbox()
protocol.registerSchemesAsPrivileged([{ scheme: 'app', privileges: { standard: true, secure: true } }])

/** An archive in models/ is packaged with the application. Without it, $CLIP_ES_MODEL or the demo model is used. */
function engineEnvironment() {
  const model = join(app.getAppPath(), 'models', 'ViT-B-16.pt')
  return existsSync(model) ? { ...process.env, CLIP_ES_MODEL: model } : process.env
}

const host = new EngineHost(
  () =>
    utilityProcess.fork(join(__dirname, '..', 'engine', 'index.js'), [], { serviceName: 'clip-es', env: engineEnvironment() }),
  () => new MessageChannelMain(),
)

/**
 * The preload script asks for the engine when the page is ready. Only our own page may.
 * @param {Electron.WebContents} contents
 */
function connectOnRequest(contents) {
  /** @type {import('./engine_host.js').Client} */
  const client = { deliver: (message, ports) => contents.postMessage('engine', message, ports) }
  contents.ipc.on('connect-engine', ({ senderFrame }) => {
    if (senderFrame === contents.mainFrame && senderFrame.url.startsWith(`${origin}/`)) host.connect(client)
  })
  contents.on('did-start-navigation', () => host.disconnect(client)) // a page that is loaded again asks again
  contents.once('destroyed', () => host.disconnect(client))
}

// Pages stay where they are: no other windows, no other addresses, no embedded pages.
app.on('web-contents-created', (_, contents) => {
  contents.setWindowOpenHandler(() => ({ action: 'deny' }))
  contents.on('will-navigate', (event) => event.preventDefault())
  contents.on('will-attach-webview', (event) => event.preventDefault())
  connectOnRequest(contents)
})

function openWindow() {
  const window = new BrowserWindow({
    width: 1100,
    height: 800,
    webPreferences: {
      preload: join(__dirname, '..', 'preload.js'),
      contextIsolation: true,
      sandbox: true,
      nodeIntegration: false,
    },
  })
  window.removeMenu()
  void window.loadURL(`${origin}/index.html`)
}

app.whenReady().then(() => {
  protocol.handle('app', servePage)
  session.defaultSession.setPermissionRequestHandler((_, __, answer) => answer(false))
  session.defaultSession.setPermissionCheckHandler(() => false)
  openWindow()
  app.on('activate', () => {
    if (BrowserWindow.getAllWindows().length === 0) openWindow()
  })
})
app.on('window-all-closed', () => {
  if (process.platform !== 'darwin') app.quit()
})
app.on('will-quit', () => host.stop())
