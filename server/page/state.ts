// What the user has chosen. Everything on the page is drawn from it, and a link restores it.

/** Which labels are in the photo: all words, those of the words that CLIP finds, or those of a class set that it finds. */
export type Mode = 'all' | 'auto' | 'set'
export type View = 'masks' | 'cams' | 'confidence' | 'photo'

/** How the maps are made. */
export type MapMethod = 'gradcam' | 'similarity'

export const mapMethods: readonly MapMethod[] = ['gradcam', 'similarity']
export const modes: readonly Mode[] = ['all', 'auto', 'set']
export const views: readonly View[] = ['masks', 'cams', 'confidence', 'photo']

/** Numbers that a request can have. Undefined: the server's default. */
export interface Thresholds {
  labelThreshold?: number | undefined
  boxThreshold?: number | undefined
  minScore?: number | undefined
  backgroundPower?: number | undefined
  backgroundBelow?: number | undefined
  ignoreBelow?: number | undefined
}

export interface Settings extends Thresholds {
  /** As typed. */
  words: string
  mode: Mode
  /** The class set of mode 'set'; empty for the first one. */
  set: string
  maps: MapMethod
  refine: boolean
  crf: boolean
  /** Maps are averaged over several sizes of the photo. */
  scales: boolean
  /** Maps are averaged over the photo and its mirror image. */
  flip: boolean
  /** As typed; empty for the server's. */
  background: string
  view: View
  /** The label of view 'cams'; empty for the first one. */
  cam: string
  /** 0 to 1. */
  opacity: number
  outline: boolean
  /** '#rrggbb' by label, where the user has chosen one. */
  colours: Readonly<Record<string, string>>
  /** The demo scene, if the photo is one. */
  scene: string
}

export const initialSettings: Readonly<Settings> = {
  words: '',
  mode: 'all',
  set: '',
  maps: 'gradcam',
  refine: true,
  crf: false,
  scales: false,
  flip: false,
  background: '',
  view: 'masks',
  cam: '',
  opacity: 0.55,
  outline: true,
  colours: {},
  scene: '',
}

/** The settings that the button Reset puts back: not the words and the scene. */
export const resettable: Readonly<Partial<Settings>> = {
  maps: 'gradcam',
  refine: true,
  crf: false,
  scales: false,
  flip: false,
  background: '',
  labelThreshold: undefined,
  boxThreshold: undefined,
  minScore: undefined,
  backgroundPower: undefined,
  backgroundBelow: undefined,
  ignoreBelow: undefined,
  opacity: initialSettings.opacity,
  outline: true,
  colours: {},
}

/** The words between commas, each once. While somebody types, the last one may be missing. */
export function splitWords(text: string): string[] {
  const words = text.split(/[,;\n]/).map((word) => word.trim().replace(/\s+/g, ' '))
  return [...new Set(words.filter((word) => word !== ''))]
}

type Listener = (settings: Readonly<Settings>) => void

export class Store {
  #settings: Readonly<Settings>
  readonly #listeners: Listener[] = []

  constructor(settings: Readonly<Settings>) {
    this.#settings = settings
  }

  get settings(): Readonly<Settings> {
    return this.#settings
  }

  /** Changes some settings and tells all listeners. */
  update(changes: Partial<Settings>): void {
    this.#settings = { ...this.#settings, ...changes }
    for (const listener of this.#listeners) listener(this.#settings)
  }

  /** Calls back now, and after each change. */
  subscribe(listener: Listener): void {
    this.#listeners.push(listener)
    listener(this.#settings)
  }
}
