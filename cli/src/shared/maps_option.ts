import { type SegmentOptions, type SimilarityPreset, similarityPresets } from 'clip-es'
import { Option } from 'commander'

const presets = Object.keys(similarityPresets) as SimilarityPreset[]
const methods = ['gradcam', 'similarity'] as const

/** GradCAM, similarity as the library's default has it, or a published method by its name. */
export type MapsName = (typeof methods)[number] | SimilarityPreset

export const mapsOption = (): Option =>
  new Option(
    '--maps <method>',
    'how the maps are made: gradcam (the paper), or by comparing patches with all words at once: similarity, or one of its presets',
  )
    .choices([...methods, ...presets])
    .default('gradcam')

/** The library's option. GradCAM is its default and is left out. */
export function mapsOf(name: MapsName): Pick<SegmentOptions, 'maps'> {
  if (name === 'gradcam') return {}
  return { maps: name === 'similarity' ? name : { preset: name } }
}
