// As much of Electron as the example's main process calls. It records what the example sets, so that a test can look at it.
import { EventEmitter } from 'node:events'
import Module from 'node:module'

export class FakeContents extends EventEmitter {
  readonly mainFrame = { url: '' }
  readonly ipc = new EventEmitter()
  readonly posted: { channel: string; message: unknown; ports: unknown[] }[] = []
  openHandler: ((details: { url: string }) => { action: string }) | undefined

  setWindowOpenHandler(handler: FakeContents['openHandler']): void {
    this.openHandler = handler
  }

  postMessage(channel: string, message: unknown, ports: unknown[]): void {
    this.posted.push({ channel, message, ports })
  }
}

export interface FakeWindow {
  options: { webPreferences: Record<string, unknown> }
  webContents: FakeContents
}

type PermissionHandler = (contents: unknown, permission: string, answer: (allowed: boolean) => void) => void

/** What the example has done. */
export class FakeElectron {
  readonly windows: FakeWindow[] = []
  readonly processes: { program: string; env: NodeJS.ProcessEnv; posted: unknown[]; killed: boolean; events: EventEmitter }[] = []
  readonly schemes: { scheme: string; privileges: Record<string, boolean> }[] = []
  readonly handlers: Record<string, (request: Request) => Promise<Response>> = {}
  readonly app = Object.assign(new EventEmitter(), {
    sandboxed: false,
    quits: 0,
    whenReady: () => Promise.resolve(),
    getAppPath: () => this.folder,
    enableSandbox: () => {
      this.app.sandboxed = true
    },
    quit: () => {
      this.app.quits++
    },
  })
  requestHandler: PermissionHandler | undefined
  checkHandler: (() => boolean) | undefined

  constructor(readonly folder: string) {}

  /** What `require('electron')` gives the main process. */
  module() {
    const { app, windows, processes, schemes, handlers } = this
    class BrowserWindow {
      readonly webContents = new FakeContents()

      constructor(readonly options: FakeWindow['options']) {
        windows.push(this)
        app.emit('web-contents-created', {}, this.webContents)
      }

      static getAllWindows = () => windows
      removeMenu(): void {}
      async loadURL(url: string): Promise<void> {
        this.webContents.mainFrame.url = url
      }
    }
    class MessageChannelMain {
      readonly port1 = {}
      readonly port2 = {}
    }
    const fork = (program: string, _: string[], { env }: { env: NodeJS.ProcessEnv }) => {
      const child = { program, env, posted: [] as unknown[], killed: false, events: new EventEmitter() }
      processes.push(child)
      const postMessage = (message: unknown, ports: unknown[]) => child.posted.push({ message, ports })
      const kill = () => {
        child.killed = true
        return true
      }
      return { postMessage, kill, on: child.events.on.bind(child.events) }
    }
    const protocol = {
      registerSchemesAsPrivileged: (list: typeof schemes) => schemes.push(...list),
      handle: (scheme: string, handler: (request: Request) => Promise<Response>) => {
        handlers[scheme] = handler
      },
    }
    const defaultSession = {
      setPermissionRequestHandler: (handler: PermissionHandler) => {
        this.requestHandler = handler
      },
      setPermissionCheckHandler: (handler: () => boolean) => {
        this.checkHandler = handler
      },
    }
    return { app, BrowserWindow, MessageChannelMain, protocol, session: { defaultSession }, utilityProcess: { fork } }
  }
}

type Loader = (request: string, ...rest: unknown[]) => unknown

/** Requires a file for which `require('electron')` is `electron`. */
export function requireWith(file: string, electron: unknown): void {
  const loader = Module as unknown as { _load: Loader }
  const { _load } = loader
  loader._load = function (request, ...rest) {
    return request === 'electron' ? electron : _load.call(this, request, ...rest)
  }
  try {
    delete require.cache[file]
    require(file)
  } finally {
    loader._load = _load
  }
}
