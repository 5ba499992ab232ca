import type { ClassSpec, EncodeClassesOptions, SegmentOptions } from 'clip-es'
import { invalid } from 'clip-es/support'
import type { Limits } from '../options.js'
import type { Question } from '../service/service.js'
import { classOptionProperties, type Format, type Shapes, segmentOptionProperties } from './schema.js'
import { validateQuestion } from './validate.js'

/** What a request that segments asks, apart from the photo. */
export interface Asked {
  question: Omit<Question, 'signal'>
  format: Format | undefined
  shapes: Shapes
}

const pick = (from: Record<string, unknown>, names: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(from).filter(([name, value]) => name in names && value !== undefined))

function countWords(classes: Question['classes'], { background = [] }: EncodeClassesOptions): number {
  if (typeof classes === 'string') return background.length
  const words = (spec: ClassSpec): number => (typeof spec === 'string' ? 1 : (spec.synonyms?.length ?? 1))
  return classes.reduce((sum, spec) => sum + words(spec), background.length)
}

/** Checks the options of a request, as a JSON body has them. Throws ERR_INVALID_ARG. */
export function readQuestion(given: unknown, limits: Limits): Asked {
  const options = validateQuestion(given) as Record<string, unknown>
  const { classes, format, shapes = 'rle' } = options
  if (classes === undefined)
    throw invalid('classes is missing: name what to look for, such as classes=cat,dog, or a class set, such as classes=voc')
  const classOptions = pick(options, classOptionProperties) as EncodeClassesOptions
  const words = countWords(classes as Question['classes'], classOptions)
  if (words > limits.words) throw invalid(`the request has ${words} words; at most ${limits.words} are allowed: send fewer`)
  return {
    question: {
      classes: classes as Question['classes'],
      options: pick(options, segmentOptionProperties) as SegmentOptions,
      classOptions,
    },
    format: format as Format | undefined,
    shapes: shapes as Shapes,
  }
}
