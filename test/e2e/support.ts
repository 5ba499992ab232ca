import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export const root = join(__dirname, '../..')
export const main = join(root, 'cli/dist/main.js')
export const scenes = join(root, 'models/scenes')

/** What a run of the command left. */
export interface Ended {
  status: number | null
  stdout: string
  stderr: string
}

/** A folder to work in, with the command run there. Variables of the tester's own are left out, but for the LibTorch. */
export class Workplace {
  readonly folder = mkdtempSync(join(tmpdir(), 'clip-es-e2e-'))

  constructor() {
    if (!existsSync(main)) throw new Error(`${main} is missing: npm run build`)
  }

  path(...parts: string[]): string {
    return join(this.folder, ...parts)
  }

  env(more: Record<string, string> = {}): NodeJS.ProcessEnv {
    const { CLIP_ES_MODEL: _, ...rest } = process.env
    return { ...rest, ...more }
  }

  run(args: string[], env?: Record<string, string>): SpawnSyncReturns<string> {
    return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: this.folder, env: this.env(env) })
  }

  start(args: string[]): { child: ChildProcess; ended: Promise<Ended> } {
    const child = spawn(process.execPath, [main, ...args], {
      cwd: this.folder,
      env: this.env(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let [stdout, stderr] = ['', '']
    child.stdout?.on('data', (text: Buffer) => (stdout += text))
    child.stderr?.on('data', (text: Buffer) => (stderr += text))
    return { child, ended: once(child, 'close').then(([status]) => ({ status: status as number | null, stdout, stderr })) }
  }

  /** Every file below a folder, by its path from there. */
  files(folder: string): string[] {
    return readdirSync(this.path(folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath ?? entry.path, entry.name).slice(this.path(folder).length + 1))
      .sort()
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}

/** The objects of --json. */
export function jsonLines(stdout: string): Record<string, never>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .filter(Boolean)
    .map((line) => JSON.parse(line) as Record<string, never>)
}
