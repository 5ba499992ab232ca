import { defaults, type SegmentOptions, type SimilarityOptions, type SimilarityPreset, similarityPresets } from 'clip-es'
import { type Command, Option } from 'commander'
import { numberFrom, someScales } from './usage.js'

const presets = Object.keys(similarityPresets) as SimilarityPreset[]
const methods = ['gradcam', 'similarity'] as const

/** GradCAM, similarity as the library's default has it, or a published method by its name. */
export type MapsName = (typeof methods)[number] | SimilarityPreset

/** What the command line says about maps. */
export interface MapArguments {
  maps: MapsName
  scales?: number[]
  flip?: true
  minScore?: number
  backgroundBelow?: number
}

/** How the maps of a run are made, where it is not the default. */
export interface MapSettings {
  maps?: MapsName | SimilarityOptions
  scales?: readonly number[]
  flip?: boolean
  minScore?: number
  backgroundBelow?: number
}

export function addMapOptions(command: Command): Command {
  return command
    .addOption(
      new Option(
        '--maps <method>',
        'how the maps are made: gradcam (the paper), or by comparing patches with all words at once: similarity, or one of its presets',
      )
        .choices([...methods, ...presets])
        .default('gradcam'),
    )
    .option(
      '--scales <scales>',
      'scales of the photo whose maps are averaged, such as 0.75,1,1.25 (default: 1)',
      someScales(0.25, 4),
    )
    .option('--flip', 'also average the maps of the mirrored photo')
    .option(
      '--min-score <x>',
      `a label with a lower score gets no pixels, 0 to 1; for --maps similarity (default: ${defaults.minScore})`,
      numberFrom(0, 1),
    )
    .option(
      '--background-below <x>',
      `pixels where no map is larger become background, 0 to 1; for --maps similarity (default: ${defaults.backgroundBelow})`,
      numberFrom(0, 1),
    )
}

/** The settings of a run. Defaults are left out, so that runs of earlier versions, which lack them, have the same settings. */
export function mapSettings({
  maps = 'gradcam',
  scales = [1],
  flip = false,
  minScore = defaults.minScore,
  backgroundBelow = defaults.backgroundBelow,
}: MapSettings): MapSettings {
  return {
    ...(maps === 'gradcam' ? {} : { maps }),
    ...(scales.length === 1 && scales[0] === 1 ? {} : { scales }),
    ...(flip ? { flip } : {}),
    ...(minScore === defaults.minScore ? {} : { minScore }),
    ...(backgroundBelow === defaults.backgroundBelow ? {} : { backgroundBelow }),
  }
}

/** The library's options. */
export function mapOptions({ maps, ...rest }: MapSettings): Pick<SegmentOptions, keyof MapSettings> {
  const isPreset = typeof maps === 'string' && presets.includes(maps as SimilarityPreset)
  return { ...rest, ...(maps === undefined ? {} : { maps: (isPreset ? { preset: maps } : maps) as SegmentOptions['maps'] }) }
}
