import { types } from 'node:util'
import { ClassSet } from '../classes/class_set.js'
import { allocate } from '../core/allocate.js'
import {
  checkArray,
  checkBoolean,
  checkInteger,
  checkMemory,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkUnique,
  show,
  unknownWord,
  wrong,
} from '../core/check.js'
import { defaults } from '../core/defaults.js'
import { invalid } from '../core/errors.js'
import type { ResultPart, SegmentOptions } from '../core/segment_types.js'
import { resolveCrf } from '../engine/crf_options.js'
import type { NativeOutputs, NativeSettings } from '../engine/native.js'
import { resolveMaps } from './similarity_presets.js'

type OutputPart = keyof NonNullable<SegmentOptions['output']>

const resultParts: readonly ResultPart[] = ['confidence', 'cams']
const outputParts: readonly OutputPart[] = ['mask', ...resultParts]

/** Segment options with every default filled in; indices are those of the class set. */
export interface ResolvedSegmentOptions {
  /** 'auto': those that are found. */
  labels: readonly number[] | 'auto'
  /** For 'auto', per class of the class set. */
  labelThresholds: readonly number[]
  settings: NativeSettings
  include: ReadonlySet<ResultPart>
  output: NonNullable<SegmentOptions['output']>
  signal: AbortSignal | undefined
}

function checkAuto(call: string, classes: ClassSet, output: ResolvedSegmentOptions['output']): 'auto' {
  if (!classes.background.length)
    throw invalid(
      `${call}: labels 'auto' cannot be used without background words, which say what is none of the classes; encode the classes with some`,
    )
  if (output.cams)
    throw invalid(
      `${call}: output.cams cannot be used with labels 'auto', whose number is not known before; use include: ['cams']`,
    )
  return 'auto'
}

/** An option counts for all classes; without it each class has its own threshold, or the default. */
function resolveThresholds(call: string, threshold: unknown, labels: unknown, classes: ClassSet): number[] {
  const own = ClassSet.labelThresholds(classes)
  if (threshold === undefined) return own.map((value) => value ?? defaults.labelThreshold)
  if (labels !== 'auto')
    throw invalid(`${call}: labelThreshold is ${show(threshold)}, but it is only for labels: 'auto'; leave it out`)
  const checked = checkNumber(call, 'labelThreshold', threshold, 0, 1)
  return own.map(() => checked)
}

function resolveLabels(call: string, labels: unknown, names: readonly string[]): number[] {
  if (labels === undefined) return names.map((_, index) => index)
  if (!Array.isArray(labels)) throw wrong(call, 'labels', labels, "an array of names or indices, or 'auto'")
  const indices = checkArray(call, 'labels', labels, 1).map((label, i) => {
    if (typeof label === 'number') return checkInteger(call, `labels[${i}]`, label, 0, names.length - 1)
    if (typeof label !== 'string') throw wrong(call, `labels[${i}]`, label, 'the name of a class, or its index')
    const index = names.indexOf(label)
    if (index < 0) throw unknownWord(call, 'label', label, names)
    return index
  })
  checkUnique(
    call,
    'labels',
    indices.map((index) => names[index] as string),
  )
  return indices
}

function resolveScales(call: string, scales: unknown): Float64Array {
  const numbers = checkArray(call, 'scales', scales, 1, 16).map((scale, i) => checkNumber(call, `scales[${i}]`, scale, 0.25, 4))
  checkUnique(call, 'scales', numbers.map(String))
  return Float64Array.from(numbers)
}

function checkPart(call: string, part: unknown): ResultPart {
  if (part === 'mask') throw invalid(`${call}: include has 'mask', but a result always has the mask; leave it out`)
  return checkOneOf(call, 'include', part, resultParts)
}

export const segmentOptionNames = [
  'labels',
  'labelThreshold',
  'maps',
  'scales',
  'flip',
  'refine',
  'boxThreshold',
  'minScore',
  'backgroundPower',
  'backgroundBelow',
  'crf',
  'ignoreBelow',
  'include',
  'output',
  'signal',
] as const satisfies (keyof SegmentOptions)[]

