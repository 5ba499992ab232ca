// Electron's utilityProcess.fork and MessageChannelMain for the example's EngineHost, made of Node's child_process and worker_threads.
import { fork as forkNode } from 'node:child_process'
import { join } from 'node:path'
import { MessageChannel, type MessagePort } from 'node:worker_threads'
import type { EngineLostMessage, EngineMessage } from '../../../examples/electron/contract.js'
import { root } from '../support.js'

export const example = join(root, 'examples/electron')

/** A child process as EngineHost uses it, and what only tests use. */
export interface Child {
  readonly pid: number
  postMessage(message: unknown, transfer: MessagePort[]): void
  on(event: 'exit', listener: (code: number) => void): void
  kill(): boolean
  /** Resolves when the process has ended. */
  readonly ended: Promise<void>
}

interface ForkOptions {
  env?: NodeJS.ProcessEnv
  /** Modules that the process loads first. */
  imports?: string[]
}

type FromChild = { port: number; data: unknown }

/** Runs a program of a utility process in a plain child process. */
function fork(program: string, { env = process.env, imports = [] }: ForkOptions = {}): Child {
  const child = forkNode(join(__dirname, 'child.cjs'), [program], {
    env,
    execArgv: imports.flatMap((file) => ['--require', file]),
    serialization: 'advanced', // as structured clone
  })
  const ports: MessagePort[] = []
  const send = (message: object) => child.connected && child.send(message)
  child.on('error', () => {}) // a message to a process that has just been killed
  child.on('message', ({ port, data }: FromChild) => ports[port]?.postMessage(data))
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  void ended.then(() => {
    for (const port of ports) port.close()
  })
  return {
    pid: child.pid as number,
    ended,
    postMessage(message, transfer) {
      for (const port of transfer) {
        const id = ports.push(port) - 1
        send({ connect: message, port: id })
        port.on('message', (data) => send({ port: id, data }))
        port.on('close', () => send({ port: id, close: true }))
      }
    },
    on: (event, listener) => void child.on(event, (code) => listener(code ?? -1)),
    kill: () => child.kill(),
  }
}

/** What EngineHost delivers to a page. */
export interface Client {
  deliver(message: EngineMessage | EngineLostMessage, ports: MessagePort[]): void
}

interface Host {
  connect(client: Client): void
  disconnect(client: Client): void
  stop(): void
}

/** The example's EngineHost. `children` are the processes that it has started. */
export function createHost(program: string, options?: ForkOptions): { host: Host; children: Child[] } {
  const { EngineHost } = require(join(example, 'main/engine_host.js')) as {
    EngineHost: new (fork: () => Child, createChannel: () => MessageChannel) => Host
  }
  const children: Child[] = []
  const start = () => {
    const child = fork(program, options)
    children.push(child)
    return child
  }
  const host = new EngineHost(start, () => new MessageChannel())
  hosts.push(host)
  return { host, children }
}

const hosts: Host[] = []

/** Ends all processes, also after a test that failed. */
export function stopHosts(): void {
  for (const host of hosts.splice(0)) host.stop()
}
