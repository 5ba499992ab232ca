import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { hostname } from 'node:os'
import { invalid, readRegularSync } from 'clip-es/support'

/** When a process began, in clock ticks since the machine did: with its number it is unmistakable. Undefined when it is gone. */
function beginning(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ').at(-1)?.split(' ')[19]
  } catch {
    return undefined
  }
}

/** A file that says which process of this machine works on something. A killed process leaves it behind; the next one replaces it. */
export class Lock {
  readonly #file: string

  /**
   * @param busy the message while another process works there
   * @throws ERR_INVALID_ARG with that message
   */
  constructor(file: string, busy: (pid: string) => string) {
    this.#file = file
    if (existsSync(file)) {
      const [host, pid, began] = readRegularSync(file).toString('utf8').trim().split(' ')
      if (host === hostname() && pid !== undefined && began !== undefined && beginning(Number(pid)) === began)
        throw invalid(busy(pid))
    }
    writeFileSync(file, `${hostname()} ${process.pid} ${beginning(process.pid)}\n`)
  }

  release(): void {
    rmSync(this.#file, { force: true })
  }
}
