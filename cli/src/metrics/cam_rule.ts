import { ignored } from 'clip-es'
import { invalid, mostClasses } from 'clip-es/support'
import { Confusion, checkValues } from './confusion.js'

/** The background's score beside the maps: a constant, or (1 - largest map) ^ power, as the paper has it. */
export type CamRule = { threshold: number } | { power: number }

/** Maps of some classes for one picture, as the .npz and .npy files hold them. */
export interface Cams {
  /** Class ids, counted from 0; a mask's value is one more. */
  keys: number[]
  /** keys.length * height * width. */
  maps: Float32Array
  width: number
  height: number
}

/** Throws ERR_INVALID_ARG for what are not scores of classes. The message goes on from a file's name. */
export function checkCams({ keys, maps }: Cams): void {
  const isId = (value: number) => Number.isInteger(value) && value >= 0 && value < mostClasses
  const odd = keys.find((key) => !isId(key))
  if (odd !== undefined)
    throw invalid(`its keys contain ${odd}; expected class ids, which are whole numbers from 0 to ${mostClasses - 1}`)
  const twice = keys.find((key, i) => keys.indexOf(key) !== i)
  if (twice !== undefined) throw invalid(`its keys contain ${twice} twice; expected one map per class`)
  for (let i = 0; i < maps.length; i++) {
    const value = maps[i] as number
    if (!(value >= 0 && value <= 1)) throw invalid(`its maps contain ${value}; expected scores from 0 to 1`)
  }
}

/**
 * The largest map's value up to which background wins, ties included. Both kinds of score fall or stay as the largest map rises, so
 * one number says all about a rule.
 */
export function cutoff(rule: CamRule): number {
  if ('threshold' in rule) return rule.threshold
  let [low, high] = [0, 1] // background wins at low: its score there is 1; the map wins at high
  if (rule.power === 0) return 1 // background always scores 1
  for (;;) {
    const middle = (low + high) / 2
    if (middle === low || middle === high) return low
    if (middle > (1 - middle) ** rule.power) high = middle
    else low = middle
  }
}

export const ruleName = (rule: CamRule): string =>
  'threshold' in rule ? `background = ${rule.threshold}` : `background = (1 - largest map)^${rule.power}`

/** Per pixel the largest map and its class's value in a mask; the first of equal ones. */
function winners({ keys, maps, width, height }: Cams): { value: Uint8Array; score: Float32Array } {
  const pixels = width * height
  const [value, score] = [new Uint8Array(pixels), new Float32Array(pixels).fill(Number.NEGATIVE_INFINITY)]
  for (const [k, key] of keys.entries())
    for (let i = 0, at = k * pixels; i < pixels; i++, at++)
      if ((maps[at] as number) > (score[i] as number)) {
        score[i] = maps[at] as number
        value[i] = key + 1
      }
  return { value, score }
}

/** The mask that a rule makes from maps. */
export function maskFromCams(cams: Cams, rule: CamRule): Uint8Array {
  const { value, score } = winners(cams)
  const least = cutoff(rule)
  for (let i = 0; i < score.length; i++) if (!((score[i] as number) > least)) value[i] = 0
  return value
}

/** A rule and what it scored. */
export interface RuleScore {
  rule: CamRule
  miou: number
  pixelAccuracy: number
}

/** Evaluates any number of rules in one pass over the maps: pixels are counted by the interval between cutoffs that they fall into. */
export class CamSearch {
  readonly #cutoffs: number[]
  /** Per truth, winner and interval. */
  readonly #counts: Float64Array

  /** @param size background and classes */
  constructor(
    readonly size: number,
    readonly rules: readonly CamRule[],
  ) {
    this.#cutoffs = [...new Set(rules.map(cutoff))].sort((a, b) => a - b)
    this.#counts = new Float64Array(size * size * (this.#cutoffs.length + 1))
  }

  /** Counts a picture. Throws ERR_INVALID_ARG, having counted nothing, for a truth of another size or a key that is not a class. */
  add(cams: Cams, truth: Uint8Array): void {
    const { size } = this
    if (truth.length !== cams.width * cams.height)
      throw invalid(`maps of ${cams.width} x ${cams.height} pixels and a truth of ${truth.length}; both must have the same size`)
    const key = cams.keys.find((k) => !(k >= 0 && k < size - 1))
    if (key !== undefined)
      throw invalid(
        `the maps have the class id ${key}, but the ${size - 1} classes are 0 to ${size - 2}; evaluate with the class file of the maps`,
      )
    checkValues(truth, size, 'the truth')
    const { value, score } = winners(cams)
    const stride = this.#cutoffs.length + 1
    for (let i = 0; i < truth.length; i++) {
      const there = truth[i] as number
      if (there === ignored) continue
      const at = (there * size + (value[i] as number)) * stride + this.#beaten(score[i] as number)
      this.#counts[at] = (this.#counts[at] as number) + 1
    }
  }

  /** How many cutoffs lie below a score. */
  #beaten(score: number): number {
    let [low, high] = [0, this.#cutoffs.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (score > (this.#cutoffs[middle] as number)) low = middle + 1
      else high = middle
    }
    return low
  }

  /** The confusion matrix of a rule. */
  confusion(rule: CamRule): Confusion {
    const { size } = this
    const out = new Confusion(size)
    const place = this.#cutoffs.indexOf(cutoff(rule))
    const stride = this.#cutoffs.length + 1
    for (let there = 0; there < size; there++)
      for (let winner = 0; winner < size; winner++)
        for (let beaten = 0; beaten < stride; beaten++) {
          const at = there * (size + 1) + (beaten > place ? winner : 0)
          out.counts[at] = (out.counts[at] as number) + (this.#counts[(there * size + winner) * stride + beaten] as number)
        }
    return out
  }
}
