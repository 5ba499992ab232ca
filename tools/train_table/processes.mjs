import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '../..')

/** Runs a program whose output is of no interest unless it fails. */
export async function run(program, args) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] })
  let output = ''
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (output = (output + text).slice(-6000)))
  const [status, signal] = await new Promise((done, failed) => child.on('error', failed).on('close', (...how) => done(how)))
  if (status !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${signal ?? `status ${status}`}:\n${output}`)
}

export const clipEs = (args) => run(process.execPath, [join(root, 'cli/dist/main.js'), ...args])

export const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'))

/** Does the tasks in their order, several at a time. */
export async function inParallel(tasks, jobs, work) {
  const left = [...tasks]
  const worker = async () => {
    for (let task = left.shift(); task !== undefined; task = left.shift()) await work(task)
  }
  await Promise.all(Array.from({ length: jobs }, worker))
}
