import { checkInteger, checkNumber, checkOneOf, checkOptions, checkSignal, wrong } from '../core/check.js'
import { defaults, precisions } from '../core/defaults.js'
import { invalid } from '../core/errors.js'
import { checkFile } from '../core/file_argument.js'
import type { Device, LoadOptions } from '../core/types.js'
import { autoPrecision } from './auto_precision.js'
import { physicalCores } from './cores.js'

const call = 'load()'

/** Load options with every default filled in. */
export interface ResolvedLoadOptions {
  /** 'auto' is resolved: the add-on knows only these. */
  device: Exclude<Device, 'auto'>
  precision: 'float32' | 'bfloat16' | 'int8'
  threads: number
  concurrency: number
  maxBatch: number
  /** Milliseconds. */
  maxDelay: number
  maxQueue: number
  maxPixels: number
  maxSide: number
  /** '' for none. */
  weightsFolder: string
  priority: 'low' | 'normal'
  signal: AbortSignal | undefined
}

/** 'auto' means the CPU until results on GPUs have been measured: what nobody asked for must not change masks. */
function checkDevice(device: unknown): Exclude<Device, 'auto'> {
  if (device === 'auto' || device === 'cpu') return 'cpu'
  if (typeof device === 'string' && /^cuda(:\d+)?$/.test(device)) return device as `cuda:${number}`
  throw wrong(call, 'device', device, "'auto', 'cpu', 'cuda' or 'cuda:N'")
}

/** GPUs multiply bfloat16 many times faster than float32; most processors do not. */
function checkPrecision(value: unknown, device: Device): ResolvedLoadOptions['precision'] {
  const precision = checkOneOf(call, 'precision', value, precisions)
  if (precision === 'int8' && device !== 'cpu')
    throw invalid(`${call}: precision 'int8' is for CPUs, and device is '${device}'; a GPU computes in 'bfloat16' or 'float32'`)
  if (precision !== 'auto') return precision
  return device === 'cpu' ? autoPrecision() : 'bfloat16'
}

const loadOptionNames = [
  'model',
  'device',
  'precision',
  'threads',
  'concurrency',
  'maxBatch',
  'maxDelay',
  'maxQueue',
  'maxPixels',
  'maxSide',
  'weightsFolder',
  'priority',
  'signal',
] as const

const priorities = ['low', 'normal'] as const

/**
 * Every option but `model`, checked and completed.
 * @param cores the default of `threads`
 */
export function resolveLoadOptions(given: LoadOptions, cores: () => number = physicalCores): ResolvedLoadOptions {
  const {
    device = 'auto',
    precision = 'auto',
    threads = cores(),
    maxDelay = 0,
    maxQueue = defaults.maxQueue,
    maxPixels = defaults.maxPixels,
    maxSide = defaults.maxSide,
    weightsFolder,
    priority = 'low',
  } = given
  const checkedDevice = checkDevice(device)
  const checkedThreads = checkInteger(call, 'threads', threads, 1, 1024)
  const onGpu = checkedDevice !== 'cpu'
  const { concurrency = onGpu ? 2 : Math.min(checkedThreads, 4), maxBatch = onGpu ? 16 : 1 } = given
  return {
    device: checkedDevice,
    precision: checkPrecision(precision, checkedDevice),
    threads: checkedThreads,
    concurrency: checkInteger(call, 'concurrency', concurrency, 1, 64),
    maxBatch: checkInteger(call, 'maxBatch', maxBatch, 1, 256),
    maxDelay: checkNumber(call, 'maxDelay', maxDelay, 0, 60_000),
    maxQueue: checkInteger(call, 'maxQueue', maxQueue, 1, 1e6),
    maxPixels: checkNumber(call, 'maxPixels', maxPixels, 1, 2 ** 31),
    maxSide: maxSide === Number.POSITIVE_INFINITY ? maxSide : checkInteger(call, 'maxSide', maxSide, 1, 2 ** 31 - 1),
    weightsFolder: weightsFolder === undefined ? '' : checkFile(call, 'weightsFolder', weightsFolder),
    priority: checkOneOf(call, 'priority', priority, priorities),
    signal: checkSignal(call, given.signal),
  }
}

/** The arguments of load(options) and load(model, options), checked. Without a path the default model is meant. */
export function resolveLoadArguments(
  first: unknown,
  second: unknown,
  cores: () => number,
): { path: string | undefined; options: ResolvedLoadOptions } {
  const oneObject = typeof first === 'object' && first !== null && !(first instanceof URL) && !Array.isArray(first)
  if (oneObject && second !== undefined)
    throw wrong(
      call,
      'model',
      first,
      'a path or a file URL before the options, or one object with all options: load({ model, … })',
    )
  const { model: named, ...options } = checkOptions<LoadOptions>(
    call,
    (oneObject ? first : second) as LoadOptions,
    loadOptionNames,
  )
  const model = oneObject || first === undefined ? named : first
  if (!oneObject && first !== undefined && named !== undefined)
    throw invalid(`${call}: model is given twice, by itself and among the options; leave one out`)
  const path = model === undefined ? undefined : checkFile(call, 'model', model)
  return { path, options: resolveLoadOptions(options, cores) }
}
