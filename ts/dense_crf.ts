import { types } from 'node:util'
import { allocate } from './core/allocate.js'
import { checkInteger, checkMemory, checkOptions, checkSignal, wrong } from './core/check.js'
import { invalid } from './core/errors.js'
import type { CrfOptions } from './core/segment_types.js'
import { defaultThreads } from './engine/cores.js'
import { crfOptionNames, resolveCrfOptions } from './engine/crf_options.js'
import { checkImage } from './engine/image.js'
import { Jobs } from './engine/jobs.js'
import { create, type NativeCrf } from './engine/native.js'

/** A photo and how much each label is there, pixel by pixel. */
export interface DenseCrfInput {
  /** width * height * 3 bytes. */
  rgb: Uint8Array | Uint8ClampedArray
  width: number
  height: number
  /** labels * height * width numbers of 0 or more: probabilities, or anything that grows with them. */
  scores: Float32Array
  /** How many labels there are, 1 to 255. */
  labels: number
}

export interface DenseCrfOptions extends CrfOptions {
  /** Threads of the call. Default: the physical cores. Calls with the same number share them, one after another. */
  threads?: number
  signal?: AbortSignal
}

export interface DenseCrfResult {
  /** height * width: the label that wins. Ties go to the lower one. */
  mask: Uint8Array
  /** height * width: its probability. */
  confidence: Float32Array
  /** labels * height * width: the marginals, which sum to 1 at every pixel. */
  marginals: Float32Array
}

const call = 'denseCrf()'
const optionNames = [...crfOptionNames, 'threads', 'signal'] as const

const maxQueue = 256
const mostEngines = 4

/** By number of threads, the least recently used first: calls reuse an engine's threads and memory. An idle engine keeps no process alive. */
const engines = new Map<number, Jobs<NativeCrf>>()

function engineFor(threads: number): Jobs<NativeCrf> {
  const known = engines.get(threads)
  const engine =
    known ??
    new Jobs(
      create((addon) => new addon.Crf(threads)),
      maxQueue,
      1,
      'jobs wait already; await some results of denseCrf() before you call it again',
    )
  engines.delete(threads)
  engines.set(threads, engine)
  // The garbage collector ends the threads of one that is forgotten, once its jobs have ended.
  for (const oldest of engines.keys()) if (engines.size > mostEngines) engines.delete(oldest)
  return engine
}

function checkScores(input: DenseCrfInput, pixels: number): void {
  const { scores, labels } = input
  if (!types.isFloat32Array(scores)) throw wrong(call, 'scores', scores, 'a Float32Array of labels * height * width')
  checkMemory(call, 'scores', scores)
  if (scores.length !== labels * pixels)
    throw invalid(
      `${call}: scores has ${scores.length} elements; ${labels} labels of ${input.width} x ${input.height} need ${labels * pixels}`,
    )
}

function allocateResult(pixels: number, labels: number): DenseCrfResult {
  return {
    mask: allocate(`${call}: mask`, Uint8Array, pixels),
    confidence: allocate(`${call}: confidence`, Float32Array, pixels),
    marginals: allocate(`${call}: marginals`, Float32Array, pixels * labels),
  }
}

/**
 * A fully connected CRF (Krähenbühl and Koltun 2011) by itself: scores of labels become marginals that follow the photo's edges. While the
 * promise is pending, native code reads `rgb` and `scores`: do not change or transfer them.
 * @throws ERR_INVALID_ARG, ERR_OUT_OF_MEMORY, ERR_QUEUE_FULL while 256 calls wait, ERR_LIBTORCH when the add-on is not there, or the
 * signal's reason
 */
export async function denseCrf(input: DenseCrfInput, options: DenseCrfOptions = {}): Promise<DenseCrfResult> {
  if (typeof input !== 'object' || input === null) throw wrong(call, 'input', input, '{ rgb, width, height, scores, labels }')
  const { rgb, width, height, scores, labels } = input
  const { threads = defaultThreads(), signal, ...settings } = checkOptions<DenseCrfOptions>(call, options, optionNames)
  const image = checkImage(call, { data: rgb, width, height }, 2 ** 31)
  if (image.channels !== 3)
    throw invalid(`${call}: rgb has ${rgb.length} bytes; ${width} x ${height} needs ${3 * width * height} (RGB)`)
  checkInteger(call, 'labels', labels, 1, 255)
  checkScores(input, width * height)
  const checked = resolveCrfOptions(call, settings)
  const checkedSignal = checkSignal(call, signal)
  const engine = engineFor(checkInteger(call, 'threads', threads, 1, 1024))
  return await engine.run(checkedSignal, async (native, id) => {
    const result = allocateResult(width * height, labels)
    await native.run(id, { rgb, width, height, scores, labels }, checked, result)
    return result
  })
}
