import { hexColour } from 'clip-es/photos'
import { byId, create } from './elements.js'
import { colourOf, percent } from './result.js'
import type { Store } from './state.js'
import type { Work } from './work.js'

/** The list of labels: colour, name, how sure CLIP is, how much of the photo. A name switches its mask off and on. */
export class Labels {
  readonly hidden = new Set<string>()
  readonly #list = byId('labels')
  readonly #store: Store
  readonly #redraw: () => void
  #shown = ''
  /** The label that the pointer or the focus is on. */
  emphasised: string | undefined

  constructor(store: Store, redraw: () => void) {
    this.#store = store
    this.#redraw = redraw
  }

  emphasise(name: string | undefined): void {
    if (name === this.emphasised) return
    this.emphasised = name
    for (const row of this.#list.children) row.classList.toggle('emphasised', (row as HTMLElement).dataset.name === name)
    this.#redraw()
  }

  show({ result, photo }: Work): void {
    const labels = result?.answer.labels ?? []
    byId('labels-empty').textContent = !photo || labels.length ? '' : result ? nothing : 'Type words to see their masks.'
    const pixels = (result?.answer.width ?? 1) * (result?.answer.height ?? 1)
    // Rows that stay keep their focus: they are made anew only when names change.
    const names = JSON.stringify(labels.map(({ name }) => name))
    if (names !== this.#shown) this.#list.replaceChildren(...labels.map(({ name }) => this.#row(name)))
    this.#shown = names
    for (const [i, { name, score, presence, pixels: own }] of labels.entries()) {
      const row = this.#list.children[i] as HTMLElement
      const colour = hexColour(colourOf(name, i, this.#store.settings))
      row.style.setProperty('--colour', colour)
      row.style.setProperty('--score', String(presence ?? score))
      ;(row.querySelector('input') as HTMLInputElement).value = colour
      const button = row.querySelector('button') as HTMLButtonElement
      button.ariaPressed = String(!this.hidden.has(name))
      row.classList.toggle('hidden-label', this.hidden.has(name))
      const sure = presence === undefined ? `probability ${percent(score)}` : `presence ${percent(presence)}`
      ;(row.querySelector('.numbers') as HTMLElement).textContent =
        `${sure} · ${own ? `${percent(own / pixels)} of the photo` : 'no pixel'}`
    }
  }

  #row(name: string): HTMLElement {
    const colour = create('input', { type: 'color', title: `Colour of ${name}`, ariaLabel: `Colour of ${name}` })
    colour.addEventListener('input', () => {
      this.#store.update({ colours: { ...this.#store.settings.colours, [name]: colour.value } })
    })
    const button = create('button', { type: 'button', className: 'name', title: `Show or hide the mask of ${name}` }, name)
    button.addEventListener('click', () => {
      if (!this.hidden.delete(name)) this.hidden.add(name)
      this.#redraw()
    })
    const meter = create('span', { className: 'meter', ariaHidden: 'true' })
    const row = create('li', {}, colour, button, create('span', { className: 'numbers' }), meter)
    row.dataset.name = name
    row.addEventListener('pointerenter', () => this.emphasise(name))
    row.addEventListener('pointerleave', () => this.emphasise(undefined))
    row.addEventListener('focusin', () => this.emphasise(name))
    row.addEventListener('focusout', () => this.emphasise(undefined))
    return row
  }
}

const nothing = 'Nothing was found. Lower the label threshold, or choose “All these words”.'
