import type { ClassSpec, EncodeClassesOptions, SegmentOptions } from 'clip-es'
import { invalid } from 'clip-es/support'
import type { Limits } from '../limits.js'
import type { Question } from '../service/service.js'
import { classOptionProperties, type Format, type Shapes, segmentOptionProperties } from './schema.js'
import { validateQuestion } from './validate.js'

/** What a request that segments asks, apart from the photo. */
export interface Asked {
  question: Omit<Question, 'signal'>
  answer: { format: Format; shapes: Shapes }
}

const pick = (from: Record<string, unknown>, names: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(from).filter(([name, value]) => name in names && value !== undefined))

function countWords(classes: Question['classes'], { background = [] }: EncodeClassesOptions): number {
  if (typeof classes === 'string') return background.length
  const words = (spec: ClassSpec): number => (typeof spec === 'string' ? 1 : (spec.synonyms?.length ?? 1))
  return classes.reduce((sum, spec) => sum + words(spec), background.length)
}

/** @throws ERR_INVALID_ARG for more words than a request may have */
export function checkWords(classes: Question['classes'], options: EncodeClassesOptions, limits: Limits): void {
  const words = countWords(classes, options)
  if (words > limits.words) throw invalid(`the request has ${words} words; at most ${limits.words} are allowed: send fewer`)
}

/**
 * Checks the options of a request, as a JSON body has them.
 * @param accepted the kind of answer by the header Accept, if the options do not name one
 * @throws ERR_INVALID_ARG, or what `accepted` throws
 */
export function readQuestion(given: unknown, accepted: () => Format, limits: Limits): Asked {
  const options = validateQuestion(given) as Record<string, unknown>
  const classes = options.classes as Question['classes'] | undefined
  if (classes === undefined)
    throw invalid('classes is missing: name what to look for, such as classes=cat,dog, or a class set, such as classes=voc')
  const classOptions = pick(options, classOptionProperties) as EncodeClassesOptions
  checkWords(classes, classOptions, limits)
  const format = (options.format as Format | undefined) ?? accepted()
  const segmentOptions = pick(options, segmentOptionProperties) as SegmentOptions
  return {
    question: { classes, classOptions, options: format === 'npz' ? { ...segmentOptions, include: ['cams'] } : segmentOptions },
    answer: { format, shapes: (options.shapes as Shapes | undefined) ?? 'rle' },
  }
}
