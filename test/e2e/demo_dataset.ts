// What the tests of `clip-es dataset` share: a data set of 60 photos made from the shipped scenes, and a look at what a run wrote.
import { type ChildProcessByStdio, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process'
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import type { Readable } from 'node:stream'
import sharp from 'sharp'
import * as assert from 'uvu/assert'
import { readCams } from '../../cli/src/formats/read_cams.js'
import { makeDemoSet } from './demo_set.js'
import { main } from './support.js'

export const count = 60
export const folder = mkdtempSync(join(tmpdir(), 'clip-es-dataset-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
export const photos = join(folder, 'set/photos')
export const labelsFile = join(folder, 'set/labels.csv')

/** Writes the photos and their labels. @returns the labels of each photo */
export const makePhotos = (): Promise<Map<string, string[]>> => makeDemoSet(join(folder, 'set'), count)

// These scenes need the embedded model.
delete process.env.CLIP_ES_MODEL

export const clipEs = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: folder })
const onPhotos = ['dataset', '--folder', photos, '--labels', labelsFile]
export const dataset = (...args: string[]) => clipEs(...onPhotos, ...args)
export const startDataset = (...args: string[]): ChildProcessByStdio<null, Readable, null> =>
  spawn(process.execPath, [main, ...onPhotos, ...args], { stdio: ['ignore', 'pipe', 'ignore'] })

/** The results of all photos, to compare other runs with. */
export const whole = join(folder, 'whole')

/** Paths of all files below a folder. */
export function files(dir: string, below = dir): string[] {
  if (!existsSync(dir)) return []
  return readdirSync(dir, { withFileTypes: true })
    .flatMap((entry) => {
      const path = join(dir, entry.name)
      return entry.isDirectory() ? files(path, below) : [relative(below, path)]
    })
    .sort()
}

export const masksOf = (out: string): Map<string, string> =>
  new Map(files(join(out, 'masks')).map((file) => [file, readFileSync(join(out, 'masks', file), 'base64')]))

/** No temporary file is left, and every file can be read whole. */
export async function assertWhole(out: string): Promise<void> {
  for (const file of files(out)) {
    if (file.startsWith('.partial')) continue
    assert.not.match(file, /\.tmp$/)
    if (file.endsWith('.png')) await sharp(readFileSync(join(out, file)), { failOn: 'warning' }).stats()
    if (file.endsWith('.npz')) await readCams(join(out, file))
  }
}
