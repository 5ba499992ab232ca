import type { ModelAnswer, Question } from './api.js'
import { initialSettings, type Settings, splitWords } from './state.js'

/** The sizes of the switch "Several sizes", relative to the photo's. */
const averagedScales = [0.75, 1, 1.25]

/** The class set of mode 'set'. */
export const chosenSet = ({ set }: Settings, { classSets }: ModelAnswer): ModelAnswer['classSets'][number] | undefined =>
  classSets.find(({ name }) => name === set) ?? classSets[0]

/** The server's value of a threshold for these settings. */
export function defaultOf(name: keyof ModelAnswer['defaults'], settings: Settings, model: ModelAnswer): number {
  const own = settings.mode === 'set' && name === 'boxThreshold' ? chosenSet(settings, model)?.boxThreshold : undefined
  return own ?? model.defaults[name]
}

/** The background words that compete if the user names none. */
export const defaultBackground = (settings: Settings, model: ModelAnswer): readonly string[] =>
  (settings.mode === 'set' ? chosenSet(settings, model)?.background : undefined) ?? model.backgrounds.voc

/** What the words in the box ask for. A chosen colour goes along, so that files have it, too. */
function classesOf({ words, colours }: Settings): (string | { name: string; colour: string })[] {
  return splitWords(words).map((name) => {
    const colour = colours[name]
    return colour === undefined ? name : { name, colour }
  })
}

/** The request for settings; undefined if there are no words yet. */
export function questionOf(settings: Settings, model: ModelAnswer): Question | undefined {
  const { mode, view, crf, maps, refine, scales, flip, labelThreshold } = settings
  const classes = mode === 'set' ? chosenSet(settings, model)?.name : classesOf(settings)
  if (!classes?.length) return undefined
  const background = splitWords(settings.background)
  const include = view === 'cams' || view === 'confidence' ? [view] : []
  const thresholds = ['boxThreshold', 'minScore', 'backgroundPower', 'backgroundBelow', 'ignoreBelow'] as const
  return {
    classes,
    ...(mode !== 'all' && { labels: 'auto', ...(labelThreshold !== undefined && { labelThreshold }) }),
    ...(background.length && { background }),
    ...(maps !== initialSettings.maps && { maps }),
    ...(!refine && { refine }),
    ...(crf && { crf }),
    ...(scales && { scales: averagedScales }),
    ...(flip && { flip }),
    ...Object.fromEntries(thresholds.flatMap((name) => (settings[name] === undefined ? [] : [[name, settings[name]]]))),
    ...(include.length && { include }),
  }
}
