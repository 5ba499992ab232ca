// Processes of the tests with several machines: what they print, and how they end.
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'

export const sleep = (seconds: number): Promise<void> => new Promise((wake) => setTimeout(wake, 1000 * seconds))

/** Waits until a condition holds, and fails if it takes too long. */
export async function until(what: string, holds: () => boolean | Promise<boolean>, seconds = 240): Promise<void> {
  const end = performance.now() + 1000 * seconds
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`waited ${seconds} s in vain: ${what}`)
    await sleep(0.05)
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as { port: number }
  server.close()
  return port
}

/** A process with what it has printed. */
export class Program {
  output = ''
  readonly ended: Promise<number | null>
  isRunning = true

  constructor(
    readonly child: ChildProcess,
    readonly name: string,
  ) {
    child.stdout?.on('data', (text) => (this.output += text))
    child.stderr?.on('data', (text) => (this.output += text))
    this.ended = once(child, 'close').then(([status]) => {
      this.isRunning = false
      return status as number | null
    })
  }

  signal(name: NodeJS.Signals): void {
    this.child.kill(name)
  }

  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }

  async says(pattern: RegExp, seconds = 240): Promise<void> {
    await until(`${this.name} says ${pattern}; it says:\n${this.output}`, () => pattern.test(this.output), seconds)
  }
}
