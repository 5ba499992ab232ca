// Programs that run in a process of their own, on the compiled package, so that a test can check how it ends: status, signal and output.
import { spawnSync } from 'node:child_process'
import { resolve } from 'node:path'
import * as assert from 'uvu/assert'

const root = resolve(__dirname, '../..')
const model = resolve(root, 'models/emoji-clip.pt')

type Clip = typeof import('../../ts/index.js')
type Segmenter = import('../../ts/index.js').Segmenter
type LoadOptions = import('../../ts/index.js').LoadOptions

/** What every program has at hand. It is sent to the process as source: nothing of this file is known in it. */
function makeTools(clip: Clip, modelPath: string, packageRoot: string) {
  const { readdirSync } = require('node:fs') as typeof import('node:fs')
  const sleep = (milliseconds: number) => new Promise<void>((done) => setTimeout(done, milliseconds))
  return {
    ...clip,
    sleep,
    packageRoot,
    load: (options: LoadOptions = {}) => clip.Segmenter.load(modelPath, { threads: 2, ...options }),
    words: (segmenter: Segmenter) => segmenter.encodeClasses(['cat', 'dog'], { background: ['grass'] }),
    /** RGB noise, always the same. */
    photo: (width: number, height: number) => {
      const data = new Uint8Array(width * height * 3)
      for (let i = 0, state = 1; i < data.length; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) >>> 0
        data[i] = state >>> 24
      }
      return { data, width, height }
    },
    /** Of the operating system, in this process. */
    threads: () => readdirSync('/proc/self/task').length,
    /** Resident memory in MB. */
    rss: () => process.memoryUsage.rss() / 1e6,
    median: (values: readonly number[]) => [...values].sort((a, b) => a - b)[values.length >> 1] as number,
    /** Waits until it holds; false when it does not within so many seconds. */
    until: async (holds: () => boolean, seconds: number) => {
      for (const end = performance.now() + seconds * 1000; performance.now() < end; await sleep(20)) if (holds()) return true
      return holds()
    },
  }
}

export type Tools = ReturnType<typeof makeTools>
type Body<D> = (tools: Tools, data: D) => unknown

/** A program's source, which a worker thread can run, too. It knows its tools, its data, and what it requires, and nothing around it. */
export function program<D>(body: Body<D>, data?: D): string {
  const [clip, path, folder] = [root, model, root].map((text) => JSON.stringify(text))
  return `
    const __name = (f) => f // esbuild calls it
    const tools = (${makeTools})(require(${clip}), ${path}, ${folder})
    const main = async () => await (${body})(tools, ${JSON.stringify(data)})
    main().then((result) => {
      const { isMainThread, parentPort } = require('node:worker_threads')
      if (isMainThread) require('node:fs').writeSync(1, '\\nresult ' + JSON.stringify(result ?? null) + '\\n')
      else parentPort.postMessage(result ?? null)
    })`
}

export interface Ended {
  status: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

interface Options<D> {
  data?: D
  flags?: readonly string[]
  env?: NodeJS.ProcessEnv
  /** After which the process counts as hanging and is killed. */
  seconds?: number
}

/** Runs a program to whatever end it takes. */
export function end<D = undefined>(body: Body<D>, { data, flags = [], env = {}, seconds = 120 }: Options<D> = {}): Ended {
  const { status, signal, stdout, stderr, error } = spawnSync(process.execPath, [...flags, '-e', program(body, data as D)], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    encoding: 'utf8',
    timeout: seconds * 1000,
    killSignal: 'SIGKILL',
  })
  const hung = (error as NodeJS.ErrnoException | undefined)?.code === 'ETIMEDOUT'
  if (error && !hung) throw error
  assert.ok(!hung, `the process had not ended after ${seconds} seconds; it said: ${stdout}${stderr}`)
  return { status, signal, stdout, stderr }
}

/** Runs a program that ends well and in silence; what its body returns. */
export function run<T, D = undefined>(body: (tools: Tools, data: D) => Promise<T>, options: Options<D> = {}): T {
  const { status, signal, stdout, stderr } = end<D>(body, options)
  assert.equal({ status, signal, stderr }, { status: 0, signal: null, stderr: '' })
  const result = /^result (.*)$/m.exec(stdout)?.[1]
  assert.ok(result, `the program ended before its result; it said: ${stdout}`)
  return JSON.parse(result) as T
}

/** The program ended as process.exit(7) ends a process, with nothing on stderr. */
export function exited({ status, signal, stderr }: Ended, how: string): void {
  assert.equal({ status, signal, stderr }, { status: 7, signal: null, stderr: '' }, how)
}

/** A worker thread's program: a segmenter that always has small jobs. */
export const smallJobs = program(async ({ load, words, photo }) => {
  const { parentPort } = require('node:worker_threads') as typeof import('node:worker_threads')
  const segmenter = await load({ threads: 1 })
  const classes = await words(segmenter)
  const image = photo(16, 16)
  parentPort?.postMessage('at work')
  const lane = async () => {
    for (;;) await segmenter.segment(image, classes)
  }
  await Promise.all(Array.from({ length: 40 }, lane))
})
