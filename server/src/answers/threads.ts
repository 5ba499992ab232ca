import { availableParallelism } from 'node:os'
import { join } from 'node:path'
import { unlessAborted } from 'clip-es/support'
import { Piscina } from 'piscina'
import type { ServiceResult } from '../service/service.js'
import type * as work from './work.js'

type Work = typeof work
type Name = keyof Work

/** A result without its largest part, which only overlays need: what a thread gets is copied. */
export const withoutPixels = (result: ServiceResult): ServiceResult => ({
  ...result,
  photo: { ...result.photo, data: Buffer.alloc(0) },
})

/** Threads that make answers: see work.ts. They start when they are needed. */
export class AnswerThreads {
  readonly #pool = new Piscina({
    filename: join(__dirname, '../../dist/answers/work.js'), // the same file from src/ and from dist/
    minThreads: 0,
    maxThreads: Math.min(availableParallelism(), 4),
    idleTimeout: 600_000, // starting a thread takes longer than most answers
  })

  constructor() {
    // Of a thread that ended while it started. Its request goes to the next thread, or ends by its signal.
    this.#pool.on('error', () => undefined)
  }

  /** @param signal ends the waiting, not the work: ending a thread would cost the next request more */
  async run<N extends Name>(name: N, asked: Parameters<Work[N]>[0], signal: AbortSignal): Promise<Awaited<ReturnType<Work[N]>>> {
    return await unlessAborted(signal, this.#pool.run(asked, { name }))
  }

  async close(): Promise<void> {
    await this.#pool.destroy()
  }
}
