import { SingleBar } from 'cli-progress'
import { duration, rateText } from '../pipeline/progress.js'
import { hasBar, say } from '../shared/say.js'
import type { IterationEvent, TrainEvent } from './events.js'
import { meanOf } from './report.js'

const recent = 20 // losses and times whose mean is shown
const linesPerRun = 100

/**
 * Reports a training run. A terminal gets one live line; a pipe a line at each hundredth of the run, each validation and the end; --json every
 * event of the program.
 */
export class TrainProgress {
  readonly #bar: SingleBar | undefined
  readonly #recent: IterationEvent[] = []
  #iteration = 0
  #miou = '–'

  constructor(
    readonly total: number,
    readonly json: boolean,
  ) {
    if (!hasBar() || (json && process.stdout.isTTY)) return
    this.#bar = new SingleBar({
      format: '{bar} {value}/{total} | loss {loss} | mIoU {miou} | {rate} | {left} left',
      hideCursor: true,
      stopOnComplete: false,
      gracefulExit: false, // signals are the command's: stop.ts
    })
    process.once('exit', this.#stopBar)
  }

  readonly #stopBar = (): void => this.#bar?.stop()

  get iteration(): number {
    return this.#iteration
  }

  report(event: TrainEvent): void {
    if (this.json) say(JSON.stringify(event))
    switch (event.event) {
      case 'start':
        this.#iteration = event.iteration
        this.#bar?.start(this.total, event.iteration, this.#figures())
        this.#line(
          `${event.resumed ? `continues at iteration ${event.iteration}` : 'begins'}: ${event.parameters.toLocaleString('en')} parameters on ${event.device}, ${event.threads} threads`,
        )
        break
      case 'iteration':
        this.#iterate(event)
        break
      case 'validation':
        this.#miou = `${(100 * event.miou).toFixed(1)} %`
        this.#line(`iteration ${event.iteration}: validation mIoU ${this.#miou}`)
        break
      case 'end':
        this.stop()
        break
    }
  }

  #iterate(event: IterationEvent): void {
    this.#iteration = event.iteration
    this.#recent.push(event)
    if (this.#recent.length > recent) this.#recent.shift()
    const figures = this.#figures()
    this.#bar?.update(event.iteration, figures)
    if (event.iteration % Math.max(1, Math.ceil(this.total / linesPerRun)) === 0)
      this.#line(`${event.iteration}/${this.total}: loss ${figures.loss}, ${figures.rate}, ${figures.left} left`)
  }

  #figures(): { loss: string; miou: string; rate: string; left: string } {
    const seconds = meanOf(this.#recent.map((event) => event.seconds))
    return {
      loss: meanOf(this.#recent.map(({ loss }) => loss))?.toFixed(3) ?? '–',
      miou: this.#miou,
      rate: seconds ? rateText(1 / seconds) : '–',
      left: seconds === undefined ? '–' : duration((this.total - this.#iteration) * seconds),
    }
  }

  /** Where lines and bar would share one terminal, there is only the bar. */
  #line(text: string): void {
    if (!this.json && !(this.#bar && process.stdout.isTTY)) say(text)
  }

  /** Ends the bar and shows the cursor again. A second call does nothing. */
  stop(): void {
    process.off('exit', this.#stopBar)
    this.#stopBar()
  }
}
