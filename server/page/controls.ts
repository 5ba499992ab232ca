import type { ModelAnswer } from './api.js'
import { byId, create, show } from './elements.js'
import { chosenSet, defaultBackground, defaultOf } from './question.js'
import { type MapMethod, type Mode, resettable, type Settings, type Store, type Thresholds, type View } from './state.js'

/** A threshold's slider. */
interface Slider {
  name: keyof Thresholds
  title: string
  help: string
  min: number
  max: number
  step: number
}

const sliders: readonly Slider[] = [
  {
    ...{ name: 'labelThreshold', title: 'Label threshold', min: 0, max: 1, step: 0.01 },
    help: 'How sure CLIP must be to find a label. Only for labels that CLIP finds.',
  },
  {
    ...{ name: 'backgroundPower', title: 'Background power', min: 0.25, max: 8, step: 0.25 },
    help: 'Higher: a weaker background, so larger masks.',
  },
  {
    ...{ name: 'boxThreshold', title: 'Box threshold', min: 0, max: 0.95, step: 0.05 },
    help: 'Refinement looks only into boxes around a map’s values above this.',
  },
  {
    ...{ name: 'minScore', title: 'Least score', min: 0, max: 0.95, step: 0.05 },
    help: 'Labels with a lower score get no pixels. For maps by similarity, where absent words have low scores.',
  },
  {
    ...{ name: 'backgroundBelow', title: 'Background below', min: 0, max: 0.95, step: 0.05 },
    help: 'Pixels where no map is larger become background. For maps by similarity.',
  },
  {
    ...{ name: 'ignoreBelow', title: 'Ignore below', min: 0, max: 0.95, step: 0.05 },
    help: 'Pixels with less confidence are ignored. They are hatched.',
  },
]

const switches = ['refine', 'crf', 'scales', 'flip', 'outline'] as const

const viewHelp: Readonly<Record<View, string>> = {
  masks: '',
  photo: '',
  cams: 'The map of one label, dark where the photo does not speak for it, bright where it does.',
  confidence: 'How sure the winner of each pixel is: dark is unsure, bright is sure.',
}

const wordsHelp: Readonly<Record<Mode, string>> = {
  all: 'Words between commas. The masks follow as you type.',
  auto: 'Words between commas. CLIP decides which of them are in the photo.',
  set: 'CLIP decides which classes of the set are in the photo.',
}

type Bind = (settings: Readonly<Settings>, model: ModelAnswer | undefined) => void

const checked = (box: HTMLInputElement): boolean => box.checked

/** Connects the controls with the settings, both ways. @returns a function that shows settings in the controls */
export function connectControls(store: Store): Bind {
  const parts = [
    connectRadios(store, 'mode', (mode) => ({ mode: mode as Mode })),
    connectRadios(store, 'view', (view) => ({ view: view as View })),
    connectMaps(store),
    ...switches.map((name) => connectCheckbox(store, name)),
    connectText(store, 'words'),
    connectText(store, 'background'),
    connectOpacity(store),
    ...sliders.map((slider) => connectSlider(store, slider)),
    connectSets(store),
    connectBackground,
  ]
  byId('question').addEventListener('submit', (event) => event.preventDefault())
  byId('reset').addEventListener('click', () => store.update(resettable))
  byId('cam').addEventListener('change', (event) => store.update({ cam: (event.target as HTMLSelectElement).value }))
  return (settings, model) => {
    for (const part of parts) part(settings, model)
    byId('view-help').textContent = viewHelp[settings.view]
    show(byId('view-help'), viewHelp[settings.view] !== '')
    show(byId('outline-field'), settings.view === 'masks')
    byId('opacity', HTMLInputElement).disabled = settings.view === 'photo'
  }
}

