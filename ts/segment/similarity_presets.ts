import { checkBoolean, checkInteger, checkNumber, checkOneOf, checkOptions, wrong } from '../core/check.js'
import { defaults } from '../core/defaults.js'
import type { MapMethod, SimilarityOptions, SimilarityPreset, SimilaritySettings } from '../core/segment_types.js'

const clip: SimilaritySettings = {
  attention: 'query',
  neighbourhood: 0,
  residual: true,
  feedForward: true,
  attendClass: true,
  mix: 0,
  mixFactor: 1,
  repair: 0,
  midAttention: false,
  aggregate: false,
  fuse: false,
  classToken: 0,
  logitScale: 40,
  window: 0,
  stride: 0,
}
/** The last block's keys alone, which several methods begin with. */
const keys: SimilaritySettings = { ...clip, attention: 'key', residual: false, feedForward: false }
const naclip: SimilaritySettings = { ...keys, neighbourhood: 5 }

/** The published methods, with the settings of their papers for VOC. */
export const similarityPresets: Readonly<Record<SimilarityPreset, Readonly<SimilaritySettings>>> = Object.freeze({
  clip,
  naclip,
  resclip: { ...naclip, mix: 0.3, mixFactor: 2 },
  'sc-clip': { ...keys, attendClass: false, repair: 0.05, midAttention: true, aggregate: true, fuse: true, classToken: 0.3 },
})

const presetNames = Object.keys(similarityPresets) as SimilarityPreset[]
const methods: readonly MapMethod[] = ['gradcam', 'similarity']
const names: readonly (keyof SimilarityOptions)[] = ['preset', ...(Object.keys(clip) as (keyof SimilaritySettings)[])]

/** The option `maps` with its preset filled in, undefined for GradCAM. Throws ERR_INVALID_ARG. */
export function resolveMaps(call: string, maps: unknown): SimilaritySettings | undefined {
  if (maps === undefined) return undefined
  if (typeof maps === 'object' && maps !== null) return resolveSimilarity(call, maps)
  if (typeof maps !== 'string') throw wrong(call, 'maps', maps, "'gradcam', 'similarity' or an object of settings")
  return checkOneOf(call, 'maps', maps, methods) === 'gradcam' ? undefined : resolveSimilarity(call, {})
}

function resolveSimilarity(call: string, options: SimilarityOptions): SimilaritySettings {
  const { preset = defaults.similarityPreset, ...given } = checkOptions(`${call}: maps`, options, names)
  const known = similarityPresets[checkOneOf(call, 'maps.preset', preset, presetNames)]
  const own = Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
  return checkSettings(call, { ...known, ...own })
}

function checkSettings(call: string, settings: SimilaritySettings): SimilaritySettings {
  const number = (name: keyof SimilaritySettings, lowest: number, highest: number) =>
    checkNumber(call, `maps.${name}`, settings[name], lowest, highest)
  const flag = (name: keyof SimilaritySettings) => checkBoolean(call, `maps.${name}`, settings[name])
  const pixels = (name: keyof SimilaritySettings) => checkInteger(call, `maps.${name}`, settings[name], 0, 1e6)
  return {
    attention: checkOneOf(call, 'maps.attention', settings.attention, ['query', 'key']),
    neighbourhood: number('neighbourhood', 0, 1e6),
    residual: flag('residual'),
    feedForward: flag('feedForward'),
    attendClass: flag('attendClass'),
    mix: number('mix', 0, 1),
    mixFactor: number('mixFactor', 1e-3, 1e3),
    repair: number('repair', 0, 0.5),
    midAttention: flag('midAttention'),
    aggregate: flag('aggregate'),
    fuse: flag('fuse'),
    classToken: number('classToken', 0, 10),
    logitScale: number('logitScale', 1e-3, 1e4),
    window: pixels('window'),
    stride: pixels('stride'),
  }
}
