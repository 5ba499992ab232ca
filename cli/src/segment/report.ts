import { SingleBar } from 'cli-progress'
import { percent } from 'clip-es/support'
import { ignoredText } from '../run_progress.js'
import { complain, hasBar, oneLine, say } from '../say.js'
import type { FoundLabel, PhotoResult } from './photo.js'

/** A photo that failed, or an argument that named none. */
export interface Failure {
  path: string
  error: { code: string; message: string }
}

export type Outcome = (PhotoResult & { path: string }) | Failure

/** Reports to the user, or to a program, the outcome of each photo. */
export interface Report {
  /** The first photo begins. */
  start(): void
  photo(outcome: Outcome): void
  /** A last line for people, after end(). */
  summary(text: string): void
  /** Restores the terminal; a second call does nothing. */
  end(): void
}

const short = (value: number): number => Number(value.toPrecision(6))

/** One line of --json. Numbers have six digits: the float32 they come from has no more. */
function jsonLine(outcome: Outcome): string {
  if ('error' in outcome) return JSON.stringify({ path: outcome.path, error: outcome.error })
  const { path, width, height, pages, outputs, labels, background, ignored, seconds } = outcome
  return JSON.stringify({
    path,
    width,
    height,
    ...(pages > 1 ? { pages } : {}),
    outputs,
    labels: labels.map(({ name, value, score, share }) => ({ name, value, score: short(score), share: short(share) })),
    background: short(background),
    ignored: short(ignored),
    seconds: short(seconds),
  })
}

const scoreText = (score: number): string => (score < 0.01 ? '< 0.01' : score.toFixed(2))

const labelText = ({ name, share, score }: FoundLabel): string => `${name} ${percent(share)} (score ${scoreText(score)})`

/** A line for people: what was found, the largest first, and where the mask is. */
function photoLine(outcome: Outcome): string {
  if ('error' in outcome) return `${oneLine(outcome.path)}: failed: ${outcome.error.message}`
  const { path, labels, outputs, pages, ignored, seconds } = outcome
  const found = labels.filter(({ share }) => share > 0).sort((a, b) => b.share - a.share)
  const words = [...(found.length || ignored === 1 ? found.map(labelText) : ['nothing found']), ...ignoredText(ignored)].join(
    ', ',
  )
  const first = pages > 1 ? ` (the first of ${pages} pages)` : ''
  return `${oneLine(path)}${first}: ${words}; ${oneLine(outputs.mask ?? '')}, ${seconds.toFixed(2)} s`
}

/** As people say it: 2.4 photos/s, or 3.1 s a photo. */
function rateText(done: number, seconds: number): string {
  const rate = done / seconds
  if (!Number.isFinite(rate) || rate === 0) return ''
  return rate >= 1 ? `${rate.toFixed(1)} photos/s` : `${(1 / rate).toFixed(1)} s a photo`
}

/** 45 s, 12 min, 3 h 20 min. */
function durationText(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`
  const minutes = Math.round(seconds / 60)
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** A bar with rate and time left, on standard error. */
function barReport(total: number): Report {
  const bar = new SingleBar({
    format: '  {bar} {value} of {total} | {rate} | {left}',
    barsize: 30,
    hideCursor: true,
    clearOnComplete: true,
    gracefulExit: false,
  })
  let [begin, done] = [0, 0]
  const stop = () => bar.stop() // shows the cursor again
  return {
    start() {
      begin = performance.now()
      process.once('exit', stop)
      bar.start(total, 0, { rate: 'starting', left: '' })
    },
    photo() {
      if (!begin) return
      const seconds = (performance.now() - begin) / 1000
      done++
      bar.update(done, { rate: rateText(done, seconds), left: `${durationText((seconds / done) * (total - done))} left` })
    },
    end() {
      process.off('exit', stop)
      stop()
    },
    summary: (text) => complain(text),
  }
}

const lineReport = (line: (outcome: Outcome) => string): Report => ({
  start: () => undefined,
  photo: (outcome) => void say(line(outcome)),
  end: () => undefined,
  summary: () => undefined,
})

/**
 * A line per photo on standard output, as JSON or for people, and a bar on a terminal's standard error. Where both would meet on one
 * terminal there is only the bar, or with --json only the lines; a single photo needs no bar.
 */
export function makeReport(json: boolean, photos: number): Report {
  const oneTerminal = hasBar() && process.stdout.isTTY
  const bar = hasBar() && photos > 1 && !(json && oneTerminal)
  const lines = json || !(bar && oneTerminal)
  const reports = [...(bar ? [barReport(photos)] : []), ...(lines ? [lineReport(json ? jsonLine : photoLine)] : [])]
  return {
    start: () => reports.forEach((report) => void report.start()),
    photo: (outcome) => reports.forEach((report) => void report.photo(outcome)),
    end: () => reports.forEach((report) => void report.end()),
    summary: (text) => reports.forEach((report) => void report.summary(text)),
  }
}

/** How much of a run is done, and where it is. */
export function summary(photos: number, done: number, out: string, seconds?: number): string {
  const time = seconds === undefined ? '' : ` in ${durationText(seconds)}`
  return `${done} of ${photos} photo${photos === 1 ? '' : 's'} done${time}; results are in ${out}`
}

/** What went wrong in a run, at its end. */
export function failureText(failures: readonly Failure[], photos: number): string {
  const lines = failures.map(({ path, error }) => `\n  ${oneLine(path)}: ${error.message}`).join('')
  if (photos === 0)
    return `there is no photo to work on:${lines}\nName photos, folders of photos, or globs in quotes: clip-es segment 'photos/*.jpg' --classes cat,dog`
  return `${failures.length} failed, everything else is done:${lines}`
}