function connectRadios(store: Store, name: 'mode' | 'view', change: (value: string) => Partial<Settings>): Bind {
  const radios = [...document.querySelectorAll<HTMLInputElement>(`input[name=${name}]`)]
  for (const radio of radios) radio.addEventListener('change', () => store.update(change(radio.value)))
  return (settings) => {
    for (const radio of radios) radio.checked = radio.value === settings[name]
  }
}

function connectCheckbox(store: Store, name: (typeof switches)[number]): Bind {
  const box = byId(name, HTMLInputElement)
  box.addEventListener('change', () => store.update({ [name]: checked(box) }))
  return (settings) => {
    box.checked = settings[name]
  }
}

function connectMaps(store: Store): Bind {
  const select = byId('maps', HTMLSelectElement)
  select.addEventListener('change', () => store.update({ maps: select.value as MapMethod }))
  return (settings) => {
    select.value = settings.maps
  }
}

/** The field is not written while it says the same, so that the cursor stays. */
function connectText(store: Store, name: 'words' | 'background'): Bind {
  const field = byId(name) as HTMLInputElement | HTMLTextAreaElement
  field.addEventListener('input', () => store.update({ [name]: field.value }))
  return (settings) => {
    const text = name === 'words' && settings.mode === 'set' ? '' : settings[name]
    if (field.value !== text) field.value = text
  }
}

function connectOpacity(store: Store): Bind {
  const range = byId('opacity', HTMLInputElement)
  range.addEventListener('input', () => store.update({ opacity: range.valueAsNumber }))
  return ({ opacity }) => {
    range.value = String(opacity)
    range.ariaValueText = `${Math.round(100 * opacity)} %`
  }
}

function connectSlider(store: Store, { name, title, help, min, max, step }: Slider): Bind {
  const limits = { min: String(min), max: String(max), step: String(step) }
  const range = create('input', { type: 'range', id: name, ...limits })
  const output = create('output', {})
  output.htmlFor.add(name)
  const note = create('p', { className: 'help', id: `${name}-help`, textContent: help })
  range.setAttribute('aria-describedby', note.id)
  byId('sliders').append(create('div', {}, create('label', { htmlFor: name }, title), output, range, note))
  range.addEventListener('input', () => store.update({ [name]: range.valueAsNumber }))
  return (settings, model) => {
    const value = settings[name] ?? (model ? defaultOf(name, settings, model) : 0)
    range.value = String(value)
    output.value = String(value)
    if (name === 'labelThreshold') range.disabled = settings.mode === 'all'
    if (name === 'boxThreshold') range.disabled = !settings.refine
  }
}

function connectSets(store: Store): Bind {
  const select = byId('set', HTMLSelectElement)
  select.addEventListener('change', () => store.update({ set: select.value }))
  return (settings, model) => {
    if (model && !select.options.length)
      for (const { name, classes } of model.classSets)
        select.append(create('option', { value: name, textContent: `${name} (${classes.length})` }))
    const set = model && chosenSet(settings, model)
    if (set) select.value = set.name
    const words = byId('words', HTMLInputElement)
    show(byId('set-field'), settings.mode === 'set')
    byId('words-help').textContent = wordsHelp[settings.mode]
    words.disabled = settings.mode === 'set'
    words.placeholder =
      settings.mode === 'set' && set ? `any of the ${set.classes.length} classes of ${set.name}` : 'cat, dog, sofa'
  }
}

const connectBackground: Bind = (settings, model) => {
  if (model) byId('background', HTMLTextAreaElement).placeholder = defaultBackground(settings, model).join(', ')
}

/** The labels of which one has its map shown. */
export function showCamChoice(names: readonly string[], { view, cam }: Readonly<Settings>): void {
  const select = byId('cam', HTMLSelectElement)
  if (names.join('\n') !== [...select.options].map(({ value }) => value).join('\n'))
    select.replaceChildren(...names.map((name) => create('option', { value: name, textContent: name })))
  select.value = names.includes(cam) ? cam : (names[0] ?? '')
  show(byId('cam-field'), view === 'cams' && names.length > 0)
}
