import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface, type Interface } from 'node:readline'
import { peerEnvironment } from './peer_environment.js'

/** What one request cost: the processor's seconds of the whole process, and the most memory it ever held. */
export interface Cost {
  cpu: number
  wall?: number
  peakMegabytes: number
  [detail: string]: unknown
}

/** A process that answers requests, one JSON line each. It is idle between them, so that several can take turns on one core. */
export class Worker {
  private readonly child: ChildProcess
  private readonly lines: AsyncIterableIterator<string>
  private readonly reader: Interface
  private errors = ''

  private constructor(
    readonly name: string,
    command: string,
    args: readonly string[],
    threads: number,
  ) {
    const env = peerEnvironment(threads)
    this.child = spawn(command, args, { env, stdio: ['pipe', 'pipe', 'pipe'] })
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.errors = (this.errors + chunk.toString()).slice(-2000)
    })
    this.child.on('error', (error) => {
      this.errors = error.message
    })
    this.child.stdin?.on('error', () => {}) // the process has ended: the next line that does not come says so
    this.reader = createInterface({ input: this.child.stdout as NodeJS.ReadableStream })
    this.lines = this.reader[Symbol.asyncIterator]()
  }

  /** Starts the process and waits until it is ready. Rejects with the last line it wrote to stderr. */
  static async start(name: string, command: string, args: readonly string[], threads: number): Promise<Worker> {
    const worker = new Worker(name, command, args, threads)
    await worker.answer()
    return worker
  }

  async ask(request: object): Promise<Cost> {
    this.child.stdin?.write(`${JSON.stringify(request)}\n`)
    return (await this.answer()) as Cost
  }

  stop(): void {
    this.child.stdin?.end()
    this.reader.close()
  }

  private async answer(): Promise<unknown> {
    const { value, done } = await this.lines.next()
    if (!done) return JSON.parse(value)
    const last = this.errors.trim().split('\n').at(-1)
    throw new Error(last || `${this.name} ended without an answer`)
  }
}
