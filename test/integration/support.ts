// What the integration tests share, with what they share with the unit tests.
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { type LoadOptions, Segmenter, type SegmentResult } from '../../ts/index.js'
import { modelPath, root } from '../unit/support.js'

export * from '../unit/support.js'

export const load = (path = modelPath, options: LoadOptions = {}): Promise<Segmenter> =>
  Segmenter.load(path, { threads: 2, precision: 'float32', ...options })

/** Three channels; what is in it, and what lies behind. */
export interface Scene {
  readonly data: Uint8Array
  readonly width: number
  readonly height: number
  readonly labels: string[]
  readonly background: string[]
}

/** One of the demo scenes, 'scene01' to 'scene12': 320 x 240 pixels. */
export async function scene(name: string): Promise<Scene> {
  const folder = join(root, 'models/scenes')
  const all = JSON.parse(readFileSync(join(folder, 'labels.json'), 'utf8')) as Record<string, Scene>
  const { labels, background } = all[name] as Scene
  const decoded = sharp(join(folder, `${name}.png`))
    .removeAlpha()
    .raw()
  const { data, info } = await decoded.toBuffer({ resolveWithObject: true })
  assert.is(info.channels, 3)
  return { data, width: info.width, height: info.height, labels, background }
}

/** The scene's upper left corner. */
export function crop({ data, width: from }: Scene, width: number, height: number) {
  const rows = Array.from({ length: height }, (_, y) => data.subarray(y * from * 3, (y * from + width) * 3))
  return { data: new Uint8Array(Buffer.concat(rows)), width, height }
}

/** A result, or an item of segmentAll() without its key, as far as it does not depend on time. */
export const withoutTimings = ({ timings, key, ...rest }: SegmentResult & { key?: number }) => rest

/** The share of elements that are the same in both. */
export function agreement(a: Uint8Array, b: Uint8Array): number {
  assert.is(a.length, b.length)
  return a.reduce((same, value, i) => same + Number(value === b[i]), 0) / a.length
}

export function largestDifference(a: Float32Array, b: Float32Array): number {
  assert.is(a.length, b.length)
  return a.reduce((most, value, i) => Math.max(most, Math.abs(value - (b[i] as number))), 0)
}

/**
 * Runs the body of an async function in a process of its own, where `clip` is the package. What it returns comes back as `result`;
 * an error as `error`.
 */
export function inChild(body: string, environment: Record<string, string | undefined> = {}) {
  const code = `const clip = require(${JSON.stringify(join(root, 'ts/index.ts'))});
    (async () => { ${body} })().then(
      (result) => console.log(JSON.stringify({ result })),
      ({ code, message }) => console.log(JSON.stringify({ error: { code, message } })),
    )`
  const env = { ...process.env, ...environment }
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--import', 'tsx', '-e', code], {
    cwd: root,
    env,
    encoding: 'utf8',
  })
  assert.is(status, 0, stderr)
  return { ...(JSON.parse(stdout) as { result?: unknown; error?: { code: string; message: string } }), stderr }
}
