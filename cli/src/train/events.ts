import { spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

// The training program's words: JSON lines on its standard output.

export interface StartEvent {
  event: 'start'
  /** Where it begins: more than 0 when it goes on from a checkpoint. */
  iteration: number
  parameters: number
  device: string
  threads: number
  resumed: boolean
}

export interface IterationEvent {
  event: 'iteration'
  iteration: number
  loss: number
  learningRate: number
  seconds: number
  /** Of these, for pictures. */
  waited: number
}

export interface ValidationEvent {
  event: 'validation'
  iteration: number
  miou: number
  iou: (number | null)[]
  pictures: string[]
}

export interface CheckpointEvent {
  event: 'checkpoint'
  iteration: number
  path: string
}

export interface EndEvent {
  event: 'end'
  iteration: number
  best: { iteration: number; miou: number } | null
}

interface ErrorEvent {
  event: 'error'
  code: string
  message: string
}

export type TrainEvent = StartEvent | IterationEvent | ValidationEvent | CheckpointEvent | EndEvent

/** An error that the program reported, with its code. */
export const programError = (code: string, message: string): Error => Object.assign(new Error(message), { code })

/** Why a program ended that did not say so itself. */
export function endReason(status: number | null, killedBy: NodeJS.Signals | null, errors: string): Error {
  if (killedBy === 'SIGKILL')
    return programError('ERR_OUT_OF_MEMORY', 'the training program was killed (SIGKILL), as the system does when memory is short')
  const how = killedBy ?? `status ${status}`
  const said = errors.trim() === '' ? '' : `: ${errors.trim().split('\n').slice(-5).join('\n')}`
  return programError('ERR_INTERNAL', `the training program ended with ${how}${said}`)
}

/** Undefined for a line that a killed program left unfinished. */
function parseEvent(line: string): TrainEvent | ErrorEvent | undefined {
  try {
    return JSON.parse(line) as TrainEvent | ErrorEvent
  } catch {
    return undefined
  }
}

/**
 * Runs the training program on a job, and hands over what it reports. When the signal aborts, the program saves a checkpoint and ends; it is in a
 * group of its own, so that Ctrl-C on a terminal does not interrupt it twice.
 * @throws the error that the program reports, or the signal's reason
 */
export async function runTraining(
  program: string,
  job: string,
  signal: AbortSignal,
  onEvent: (event: TrainEvent) => void | Promise<void>,
): Promise<void> {
  signal.throwIfAborted()
  const child = spawn(program, ['train', job], { stdio: ['ignore', 'pipe', 'pipe'], detached: true })
  let errors = ''
  child.stderr.on('data', (text: Buffer) => (errors = (errors + text).slice(-10000)))
  const closed = new Promise<[number | null, NodeJS.Signals | null]>((done, failed) =>
    child.on('error', failed).on('close', (...how) => done(how)),
  )
  closed.catch(() => undefined) // awaited below
  const interrupt = () => void child.kill('SIGINT')
  signal.addEventListener('abort', interrupt)
  let failed: ErrorEvent | undefined
  try {
    for await (const line of createInterface({ input: child.stdout })) {
      const event = parseEvent(line)
      if (event?.event === 'error') failed = event
      else if (event) await onEvent(event)
    }
    const [status, killedBy] = await closed
    if (failed) throw programError(failed.code, failed.message)
    if (status === 0) return
    signal.throwIfAborted()
    throw endReason(status, killedBy, errors)
  } finally {
    signal.removeEventListener('abort', interrupt)
    if (child.exitCode === null && child.signalCode === null) interrupt() // this side failed
  }
}
