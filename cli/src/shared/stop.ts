import { constants } from 'node:os'
import { complain } from './say.js'

/** The command was stopped from outside: not a failure of its work. `status` is the exit status. */
export class Stopped extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message)
  }
}

const controller = new AbortController()
let graceful = false

/**
 * Aborts with a `Stopped` when the user interrupts the command, or nobody reads its standard output any more. The caller must then end its
 * work. Before the first call, and at a second signal, the process ends at once.
 */
export function stopSignal(): AbortSignal {
  graceful = true
  return controller.signal
}

type Signal = 'SIGINT' | 'SIGTERM' | 'SIGHUP'
const signals: readonly Signal[] = ['SIGINT', 'SIGTERM', 'SIGHUP']

let stopping = false

function onSignal(name: Signal): void {
  if (stopping) {
    endNow(name) // both came before this process could look
    return
  }
  stopping = true
  const status = 128 + constants.signals[name]
  if (!graceful) process.exit(status)
  setImmediate(leaveToSystem)
  controller.abort(new Stopped(name === 'SIGINT' ? 'interrupted' : `ended by ${name}`, status))
}

/** From here on a signal ends the process by itself: no thread that waits for a file, and no long computation, can keep it. */
function leaveToSystem(): void {
  for (const name of signals) process.removeAllListeners(name)
  if (process.stderr.isTTY) process.stderr.write(showCursor)
}

function endNow(name: Signal): void {
  leaveToSystem()
  process.kill(process.pid, name)
}

const showCursor = '\u001b[?25h' // a bar hides it

/** A pipe whose reader has left, as in `clip-es … | head`, is not a failure; any other error is. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') {
    complain(`clip-es: standard output cannot be written (${error.message})`)
    process.exit(1)
  }
  if (graceful) controller.abort(new Stopped('the program that reads standard output has ended', 1))
}

/** To be called once, before any command runs. */
export function listenForStops(): void {
  for (const name of signals) process.on(name, () => onSignal(name))
  process.stdout.on('error', onOutputError)
  process.stderr.on('error', () => undefined) // there is nowhere left to say so
}
