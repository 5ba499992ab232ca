/**
 * @import { MessageChannelMain, MessagePortMain } from 'electron'
 * @import { EngineLostMessage, EngineMessage } from '../contract.js'
 */

/**
 * What the host needs of a UtilityProcess.
 * @typedef {{
 *   postMessage(message: unknown, transfer: MessagePortMain[]): void
 *   on(event: 'exit', listener: (code: number) => void): unknown
 *   kill(): boolean
 * }} EngineProcess
 *
 * A page.
 * @typedef {{ deliver(message: EngineMessage | EngineLostMessage, ports: MessagePortMain[]): void }} Client
 */

const mostRestarts = 3
const period = 60_000 // milliseconds

/** Starts the engine's process, connects pages to it, and starts it again if it ends unexpectedly. */
class EngineHost {
  #fork
  #createChannel
  /** @type {EngineProcess | undefined} */
  #process
  /** @type {Set<Client>} */
  #clients = new Set()
  /** When it was started again. @type {number[]} */
  #restarts = []
  #lost = ''

  /**
   * @param {() => EngineProcess} fork
   * @param {() => Pick<MessageChannelMain, 'port1' | 'port2'>} createChannel
   */
  constructor(fork, createChannel) {
    this.#fork = fork
    this.#createChannel = createChannel
  }

  /**
   * Gives a page its port, a new one each time.
   * @param {Client} client
   */
  connect(client) {
    this.#clients.add(client)
    this.#deliver(client, false)
  }

  /** @param {Client} client */
  disconnect(client) {
    this.#clients.delete(client)
  }

  stop() {
    const process = this.#process
    this.#process = undefined
    this.#clients.clear()
    process?.kill()
  }

  /**
   * @param {Client} client
   * @param {boolean} restarted
   */
  #deliver(client, restarted) {
    if (this.#lost) return client.deliver({ type: 'clip-es-engine-lost', message: this.#lost }, [])
    this.#process ??= this.#start()
    const { port1, port2 } = this.#createChannel()
    this.#process.postMessage('connect', [port1])
    client.deliver({ type: 'clip-es-engine', restarted }, [port2])
  }

  #start() {
    const process = this.#fork()
    process.on('exit', (code) => {
      if (this.#process === process) this.#restart(code) // else it was stopped
    })
    return process
  }

  /** @param {number} code */
  #restart(code) {
    this.#process = undefined
    const now = Date.now()
    this.#restarts = [...this.#restarts.filter((time) => now - time < period), now]
    if (this.#restarts.length > mostRestarts)
      this.#lost = `The engine stopped ${this.#restarts.length} times within a minute (exit code ${code}). Restart the application; if it happens again, use a smaller photo or a smaller model.`
    for (const client of this.#clients) this.#deliver(client, true)
  }
}

module.exports = { EngineHost }
