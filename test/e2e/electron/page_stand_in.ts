// The page of examples/electron in Chromium. A stand-in for preload.js gives the page its port, and passes messages between the port and
// the real engine process. The page is served by the example's own function, so with its Content-Security-Policy.
import { join } from 'node:path'
import type { MessagePort } from 'node:worker_threads'
import type { Browser, Page } from 'playwright-core'
import type { EngineLostMessage, EngineMessage } from '../../../examples/electron/contract.js'
import { createHost, example } from './processes.js'

const origin = 'https://clip-es.example' // nothing is sent there: the requests are answered here

/** What runs in the page before its own scripts: the contract of preload.js. */
function standIn() {
  const browser = globalThis as unknown as {
    MessagePort: { prototype: { postMessage(message: unknown, transfer?: unknown): void } }
    MessageChannel: new () => { port1: BrowserPort; port2: BrowserPort }
    postMessage(message: unknown, origin: string, transfer: unknown[]): void
    location: { origin: string }
    addEventListener(event: string, listener: () => void): void
    toEngine(port: number, message: unknown): void
    connectEngine(): void
    deliver(message: unknown, port: number | undefined): void
    fromEngine(port: number, message: unknown): void
  }
  interface BrowserPort {
    onmessage: ((event: { data: unknown }) => void) | null
    postMessage(message: unknown): void
  }
  const ports = new Map<number, BrowserPort>()
  const { postMessage } = browser.MessagePort.prototype
  browser.MessagePort.prototype.postMessage = function (message, transfer) {
    // Electron loses a message whose ArrayBuffers are transferred to another process.
    if (transfer !== undefined) throw new TypeError('the page must not transfer anything to the engine')
    postMessage.call(this, message)
  }
  browser.deliver = (message, port) => {
    const transfer = []
    if (port !== undefined) {
      const { port1, port2 } = new browser.MessageChannel()
      port1.onmessage = ({ data }) => browser.toEngine(port, data)
      ports.set(port, port1)
      transfer.push(port2)
    }
    browser.postMessage(message, browser.location.origin, transfer)
  }
  browser.fromEngine = (port, message) => ports.get(port)?.postMessage(message)
  browser.addEventListener('DOMContentLoaded', () => browser.connectEngine())
}

type InPage = { deliver(message: unknown, port?: number): void; fromEngine(port: number, message: unknown): void }

const opened: (() => Promise<void>)[] = []

/** Closes all pages and ends their engines, also after a test that failed. */
export async function closePages(): Promise<void> {
  for (const close of opened.splice(0)) await close()
}

/** Opens the example's page with an engine of its own. `problems` are errors and refusals that its console shows. */
export async function openPage(browser: Browser, env: NodeJS.ProcessEnv) {
  const { host, children } = createHost(join(example, 'engine/index.js'), { env })
  const { servePage } = require(join(example, 'main/pages.js')) as { servePage(request: Request): Promise<Response> }
  const page = await browser.newPage({ viewport: { width: 1000, height: 720 } })
  page.setDefaultTimeout(120_000) // for a busy machine
  const problems: string[] = []
  page.on('pageerror', (error) => problems.push(String(error)))
  page.on('console', (message) => message.type() === 'error' && problems.push(message.text()))
  await page.route('**/*', async (route) => {
    const answer = await servePage(new Request(route.request().url()))
    const body = Buffer.from(await answer.arrayBuffer())
    await route.fulfill({ status: answer.status, headers: Object.fromEntries(answer.headers), body })
  })
  await connectEngine(page, host)
  opened.push(async () => {
    host.stop()
    await page.close()
  })
  return { page, problems, children, origin, open: () => page.goto(`${origin}/index.html`) }
}

async function connectEngine(page: Page, host: ReturnType<typeof createHost>['host']): Promise<void> {
  const ports: MessagePort[] = []
  const toPage = (call: keyof InPage, args: unknown[]) =>
    page
      .evaluate(([name, values]) => (globalThis as unknown as Record<string, (...all: unknown[]) => void>)[name]?.(...values), [
        call,
        args,
      ] as const)
      .catch(() => {}) // the page was closed
  const client = {
    deliver(message: EngineMessage | EngineLostMessage, [port]: MessagePort[]) {
      const number = port && ports.push(port) - 1
      void toPage('deliver', [message, number])
      port?.on('message', (reply) => void toPage('fromEngine', [number, reply]))
    },
  }
  await page.exposeFunction('toEngine', (port: number, message: unknown) => ports[port]?.postMessage(message))
  await page.exposeFunction('connectEngine', () => host.connect(client))
  await page.addInitScript(standIn)
}
