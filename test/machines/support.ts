// A real redis-server, and real producers and workers.
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Redis } from 'ioredis'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { defaultName } from '../../cli/src/queue/options.js'
import { Keys } from '../../cli/src/queue/runs.js'
import { status, statusLines } from '../../cli/src/queue/status.js'
import { type JournalEntry, readJournal } from '../../cli/src/results/journal.js'
import { emojiNames, makeDemoSet } from '../e2e/demo_set.js'
import { freePort, Program } from './program.js'

const main = join(__dirname, '../../cli/dist/main.js')

/** Why tests of this kind cannot run here, or undefined. */
export const lacksRedis: string | undefined =
  spawnSync('redis-server', ['--version']).error && 'there is no redis-server: install it'

/** Why a Redis with TLS cannot be tested here, or undefined. */
export const lacksTls: string | undefined =
  spawnSync('openssl', ['version']).error && 'certificates cannot be made here: there is no openssl'

export interface StartOptions {
  env?: Record<string, string>
  /** A command in front, such as ip netns exec NAME. */
  before?: string[]
  cwd?: string
  /** The command's main.js: another version. */
  program?: string
}

/** A folder with a data set, a Redis and everything that runs there. */
export class Place {
  readonly folder = mkdtempSync(join(tmpdir(), 'clip-es-machines-'))
  readonly #programs: Program[] = []
  host = '127.0.0.1'
  #port = 0
  #scheme = 'redis'
  #redis: Program | undefined
  #redisOptions: string[] = []

  path = (...parts: string[]): string => join(this.folder, ...parts)

  get url(): string {
    return `${this.#scheme}://${this.host}:${this.#port}`
  }

  /** What Redis answers to a command. */
  async command(...words: string[]): Promise<string> {
    return await this.#ask(new Redis(this.url), words)
  }

  /** The same for a user of its access control list. */
  async commandAs(username: string, password: string, ...words: string[]): Promise<string> {
    return await this.#ask(new Redis(this.url, { username, password }), words)
  }

