import { resolve } from 'node:path'
import { SingleBar } from 'cli-progress'
import { percent } from 'clip-es/support'
import { complain, hasBar, oneLine, say } from '../shared/say.js'
import { counted } from '../shared/wording.js'

/** How far a run is. */
export interface Figures {
  /** Photos that are done or have failed. */
  ended: number
  total: number
  perSecond: number
  /** For people: '2.1/s', '3 min 20 s'. */
  rate: string
  left: string
}

/** The outcome of a photo as people and programs read it. */
export interface Event {
  text: (figures: Figures) => string
  json: (figures: Figures) => object
}

/** '2 h 05 min', '3 min 20 s', '12 s'; '–' for what is not known yet. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–'
  const whole = Math.round(seconds)
  const [h, min, s] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60), whole % 60]
  const two = (value: number): string => String(value).padStart(2, '0')
  if (h) return `${h} h ${two(min)} min`
  return min ? `${min} min ${two(s)} s` : `${s} s`
}

/** '12.3/s', '4.1/min' for what takes longer. */
export const rateText = (perSecond: number): string =>
  perSecond >= 1 ? `${perSecond.toFixed(1)}/s` : `${(60 * perSecond).toFixed(1)}/min`

/** '3/60, 2.1/s, 27 s left' */
export const figuresText = ({ ended, total, rate, left }: Figures): string => `${ended}/${total}, ${rate}, ${left} left`

/** Pixels of 255, if there are any: '2.3 % ignored', '100 % ignored'. */
export const ignoredText = (share: number): string[] => (share === 0 ? [] : [`${share === 1 ? '100 %' : percent(share)} ignored`])

/** A failure, with the name of what failed. */
export const failureEvent = (name: string, message: string, json: object): Event => ({
  text: () => `clip-es: ${oneLine(name)}: ${message}`,
  json: () => json,
})

/** The failure of a photo of a data set. */
export const failedEvent = (id: string, message: string): Event => failureEvent(id, message, { event: 'failed', id, message })

/** Which lines are printed: for people, for programs, or only those of failures. 'silent' prints nothing. */
export type Lines = 'text' | 'json' | 'none' | 'silent'

/**
 * Reports a run over many photos. A line for each photo goes to standard output, a bar to a terminal's standard error, failures to standard error at
 * once. Where lines and bar would share one terminal, there is only the bar, or with JSON only the lines.
 */
export class Progress {
  readonly #start = performance.now()
  readonly #bar: SingleBar | undefined
  readonly #lines: Lines
  #ended = 0
  #failed = 0 // with those that are not photos to do
  #failedPhotos = 0

  /** @param least photos for which a bar is drawn: one photo needs none */
  constructor(
    readonly total: number,
    lines: Lines,
    least = 1,
  ) {
    const shareTerminal = hasBar() && process.stdout.isTTY
    const bar = hasBar() && total >= least && lines !== 'silent' && !(lines === 'json' && shareTerminal)
    this.#lines = lines === 'text' && bar && shareTerminal ? 'none' : lines
    if (!bar) return
    this.#bar = new SingleBar({
      format: '{bar} {value}/{total} | {rate} | {left} left | {failed} failed',
      hideCursor: true,
      stopOnComplete: false,
      gracefulExit: false, // signals are the command's: stop.ts
    })
    process.once('exit', this.#stopBar)
    this.#bar.start(total, 0, { rate: '–', left: '–', failed: 0 })
  }

  readonly #stopBar = (): void => this.#bar?.stop()

  get hasBar(): boolean {
    return this.#bar !== undefined
  }

  /** Since the run began. */
  get seconds(): number {
    return (performance.now() - this.#start) / 1000
  }

  get failures(): number {
    return this.#failed
  }

  /** Photos that are done without a failure. */
  get succeeded(): number {
    return this.#ended - this.#failedPhotos
  }

  get figures(): Figures {
    const [ended, total] = [this.#ended, this.total]
    const rate = ended / this.seconds
    return {
      ...{ ended, total },
      perSecond: Number(rate.toPrecision(4)),
      rate: rateText(rate),
      left: duration((total - ended) / rate),
    }
  }

  /** A photo is done. Lines that the event does not have are not printed. */
  done(event: Partial<Event> = {}): void {
    this.#ended++
    if (event.text && this.#lines === 'text') say(event.text(this.figures))
    if (event.json && this.#lines === 'json') say(JSON.stringify(event.json(this.figures)))
    this.#draw()
  }

  /** A photo has failed. */
  failed(event: Event): void {
    this.#ended++
    this.#failedPhotos++
    this.listFailure(event)
  }

  /** A photo that has failed will be done again. */
  again(): void {
    this.#ended--
    this.#failedPhotos--
    this.#failed--
    this.#draw()
  }

  /** A failure that is not one of the photos to do, such as an annotation without a photo. */
  listFailure(event: Event): void {
    this.#failed++
    if (this.#lines === 'json') say(JSON.stringify(event.json(this.figures)))
    else if (this.#lines !== 'silent') this.#aboveBar(() => complain(event.text(this.figures)))
    this.#draw()
  }

  /** Ends the bar and shows the cursor again. A second call does nothing. */
  stop(): void {
    process.off('exit', this.#stopBar)
    this.#stopBar()
  }

  #draw(): void {
    const { rate, left } = this.figures
    this.#bar?.update(this.#ended, { rate, left, failed: this.#failed })
  }

  /** Prints without mixing text into the bar, which is drawn again below. */
  #aboveBar(print: () => void): void {
    if (this.#bar) process.stderr.write('\r\u001b[K')
    print()
  }
}

/** '12 photos done in 3 s (4.0/s), 2 failed: listed above' */
export function endText({ succeeded, failures, seconds }: Progress): string {
  const rate = succeeded ? ` (${rateText(succeeded / seconds)})` : ''
  const failed = failures ? `, ${failures} failed: listed above` : ''
  return `${counted(succeeded, 'photo')} done in ${duration(seconds)}${rate}${failed}`
}

/** The first line of a run over a data set, for people. */
export function sayStart(left: number, already: number, out: string, json: boolean): void {
  const before = already ? `, ${already} done before` : ''
  if (!json) say(`${counted(left, 'photo')} to do${before}; results in ${resolve(out)}`)
}

/** The last line of a run over a data set, for people or for programs. */
export function sayEnd(progress: Progress, already: number, json: boolean): void {
  const { succeeded: done, failures: failed, seconds } = progress
  say(json ? JSON.stringify({ event: 'end', done, already, failed, seconds: Number(seconds.toFixed(3)) }) : endText(progress))
}
