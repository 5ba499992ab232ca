import { plainName } from '../files/existing.js'
import { stemOf } from './names.js'

/** Finds photos by name, with or without extension, whatever the Unicode form. */
export class PhotoIndex {
  readonly #byPath = new Map<string, string>()
  readonly #byStem = new Map<string, string[]>()

  /** @param paths '/'-separated */
  constructor(readonly paths: readonly string[]) {
    for (const path of paths) {
      this.#byPath.set(plainName(path), path)
      const stem = plainName(stemOf(path))
      const others = this.#byStem.get(stem)
      if (others) others.push(path)
      else this.#byStem.set(stem, [path])
    }
  }

  /** The photos that go by a name: several where only their extensions differ. */
  matches(name: string): string[] {
    const path = this.#byPath.get(plainName(name))
    return path === undefined ? (this.#byStem.get(plainName(name)) ?? []) : [path]
  }

  hasStem(plainStem: string): boolean {
    return this.#byStem.has(plainStem)
  }
}
