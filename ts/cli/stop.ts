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
 * Aborts with a `Stopped` when the user interrupts the command, or nobody reads its standard output any more. Who calls this ends
 * the work by itself; until then, and at a second signal, the process ends at once.
 */
export function stopSignal(): AbortSignal {
  graceful = true
  return controller.signal
}

function onSignal(name: 'SIGINT' | 'SIGTERM' | 'SIGHUP'): void {
  const status = 128 + constants.signals[name]
  if (!graceful || controller.signal.aborted) process.exit(status)
  controller.abort(new Stopped(name === 'SIGINT' ? 'interrupted' : `ended by ${name}`, status))
}

/** A pipe whose reader has left, as in `clip-es … | head`, is no failure of ours; any other error is. */
function onOutputError(error: NodeJS.ErrnoException): void {
  if (error.code !== 'EPIPE') {
    complain(`clip-es: standard output cannot be written (${error.message})`)
    process.exit(1)
  }
  if (graceful) controller.abort(new Stopped('nobody reads the standard output any more', 1))
}

/** To be called once, before any command runs. */
export function listenForStops(): void {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => onSignal(name))
  process.stdout.on('error', onOutputError)
  process.stderr.on('error', () => undefined) // there is nowhere left to say so
}
