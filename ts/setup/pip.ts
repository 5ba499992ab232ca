import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { pythonCommand } from './python.js'

/** What pip brought, or why it brought nothing. */
export type PipResult = { wheel: string } | { reason: string }

function run(command: string, args: string[]): Promise<{ status: number | null; output: string }> {
  return new Promise((done, failed) => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let output = ''
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += text))
    child.on('error', failed).on('close', (status) => done({ status, output }))
  })
}

/**
 * Downloads one wheel with the user's pip, which knows the proxies, mirrors and wheel folders that they configured.
 * `extra` are further arguments, for example the platform. The wheel lies in `folder` afterwards.
 */
export async function pipDownload(requirement: string, extra: readonly string[], folder: string): Promise<PipResult> {
  const python = pythonCommand()
  if (!python) return { reason: 'there is no python3 on PATH' }
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  const args = [
    '-m',
    'pip',
    'download',
    requirement,
    '--no-deps',
    '--only-binary=:all:',
    '--no-input',
    '--retries',
    '1',
    '-d',
    folder,
  ]
  const { status, output } = await run(python, [...args, ...extra])
  const wheel = readdirSync(folder).find((name) => name.endsWith('.whl'))
  if (status === 0 && wheel) return { wheel: join(folder, wheel) }
  const errors = output.split('\n').filter((line) => /^ERROR|No module named/.test(line.trim()))
  return { reason: errors.at(-1)?.trim() ?? `pip ended with status ${status}` }
}
