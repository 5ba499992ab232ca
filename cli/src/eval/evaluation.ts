import { existsSync } from 'node:fs'
import { invalid, readRegularSync } from 'clip-es/support'
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
  /** Folder of the results, and folder or file of the ground truth. */
  results: string
  truth: string
  /** Which photos were compared: a list's file, 'VOC train', or 'every result'. */
  list: string
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
  /** Share of the compared pixels that the masks ignore. */
  ignored: number
  /** Share of all pixels that the truth ignores. They are not compared. */
  truthIgnored: number
  /** What can make the figures meaningless. */
  warnings: string[]
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
  #allPixels = 0
  readonly #images: ImageFigures[] = []

  /** @param names background and the classes, by their values in a mask */
  constructor(
    readonly names: readonly string[],
    ratio: number,
  ) {
    this.confusion = new Confusion(names.length)
    this.boundary = new BoundaryCounts(names.length, ratio)
  }

  /** Throws ERR_INVALID_ARG, having counted nothing, for maps that are not of one picture or have a value that is not a class. */
  add(id: string, mask: Uint8Array, truth: Uint8Array, width: number, height: number): void {
    const own = new Confusion(this.names.length)
    own.add(mask, truth)
    if (!own.pixels) throw invalid('its truth ignores every pixel (all are 255)')
    this.boundary.add(mask, truth, width, height)
    this.confusion.merge(own)
    this.#allPixels += truth.length
    this.#images.push({ id, miou: meanOfNumbers(own.classes().map(({ iou }) => iou)), pixelAccuracy: own.pixelAccuracy })
  }

  get images(): number {
    return this.#images.length
  }

  get #truthIgnored(): number {
    return (this.#allPixels - this.confusion.pixels) / this.#allPixels
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
      truthIgnored: this.#truthIgnored,
      warnings: warningsOf(confusion, this.#truthIgnored),
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

const percentOf = (share: number): string => `${(100 * share).toFixed(1)} %`

/** What looks like a mistake in the files rather than in the masks. */
function warningsOf(confusion: Confusion, truthIgnored: number): string[] {
  const { size } = confusion
  const classes = Array.from({ length: size - 1 }, (_, i) => i + 1)
  const overlap = (shift: number) =>
    classes.reduce((sum, value) => sum + (value + shift >= 1 && value + shift < size ? confusion.at(value, value + shift) : 0), 0)
  const both = classes.reduce((sum, truth) => sum + classes.reduce((row, found) => row + confusion.at(truth, found), 0), 0)
  const inTruth = confusion
    .classes()
    .slice(1)
    .reduce((sum, { truth }) => sum + truth, 0)
  const warnings: string[] = []
  if (!inTruth)
    warnings.push(
      `no picture of the truth has a class: its pixels are background (0) or ignored (255, ${percentOf(truthIgnored)} of them). A binary mask of 0 and 255 must be saved with the numbers of the classes`,
    )
  for (const shift of [1, -1])
    if (both && overlap(shift) > both / 2 && overlap(shift) > 4 * overlap(0))
      warnings.push(
        `where both have a class, ${percentOf(overlap(shift) / both)} of the pixels have a value in the masks that is 1 ${shift > 0 ? 'higher' : 'lower'} than in the truth: one of them counts classes from 0. In both, 0 must be background and 1 the first class of the class file`,
      )
  return warnings
}

/** JSON has no NaN. */
const orNull = (figure: number): number | null => (Number.isNaN(figure) ? null : figure)

/** What an earlier `clip-es eval` wrote, or undefined where there is nothing. */
export function readEvaluation(file: string): Evaluation | undefined {
  if (!existsSync(file)) return undefined
  try {
    const evaluation = JSON.parse(readRegularSync(file).toString('utf8')) as Evaluation
    if (evaluation.format === 1 && Array.isArray(evaluation.warnings) && Array.isArray(evaluation.perImage)) return evaluation
  } catch {
    // said below
  }
  throw invalid(`${file}: is not an evaluation of this version; make it again with clip-es eval`)
}
