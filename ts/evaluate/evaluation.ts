import { existsSync } from 'node:fs'
import { invalid } from '../errors.js'
import { readRegularSync } from '../files/read_regular.js'
import { BoundaryCounts } from '../metrics/boundary.js'
import type { CamRule, RuleScore } from '../metrics/cam_rule.js'
import { Confusion, meanOfNumbers } from '../metrics/confusion.js'

/** A label's figures; null where the label is nowhere to be divided by. */
export interface LabelFigures {
  name: string
  /** In masks: 0 is background. */
  value: number
  iou: number | null
  boundaryIou: number | null
  precision: number | null
  recall: number | null
  /** Pixels. */
  truth: number
  found: number
}

export interface ImageFigures {
  id: string
  /** Mean over the labels of its truth and its mask. */
  miou: number
  pixelAccuracy: number
}

/** What `clip-es eval` writes, and `clip-es report` reads. */
export interface Evaluation {
  format: 1
  version: string
  /** Folder of the results, and of the ground truth. */
  results: string
  truth: string
  what: 'masks' | 'cams'
  /** How masks were made of CAMs. */
  rule?: CamRule
  images: number
  pixels: number
  /** Mean over the labels that are in any truth or mask. */
  miou: number
  boundaryMiou: number
  /** Width of the boundary's band as a share of the diagonal. */
  boundaryRatio: number
  pixelAccuracy: number
  /** Share of the pixels that the masks ignore. */
  ignored: number
  labels: LabelFigures[]
  /** A row for each value of the truth; the last column is what the masks ignore. */
  confusion: number[][]
  perImage: ImageFigures[]
  /** Results without truth, truths without result, files that cannot be read. */
  failures: { id: string; message: string }[]
  /** With --search: every rule that was tried. */
  search?: RuleScore[]
}

/** Counts masks against their truths. */
export class Evaluator {
  readonly confusion: Confusion
  readonly boundary: BoundaryCounts
  readonly #images: ImageFigures[] = []

  /** @param names background and the classes, by their values in a mask */
  constructor(
    readonly names: readonly string[],
    ratio: number,
  ) {
    this.confusion = new Confusion(names.length)
    this.boundary = new BoundaryCounts(names.length, ratio)
  }

  /** Throws ERR_INVALID_ARG, having counted nothing, for maps that are not of one picture or have a value that is no class. */
  add(id: string, mask: Uint8Array, truth: Uint8Array, width: number, height: number): void {
    const own = new Confusion(this.names.length)
    own.add(mask, truth)
    if (!own.pixels) throw invalid('its truth ignores every pixel')
    this.boundary.add(mask, truth, width, height)
    this.confusion.merge(own)
    this.#images.push({ id, miou: meanOfNumbers(own.classes().map(({ iou }) => iou)), pixelAccuracy: own.pixelAccuracy })
  }

  get images(): number {
    return this.#images.length
  }

  /** The figures so far, images in the order of their ids. */
  figures() {
    const { confusion, boundary, names } = this
    const scores = confusion.classes()
    const ious = boundary.ious()
    const size = names.length
    return {
      images: this.images,
      pixels: confusion.pixels,
      miou: meanOfNumbers(scores.map(({ iou }) => iou)),
      boundaryMiou: meanOfNumbers(ious),
      boundaryRatio: boundary.ratio,
      pixelAccuracy: confusion.pixelAccuracy,
      ignored: confusion.ignoredShare,
      labels: scores.map(({ iou, precision, recall, truth, found }, value) => ({
        name: names[value] as string,
        value,
        iou: orNull(iou),
        boundaryIou: orNull(ious[value] as number),
        precision: orNull(precision),
        recall: orNull(recall),
        truth,
        found,
      })),
      confusion: names.map((_, value) => Array.from(confusion.counts.subarray(value * (size + 1), (value + 1) * (size + 1)))),
      perImage: this.#images.toSorted((a, b) => (a.id < b.id ? -1 : 1)),
    }
  }
}

/** JSON has no NaN. */
const orNull = (figure: number): number | null => (Number.isNaN(figure) ? null : figure)

/** What an earlier `clip-es eval` wrote, or undefined where there is nothing. */
export function readEvaluation(file: string): Evaluation | undefined {
  if (!existsSync(file)) return undefined
  try {
    const evaluation = JSON.parse(readRegularSync(file).toString('utf8')) as Evaluation
    if (evaluation.format === 1 && Array.isArray(evaluation.perImage)) return evaluation
  } catch {
    // said below
  }
  throw invalid(`${file}: is no evaluation of this version; make it again with clip-es eval`)
}
