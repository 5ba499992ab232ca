import {
  lstatSync,
  mkdirSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  type Stats,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { threadId } from 'node:worker_threads'
import { invalid } from '../core/errors.js'
import { kindName, readRegularSync } from './read_regular.js'

const longestName = 255 // bytes, in ext4, xfs, btrfs, APFS and NTFS

/** Throws ERR_INVALID_ARG for a file name that no common file system takes. */
export function checkNameLength(file: string): void {
  const name = basename(file)
  const length = Buffer.byteLength(name)
  if (length > longestName)
    throw invalid(
      `its result would be called ${name}, which has ${length} bytes; file systems take up to ${longestName}: give the photo a shorter name`,
    )
}

const links = 40 // as many as Linux follows

/** Where a path's links lead to, whether or not a file is there yet. */
function behindLinks(file: string): string {
  let path = resolve(file)
  for (let count = 0; count < links; count++) {
    if (!lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink()) return path
    path = resolve(realpathSync(dirname(path)), readlinkSync(path))
  }
  return path // the file system reports the loop
}

/**
 * The place that a whole file can be renamed to: links stay links, and what they name is replaced.
 * @throws ERR_INVALID_ARG where something stands that is not a regular file: a rename would destroy a device
 */
export function replaceable(file: string): string {
  const target = behindLinks(file)
  const stats: Stats | undefined = statSync(target, { throwIfNoEntry: false })
  if (stats && !stats.isFile()) throw invalid(`${file} is ${kindName(stats)}; only regular files are replaced`)
  return target
}

/** A short name, so that a target's name may be as long as the file system takes. */
const temporaryName = (index: number): string => `.clip-es-${process.pid}-${threadId}-${index}.tmp`

/**
 * Writes a whole file or none: under another name in the same folder first, then renamed. Synchronous: an interrupt is handled between two
 * turns of the event loop and therefore finds neither half a file nor the temporary one.
 * @throws ERR_INVALID_ARG where something stands that is not a regular file, or the error of the file system
 */
export const writeWhole = (file: string, data: string | Uint8Array): void => writeAllWhole([[file, data]])

/**
 * Writes several files whole: all are written under other names first and renamed then, in their order, so a disk that gets full leaves none of
 * them.
 * @param folder for unfinished files, in the file system of the targets. Default: the folder of each target. Missing folders of targets are
 * created only with `folder`.
 */
export function writeAllWhole(files: readonly (readonly [file: string, data: string | Uint8Array])[], folder?: string): void {
  const moves: [from: string, to: string][] = []
  try {
    for (const [i, [file, data]] of files.entries()) {
      const to = replaceable(file)
      const from = join(folder ?? dirname(to), temporaryName(i))
      moves.push([from, to])
      writeFileSync(from, data)
    }
    if (folder !== undefined) for (const [, to] of moves) mkdirSync(dirname(to), { recursive: true })
    for (const [from, to] of moves) moveWhole(from, to)
  } finally {
    for (const [from] of moves) removeQuietly(from)
  }
}

/** A link can lead to another file system, where a rename is impossible. */
function moveWhole(from: string, to: string): void {
  try {
    renameSync(from, to)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EXDEV') throw error
    writeWhole(to, readRegularSync(from))
  }
}

/** The first error says more than one of cleaning up. */
function removeQuietly(file: string): void {
  try {
    rmSync(file, { force: true })
  } catch {
    // reported by what went wrong before
  }
}
