import type { ClassSpec, SegmentOptions } from 'clip-es'
import { unknownWord } from 'clip-es/support'
import { readQuestion } from '../request/question.js'
import { readTexts } from '../request/read_texts.js'
import { classOptionProperties, segmentOptionProperties } from '../request/schema.js'
import type { Question, Service } from '../service/service.js'

/** The options that the protocols take as texts: all but what is told in the protocol's own way. */
export const textOptions: readonly string[] = Object.keys({ ...classOptionProperties, ...segmentOptionProperties }).filter(
  (name) => name !== 'include',
)

/**
 * What a request of another tool asks.
 * @param call what has the options, for messages
 * @param texts options as in a query
 * @param defaults what is asked unless the texts say otherwise
 * @throws ERR_INVALID_ARG
 */
export function questionOf(
  { classSets, limits }: Service,
  call: string,
  classes: readonly ClassSpec[] | string,
  texts: Readonly<Record<string, string | readonly string[]>>,
  defaults: SegmentOptions = {},
): Omit<Question, 'signal'> {
  for (const name of Object.keys(texts)) if (!textOptions.includes(name)) throw unknownWord(call, 'option', name, textOptions)
  const asked = readTexts(texts, (name) => classSets.has(name))
  return readQuestion({ ...defaults, ...asked, classes }, () => 'raw', limits).question
}