  async #ask(redis: Redis, [name = '', ...rest]: string[]): Promise<string> {
    try {
      return String(await redis.call(name, ...rest))
    } catch (error) {
      return String(error)
    } finally {
      redis.disconnect()
    }
  }

  /** A data set of small photos: set/photos, set/labels.csv. */
  async makePhotos(count: number, size = 48): Promise<void> {
    await makeDemoSet(this.path('large'), Math.min(count, 60))
    const lines = readFileSync(this.path('large/labels.csv'), 'utf8').trim().split('\n').slice(1)
    const named: string[] = []
    for (let i = 0; i < count; i++) {
      const [photo = '', labels] = (lines[i % lines.length] as string).split(',')
      const name = `${String(Math.floor(i / 100)).padStart(2, '0')}/${String(i).padStart(4, '0')}.png`
      mkdirSync(this.path('set/photos', name.slice(0, 2)), { recursive: true })
      await sharp(this.path('large/photos', photo))
        .resize(size + (i % 7), size)
        .modulate({ brightness: 0.8 + 0.01 * (i % 40) })
        .toFile(this.path('set/photos', name))
      named.push(`${name},${labels}`)
    }
    writeFileSync(this.path('set/labels.csv'), `image,labels\n${named.join('\n')}\n`)
  }

  /** Starts a Redis, on the same port as before. */
  async startRedis(...options: string[]): Promise<void> {
    this.#port ||= await freePort()
    this.#redisOptions = options
    mkdirSync(this.path('redis'), { recursive: true })
    const own = ['--port', String(this.#port), '--dir', this.path('redis'), '--save', '', '--protected-mode', 'no']
    this.#redis = this.#keep(spawn('redis-server', [...own, ...options], { stdio: ['ignore', 'pipe', 'pipe'] }), 'redis-server')
    await this.#redis.says(/Ready to accept connections/)
  }

  /** Starts a Redis that speaks only TLS, with the certificate of an authority of its own: ca.pem. */
  async startRedisWithTls(): Promise<void> {
    const openssl = (...args: string[]) => execFileSync('openssl', args, { cwd: this.folder, stdio: 'pipe' })
    const request = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    openssl(...request, '-x509', '-days', '2', '-subj', '/CN=an authority', '-keyout', 'ca.key', '-out', 'ca.pem')
    openssl(...request, '-subj', '/CN=redis', '-keyout', 'redis.key', '-out', 'redis.csr')
    writeFileSync(this.path('names'), 'subjectAltName=IP:127.0.0.1\n')
    const signed = ['-CA', 'ca.pem', '-CAkey', 'ca.key', '-CAcreateserial', '-days', '2', '-extfile', 'names']
    openssl('x509', '-req', '-in', 'redis.csr', '-out', 'redis.pem', ...signed)
    this.#scheme = 'rediss'
    this.#port = await freePort()
    const files = ['--tls-cert-file', 'redis.pem', '--tls-key-file', 'redis.key', '--tls-ca-cert-file', 'ca.pem']
    const whole = files.map((word) => (word.startsWith('--') ? word : this.path(word)))
    await this.startRedis('--port', '0', '--tls-port', String(this.#port), '--tls-auth-clients', 'no', ...whole)
  }

  async killRedis(): Promise<void> {
    await this.#redis?.kill()
  }

  /** Without an append-only file it comes back empty. */
  restartRedis = (): Promise<void> => this.startRedis(...this.#redisOptions)

  #keep(child: ChildProcess, name: string): Program {
    const program = new Program(child, name)
    this.#programs.push(program)
    return program
  }

  start(args: string[], { env, before = [], cwd, program = main }: StartOptions = {}): Program {
    const [command = '', ...rest] = [...before, process.execPath, program, ...args]
    const { CLIP_ES_MODEL: _, ...own } = process.env
    const child = spawn(command, rest, { cwd: cwd ?? this.folder, env: { ...own, ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    return this.#keep(child, args[0] as string)
  }

  /** @param options.stalledAfter seconds. Short, so that a test of a fault ends soon */
  worker(args: string[] = [], { stalledAfter = 5, ...options }: StartOptions & { stalledAfter?: number } = {}): Program {
    return this.start(['worker', this.url, '--threads', '1', '--stalled-after', String(stalledAfter), ...args], options)
  }

  /**
   * A worker whose jobs go to nobody else, also on a slow machine: each photo is done once. If Redis is killed between giving it a job and saying so, the job
   * waits for as long.
   */
  patientWorker = (): Program => this.worker([], { stalledAfter: 60 })

  readonly source = ['--folder', 'set/photos', '--labels', 'set/labels.csv']

  producer(out: string, args: string[] = [], options?: StartOptions): Program {
    return this.start(['dataset', ...this.source, '-o', out, '--queue', this.url, ...args], options)
  }

  async local(out: string, ...args: string[]): Promise<string> {
    const program = this.start(['dataset', ...this.source, '-o', out, ...args])
    await program.ended
    return program.output
  }

  operate(operation: string, ...args: string[]): string {
    const { CLIP_ES_MODEL: _, ...env } = process.env
    return execFileSync(process.execPath, [main, 'queue', operation, this.url, ...args], {
      encoding: 'utf8',
      env,
      cwd: this.folder,
    })
  }

  /** What `clip-es queue status` prints, without a process of its own. */
  async status(): Promise<string> {
    const redis = new Redis(this.url)
    try {
      return statusLines(await status(redis, new Keys(defaultName)), defaultName).join('\n')
    } finally {
      redis.disconnect()
    }
  }

  /** Ends every process but Redis. */
  async stop(): Promise<void> {
    for (const program of this.#programs) if (program.isRunning && program !== this.#redis) await program.kill()
  }

  async remove(): Promise<void> {
    await this.stop()
    await this.killRedis()
    rmSync(this.folder, { recursive: true, force: true })
  }

  /** A labels file that names every class of the embedded model for each photo. */
  makeLabels(file: string, photos: readonly string[]): void {
    const lines = photos.map((photo) => `${photo}.png,${emojiNames.join(';')}`)
    writeFileSync(this.path(file), `image,labels\n${lines.join('\n')}\n`)
  }

  read = (file: string): Buffer => readFileSync(this.path(file))

  /** Removes a folder. */
  empty = (folder: string): void => rmSync(this.path(folder), { recursive: true, force: true })

  /** How many files are below a folder. */
  count(folder: string): number {
    if (!existsSync(this.path(folder))) return 0
    return readdirSync(this.path(folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile()).length
  }

  /** Files below a folder by name, with their content. */
  files(folder: string): Map<string, string> {
    if (!existsSync(this.path(folder))) return new Map()
    const entries = readdirSync(this.path(folder), { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile())
    const paths = entries.map((entry) => join(entry.parentPath ?? entry.path, entry.name)).sort()
    return new Map(paths.map((path) => [path.slice(this.path(folder).length + 1), readFileSync(path, 'base64')]))
  }

  /** The lines of the journal of all processes that tell of a success. */
  journalLines(out: string): JournalEntry[] {
    return readdirSync(this.path(out, 'journal'))
      .filter((name) => name.endsWith('.jsonl'))
      .flatMap((name) => readFileSync(this.path(out, 'journal', name), 'utf8').split('\n'))
      .flatMap((line) => (line.startsWith('{') && line.endsWith('}') ? [JSON.parse(line) as JournalEntry] : []))
      .filter(({ failed }) => failed === undefined)
  }

  /** Nothing is lost, doubled or half written: the same files as a local run, byte for byte, and the same entries of the journal. */
  assertSame(out: string, local: string, except: readonly string[] = []): void {
    const expected = this.files(join(local, 'masks'))
    for (const id of except) expected.delete(`${id}.png`)
    const found = this.files(join(out, 'masks'))
    assert.equal([...found.keys()], [...expected.keys()], 'the same masks')
    for (const [name, bytes] of expected) assert.ok(found.get(name) === bytes, `${name} differs from the local run's`)
    const entries = (folder: string): string[] =>
      [...readJournal(this.path(folder)).values()]
        .filter(({ failed, id }) => failed === undefined && !except.includes(id))
        .sort((a, b) => (a.id < b.id ? -1 : 1))
        .map((entry) => JSON.stringify(entry))
    const [made, wanted] = [entries(out), entries(local)]
    assert.is(made.length, wanted.length, 'as many entries in the journal')
    assert.is(
      made.find((entry, i) => entry !== wanted[i]),
      undefined,
      'the same journal',
    )
    for (const name of readdirSync(this.path(out)))
      if (name.startsWith('.partial')) assert.equal(readdirSync(this.path(out, name)), [], 'no half file')
  }
}

/** NODE_OPTIONS of a process that has a script in front of everything else. */
export function withScript(place: Place, name: string, script: string): Record<string, string> {
  writeFileSync(place.path(name), script)
  return { NODE_OPTIONS: `--require ${place.path(name)}` }
}
