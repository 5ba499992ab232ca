import { percent } from 'clip-es/support'
import type { Placed } from '../photos/places.js'
import type { Outcome } from '../pipeline/pipeline.js'
import { type Event, failureEvent, figuresText, ignoredText } from '../pipeline/progress.js'
import { oneLine } from '../shared/say.js'
import type { FoundLabel, PhotoResult } from './photo.js'

const short = (value: number): number => Number(value.toPrecision(6))

/** One line of --json. Numbers have six digits: the float32 they come from has no more. */
function jsonOf(path: string, { width, height, pages, outputs, labels, background, ignored, seconds }: PhotoResult): object {
  return {
    path,
    width,
    height,
    ...(pages > 1 ? { pages } : {}),
    outputs,
    labels: labels.map(({ name, value, score, share }) => ({ name, value, score: short(score), share: short(share) })),
    background: short(background),
    ignored: short(ignored),
    seconds: short(seconds),
  }
}

const scoreText = (score: number): string => (score < 0.01 ? '< 0.01' : score.toFixed(2))

const labelText = ({ name, share, score }: FoundLabel): string => `${name} ${percent(share)} (score ${scoreText(score)})`

/** A line for people: what was found, the largest first, and where the mask is. */
function textOf(path: string, { labels, outputs, pages, ignored, seconds }: PhotoResult): string {
  const found = labels.filter(({ share }) => share > 0).sort((a, b) => b.share - a.share)
  const words = [...(found.length || ignored === 1 ? found.map(labelText) : ['nothing found']), ...ignoredText(ignored)]
  const first = pages > 1 ? ` (the first of ${pages} pages)` : ''
  return `${oneLine(path)}${first}: ${words.join(', ')}; ${oneLine(outputs.mask ?? '')}, ${seconds.toFixed(2)} s`
}

/** An argument or a photo that failed. */
export const failure = (path: string, code: string, message: string): Event =>
  failureEvent(path, message, { path, error: { code, message } })

/** How an outcome is reported. */
export function describe(outcome: Outcome<Placed, PhotoResult>): Event {
  const { path } = outcome.item.photo
  if ('error' in outcome) return failure(path, outcome.error.code ?? 'ERR_FAILED', outcome.error.message)
  const { summary } = outcome
  return {
    text: (figures) => textOf(path, summary) + (figures.total > 1 ? ` (${figuresText(figures)})` : ''),
    json: () => jsonOf(path, summary),
  }
}