/** Options of segment(), encoded.segment() and segmentAll(). Throws ERR_INVALID_ARG. */
export function resolveSegmentOptions(
  call: string,
  options: SegmentOptions | undefined,
  classes: ClassSet,
): ResolvedSegmentOptions {
  const given = checkOptions<SegmentOptions>(call, options, segmentOptionNames)
  const { scales = [1], flip = false, refine = true, include = [] } = given
  const { minScore = defaults.minScore, boxThreshold = defaults.boxThreshold, backgroundPower = defaults.backgroundPower } = given
  const { backgroundBelow = defaults.backgroundBelow, ignoreBelow = defaults.ignoreBelow } = given
  const output = checkOptions(`${call}: output`, given.output, outputParts)
  const asked = checkArray(call, 'include', include, 0).map((part) => checkPart(call, part))
  return {
    labels: given.labels === 'auto' ? checkAuto(call, classes, output) : resolveLabels(call, given.labels, classes.names),
    labelThresholds: resolveThresholds(call, given.labelThreshold, given.labels, classes),
    settings: {
      maps: resolveMaps(call, given.maps),
      scales: resolveScales(call, scales),
      flip: checkBoolean(call, 'flip', flip),
      refine: checkBoolean(call, 'refine', refine),
      boxThreshold: checkNumber(call, 'boxThreshold', boxThreshold, 0, 1),
      minScore: checkNumber(call, 'minScore', minScore, 0, 1),
      backgroundPower: checkNumber(call, 'backgroundPower', backgroundPower, 0, 1e6),
      backgroundBelow: checkNumber(call, 'backgroundBelow', backgroundBelow, 0, 1),
      ignoreBelow: checkNumber(call, 'ignoreBelow', ignoreBelow, 0, 1),
      crf: resolveCrf(call, given.crf),
    },
    include: new Set([...asked, ...resultParts.filter((part) => output[part] !== undefined)]),
    output,
    signal: checkSignal(call, given.signal),
  }
}

type Constructor<T> = new (length: number) => T

function memory<T extends Uint8Array | Float32Array>(
  call: string,
  part: OutputPart,
  given: unknown,
  type: Constructor<T>,
  length: number,
): T {
  if (given === undefined) {
    const remedy = part === 'mask' ? undefined : `ask for fewer labels or leave ${part} out`
    return allocate(`${call}: ${part}`, type, length, remedy)
  }
  if (!(type.name === 'Uint8Array' ? types.isUint8Array(given) : types.isFloat32Array(given)))
    throw wrong(call, `output.${part}`, given, `a ${type.name}`)
  const own = given as T
  if (own.length !== length)
    throw invalid(`${call}: output.${part} has ${own.length} elements; this image and these labels need ${length}`)
  checkMemory(call, `output.${part}`, own)
  return own
}

function checkApart(call: string, views: [string, ArrayBufferView][]): void {
  const sorted = [...views].sort(([, a], [, b]) => a.byteOffset - b.byteOffset)
  for (const [i, [name, view]] of sorted.entries())
    for (const [otherName, other] of sorted.slice(i + 1))
      if (view.buffer === other.buffer && view.byteOffset + view.byteLength > other.byteOffset)
        throw invalid(`${call}: ${name} and ${otherName} overlap in memory; give each its own`)
}

/** What is filled for an image, whatever its labels are, and the caller's cams. */
export type Outputs = Pick<NativeOutputs, 'confidence' | 'cams'> & { mask: Uint8Array }

/** The memory to fill that the number of labels says nothing about: the caller's where it was given, else new. */
export function prepareOutputs(
  call: string,
  { include, output, labels }: ResolvedSegmentOptions,
  pixels: number,
  image: ArrayBufferView | undefined,
): Outputs {
  const outputs: Outputs = { mask: memory(call, 'mask', output.mask, Uint8Array, pixels) }
  if (include.has('confidence')) outputs.confidence = memory(call, 'confidence', output.confidence, Float32Array, pixels)
  if (labels !== 'auto' && output.cams) outputs.cams = memory(call, 'cams', output.cams, Float32Array, pixels * labels.length)
  const given: [string, ArrayBufferView][] = outputParts.flatMap((part) =>
    output[part] ? [[`output.${part}`, output[part]]] : [],
  )
  checkApart(call, image ? [...given, ['image.data', image]] : given)
  return outputs
}

/** The rest, once the labels are known. */
export function allocateForLabels(
  call: string,
  include: ReadonlySet<ResultPart>,
  { cams }: Outputs,
  labels: number,
  pixels: number,
): Pick<NativeOutputs, 'scores' | 'cams'> {
  const scores = new Float32Array(labels)
  if (!include.has('cams')) return { scores }
  return { scores, cams: memory(call, 'cams', cams, Float32Array, pixels * labels) }
}
