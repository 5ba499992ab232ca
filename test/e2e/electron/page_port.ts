// A page of the Electron example without a browser: it sends requests to the engine and waits for the replies.
import type { MessagePort } from 'node:worker_threads'
import type { EngineMessage, PhotoRequest, Reply, Request, WordsRequest } from '../../../examples/electron/contract.js'
import type { Client, createHost } from './processes.js'

type Asked<T extends Request> = Omit<T, 'id'>

/** One connection to the engine. */
export class PagePort {
  readonly #port: MessagePort
  readonly #replies: Reply[] = []
  readonly #waiting = new Set<() => void>()
  #closed = false
  #nextId = 1

  constructor(port: MessagePort) {
    this.#port = port
    const wake = () => {
      for (const look of this.#waiting) look()
    }
    port.on('message', (reply: Reply) => {
      this.#replies.push(reply)
      wake()
    })
    port.on('close', () => {
      this.#closed = true
      wake()
    })
  }

  /** The first reply that matches, past or future. Rejects if the port closes before. */
  reply<T extends Reply>(matches: (reply: Reply) => boolean): Promise<T> {
    return new Promise((resolve, reject) => {
      const look = () => {
        const found = this.#replies.find(matches)
        if (!found && !this.#closed) return
        this.#waiting.delete(look)
        if (found) resolve(found as T)
        else reject(new Error('the port was closed'))
      }
      this.#waiting.add(look)
      look()
    })
  }

  /** Sends a request and returns its number. */
  send(request: Asked<PhotoRequest> | Asked<WordsRequest>): number {
    const id = this.#nextId++
    this.#port.postMessage({ ...request, id })
    return id
  }

  ask<T extends Reply>(request: Asked<PhotoRequest> | Asked<WordsRequest>): Promise<T> {
    const id = this.send(request)
    return this.answer(id)
  }

  answer<T extends Reply>(id: number): Promise<T> {
    return this.reply((reply) => 'id' in reply && reply.id === id)
  }

  abort(id: number): void {
    this.#port.postMessage({ type: 'abort', id })
  }

  close(): void {
    this.#port.close()
  }
}

/** Connects a page. `next()` is the port that the host delivers next, after a restart. */
export function connect(host: ReturnType<typeof createHost>['host']) {
  const messages: Parameters<Client['deliver']>[0][] = []
  const ports: PagePort[] = []
  let delivered = () => {}
  const client: Client = {
    deliver(message, [port]) {
      messages.push(message)
      if (port) ports.push(new PagePort(port))
      delivered()
    },
  }
  host.connect(client)
  const next = () =>
    new Promise<void>((resolve) => {
      delivered = resolve
    })
  return { client, messages, page: ports[0] as PagePort, ports, next }
}

export type { EngineMessage }
