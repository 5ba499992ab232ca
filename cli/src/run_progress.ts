import { SingleBar } from 'cli-progress'
import { percent } from 'clip-es/support'
import { complain, hasBar, oneLine, say } from './say.js'

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

/** How far a run over many photos is: a bar on a terminal, else a line for each photo, or a JSON object for each with --json; `quiet` has only the bar. */
export class RunProgress {
  readonly #start = performance.now()
  readonly #bar: SingleBar | undefined
  #ended = 0
  #failed = 0

  constructor(
    readonly total: number,
    readonly how: 'text' | 'json' | 'quiet',
  ) {
    if (how === 'json' || !hasBar() || !total) return
    this.#bar = new SingleBar({
      format: '{bar} {value}/{total} | {rate} | {left} left | {failed} failed',
      hideCursor: true,
      stopOnComplete: false,
      gracefulExit: false, // signals are the command's: stop.ts
    })
    this.#bar.start(total, 0, { rate: '–', left: '–', failed: 0 })
  }

  /** Seconds since the run began. */
  get seconds(): number {
    return (performance.now() - this.#start) / 1000
  }

  get failures(): number {
    return this.#failed
  }

  /** Photos a second. */
  get rate(): number {
    return this.#ended / this.seconds
  }

  done(id: string, more: Record<string, unknown>, line: string): void {
    this.#ended++
    this.#tell({ event: 'done', id, ...more }, `${oneLine(id)}: ${line}`)
  }

  failed(id: string, message: string): void {
    this.#ended++
    this.listFailure(id, message)
  }

  /** A failure that is not one of the total: annotations of nothing. */
  listFailure(id: string, message: string): void {
    this.#failed++
    if (this.how === 'json') this.#tell({ event: 'failed', id, message }, '')
    else this.#above(() => complain(`clip-es: ${oneLine(id)}: ${message}`))
    this.#update()
  }

  stop(): void {
    this.#bar?.stop()
  }

  #state(): { rate: string; left: string } {
    return { rate: rateText(this.rate), left: duration((this.total - this.#ended) / this.rate) }
  }

  #tell(event: Record<string, unknown>, line: string): void {
    const { rate, left } = this.#state()
    if (this.how === 'json')
      say(JSON.stringify({ ...event, ended: this.#ended, total: this.total, perSecond: Number(this.rate.toPrecision(4)) }))
    else if (!this.#bar && this.how === 'text') say(`${line} (${this.#ended}/${this.total}, ${rate}, ${left} left)`)
    this.#update()
  }

  #update(): void {
    this.#bar?.update(this.#ended, { ...this.#state(), failed: this.#failed })
  }

  /** Says something without tearing the bar: it is drawn again below. */
  #above(say: () => void): void {
    if (this.#bar) process.stderr.write('\r\u001b[K')
    say()
  }
}

/** Pixels of 255, if there are any: '2.3 % ignored', '100 % ignored'. */
export const ignoredText = (share: number): string[] => (share === 0 ? [] : [`${share === 1 ? '100 %' : percent(share)} ignored`])
