import { initialSettings, type MapMethod, type Mode, mapMethods, modes, type Settings, type View, views } from './state.js'

// The part of the address after '#' has the settings that differ from the defaults, such as #words=cat,dog&crf=true.

const texts = ['words', 'set', 'background', 'cam', 'scene'] as const
const flags = ['refine', 'crf', 'scales', 'flip', 'outline'] as const
const numbers = [
  'labelThreshold',
  'boxThreshold',
  'minScore',
  'backgroundPower',
  'backgroundBelow',
  'ignoreBelow',
  'opacity',
] as const

/** The settings as a link has them, without '#'. Empty if all are the defaults. */
export function writeLink(settings: Readonly<Settings>): string {
  const link = new URLSearchParams()
  for (const name of [...texts, 'mode', 'view', 'maps', ...flags, ...numbers] as const) {
    const value = settings[name]
    if (value !== undefined && value !== initialSettings[name]) link.set(name, String(value))
  }
  for (const [label, colour] of Object.entries(settings.colours)) link.append('colour', `${colour.slice(1)}:${label}`)
  return link.toString().replaceAll('%2C', ',').replaceAll('%3A', ':')
}

const oneOf = <T extends string>(text: string | null, choices: readonly T[], otherwise: T): T =>
  choices.find((choice) => choice === text) ?? otherwise

/** The settings of a link. What it does not understand is the default: links may be old. */
export function readLink(hash: string): Settings {
  const link = new URLSearchParams(hash.replace(/^#/, ''))
  const settings: Settings = {
    ...initialSettings,
    mode: oneOf<Mode>(link.get('mode'), modes, initialSettings.mode),
    view: oneOf<View>(link.get('view'), views, initialSettings.view),
    maps: oneOf<MapMethod>(link.get('maps'), mapMethods, initialSettings.maps),
    colours: Object.fromEntries(
      link
        .getAll('colour')
        .map((text) => /^([0-9a-f]{6}):(.+)$/.exec(text))
        .flatMap((match) => (match ? [[match[2], `#${match[1]}`]] : [])),
    ),
  }
  for (const name of texts) settings[name] = link.get(name) ?? initialSettings[name]
  for (const name of flags) settings[name] = link.has(name) ? link.get(name) === 'true' : initialSettings[name]
  for (const name of numbers) {
    const value = Number.parseFloat(link.get(name) ?? '')
    if (Number.isFinite(value)) settings[name] = value
  }
  return settings
}
