const mostFull = 0.7
const free = -1

/**
 * A hash table for many entries that lie elsewhere, such as lines of files. It has where each one is, and a small number for it, in 14 bytes a slot. Equal
 * hashes are told apart by the caller, who looks at the entries.
 */
export class PlaceTable {
  #hashes: Uint32Array
  #places: Float64Array
  #notes: Uint16Array
  #size = 0

  /** @param slots a power of two */
  constructor(slots = 2 ** 12) {
    this.#hashes = new Uint32Array(slots)
    this.#places = new Float64Array(slots).fill(free)
    this.#notes = new Uint16Array(slots)
  }

  /** The slot of an entry, or a free one for it. Valid until the next `set`. */
  find(hash: number, isAt: (place: number) => boolean): number {
    const mask = this.#places.length - 1
    let slot = hash & mask
    while (this.#places[slot] !== free && !(this.#hashes[slot] === hash && isAt(this.#places[slot] as number)))
      slot = (slot + 1) & mask
    return slot
  }

  /** Undefined where the slot is free. */
  at(slot: number): { place: number; note: number } | undefined {
    const place = this.#places[slot] as number
    return place === free ? undefined : { place, note: this.#notes[slot] as number }
  }

  set(slot: number, hash: number, place: number, note: number): void {
    if (this.#places[slot] === free) this.#size++
    this.#hashes[slot] = hash
    this.#places[slot] = place
    this.#notes[slot] = note
    if (this.#size > mostFull * this.#places.length) this.#grow()
  }

  #grow(): void {
    const larger = new PlaceTable(2 * this.#places.length)
    for (const [slot, place] of this.#places.entries()) {
      if (place === free) continue
      const hash = this.#hashes[slot] as number
      larger.set(
        larger.find(hash, () => false),
        hash,
        place,
        this.#notes[slot] as number,
      )
    }
    this.#hashes = larger.#hashes
    this.#places = larger.#places
    this.#notes = larger.#notes
  }

  get places(): Float64Array {
    return this.#places.filter((place) => place !== free)
  }
}

/** FNV-1a of a text's code units. */
export function hashOf(text: string): number {
  let hash = 0x811c9dc5
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193)
  return hash >>> 0
}
