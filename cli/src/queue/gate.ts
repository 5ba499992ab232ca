/** Lets photos in together, or one alone. Whoever wants to be alone goes first. */
export class Gate {
  #inside = 0
  #alone = false
  #wantAlone = 0
  #waiting: (() => void)[] = []

  /** What `work` gives, when it may begin. */
  async pass<T>(alone: boolean, work: () => Promise<T>): Promise<T> {
    await this.#enter(alone)
    try {
      return await work()
    } finally {
      this.#inside--
      this.#alone = false
      for (const wake of this.#waiting.splice(0)) wake()
    }
  }

  async #enter(alone: boolean): Promise<void> {
    if (alone) this.#wantAlone++
    while (this.#alone || (alone ? this.#inside > 0 : this.#wantAlone > 0))
      await new Promise<void>((wake) => this.#waiting.push(wake))
    if (alone) this.#wantAlone--
    this.#alone = alone
    this.#inside++
  }
}
