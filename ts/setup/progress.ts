import { SingleBar } from 'cli-progress'

/** Megabytes as people read them. */
export const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`

/** Told how many bytes are there, and of how many. */
export interface Progress {
  update(done: number, total: number): void
  stop(): void
}

/** A bar on a terminal, nothing elsewhere: the line that announces the work is enough for a log. */
export function progressBar(quiet: boolean): Progress {
  if (quiet || !process.stderr.isTTY) return { update: () => undefined, stop: () => undefined }
  const bar = new SingleBar({ format: '  {bar} {percentage}% | {done} of {size}', hideCursor: true, stopOnComplete: false })
  let started = false
  return {
    update(done, total) {
      const payload = { done: megabytes(done), size: megabytes(total) }
      if (!started) bar.start(total, done, payload)
      else bar.update(done, payload)
      started = true
    },
    stop() {
      if (started) bar.stop()
    },
  }
}
