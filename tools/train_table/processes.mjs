import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** Runs a program whose output is of no interest unless it fails. */
export function run(program, args) {
  const { status, signal, stdout, stderr, error } = spawnSync(program, args, { encoding: 'utf8', maxBuffer: 2 ** 30 })
  if (error) throw error
  if (status === 0) return stdout
  throw new Error(
    `${program} ${args.join(' ')} ended with ${signal ?? `status ${status}`}:\n${stdout.slice(-2000)}\n${stderr.slice(-4000)}`,
  )
}

export const clipEs = (args) => run(process.execPath, [join(root, 'cli/dist/main.js'), ...args])

export const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))
