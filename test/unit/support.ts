// What the unit tests share. Nothing here needs the native add-on.
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import * as assert from 'uvu/assert'
import { ClipEsError, type ErrorCode } from '../../ts/index.js'

export const root = resolve(__dirname, '../..')
export const modelPath = join(root, 'models/emoji-clip.pt')
/** Another model with the whole vocabulary: its weights are random. */
export const otherModelPath = join(root, 'test/golden/vit-small-random.pt')

const temporary: string[] = []
process.on('exit', () => {
  for (const folder of temporary) rmSync(folder, { recursive: true, force: true })
})

/** An empty folder that is gone when the process ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-test-'))
  temporary.push(folder)
  return folder
}

/** Paths and files in a folder; `reset` makes it another, empty one. */
export function testFolder() {
  let folder = ''
  const at = (...parts: string[]) => join(folder, ...parts)
  return {
    reset: () => {
      folder = temporaryFolder()
    },
    at,
    write: (path: string, content: string | Uint8Array = '') => {
      mkdirSync(join(at(path), '..'), { recursive: true })
      writeFileSync(at(path), content)
    },
  }
}

/** What a promise rejects with; that it resolves is a failure. */
export async function reasonOf(promise: Promise<unknown>): Promise<unknown> {
  const [outcome] = await Promise.allSettled([promise])
  if (outcome?.status === 'rejected') return outcome.reason
  throw new assert.Assertion({
    message: 'the promise resolved',
    operator: 'rejects',
    expects: 'an error',
    actual: outcome?.value,
  })
}

/** The message of what a promise rejects with. */
export const messageOf = async (promise: Promise<unknown>) => ((await reasonOf(promise)) as Error).message

/** The promise rejects with this code and a message with all these parts. */
export async function rejects(promise: Promise<unknown>, code: ErrorCode, ...parts: (string | RegExp)[]): Promise<void> {
  const reason = await reasonOf(promise)
  if (!(reason instanceof ClipEsError)) throw reason
  assert.is(reason.code, code, reason.message)
  assert.is(reason.name, 'ClipEsError')
  for (const part of parts) assert.match(reason.message, part)
}

/** The whole message of a call that is refused as a wrong argument. */
export function refusal(call: () => unknown): string {
  try {
    call()
  } catch (error) {
    if (!(error instanceof ClipEsError)) throw error
    assert.is(error.code, 'ERR_INVALID_ARG', error.message)
    return error.message
  }
  assert.unreachable('nothing was refused')
  return ''
}

/** How many files of a folder this process has open. */
export function openBelow(folder: string): number {
  const targets = readdirSync('/proc/self/fd').map((descriptor) => {
    try {
      return readlinkSync(`/proc/self/fd/${descriptor}`)
    } catch {
      return '' // of the list itself
    }
  })
  return targets.filter((target) => target.startsWith(`${folder}/`)).length
}
