import { basename } from 'node:path'
import {
  backgrounds,
  type ClassFile,
  type ClassSet,
  defaults,
  type EncodeClassesOptions,
  type Segmenter,
  type SegmentOptions,
  templates,
} from 'clip-es'
import { resolveSegmentOptions } from 'clip-es/support'
import { type RunSettings, settingsHash } from '../results/manifest.js'
import type { OutputKind } from '../results/store.js'
import { encodeClasses } from '../shared/encode_classes.js'
import { encodedEntries, thresholdSettings } from '../shared/label_threshold.js'
import { mapOptions, mapSettings } from '../shared/maps_option.js'
import { asUsage } from '../shared/usage.js'
import { findsLabels, type Kind } from '../sources/data_set.js'
import type { DatasetOptions } from './options.js'
import type { DatasetJob } from './photo.js'

/** What the prompts are made of: flags, else the class file, else the paper. */
function encodingOf(options: DatasetOptions, file: ClassFile): Required<Omit<EncodeClassesOptions, 'signal'>> {
  return {
    template: options.template ?? file.template ?? templates.clip_es,
    background: options.background ?? file.background ?? backgrounds.voc,
    fusion: file.fusion ?? defaults.fusion,
  }
}

/** Everything that results depend on but photos and labels, with every default filled in. */
export function settingsOf(kind: Kind, options: DatasetOptions, file: ClassFile, segmenter: Segmenter): RunSettings {
  const { split, annotations = '', maxSide = defaults.maxSide, backgroundPower, ignoreBelow, refine, crf } = options
  const { classes, ...threshold } = thresholdSettings(file.classes, findsLabels(options), options.labelThreshold)
  return {
    set: { voc: `voc ${split}`, coco: `coco ${basename(annotations)}`, folder: 'folder' }[kind],
    model: segmenter.model.fingerprint,
    precision: segmenter.model.precision,
    maxSide: String(maxSide),
    classes,
    ...encodingOf(options, file),
    boxThreshold: options.boxThreshold ?? file.boxThreshold ?? defaults.boxThreshold,
    ...{ backgroundPower, ignoreBelow, refine, crf },
    ...mapSettings(options),
    ...threshold,
  }
}

/** Which files are written for each photo. */
export const outputsOf = ({ confidence, cams }: DatasetOptions): OutputKind[] => [
  'mask',
  ...(confidence ? (['confidence'] as const) : []),
  ...(cams ? (['cams'] as const) : []),
]

/**
 * What all photos of a run share, from its settings alone: a run in this process and a worker of a queue make it in the same way.
 * @param segmenter has the settings' model, precision and longest side
 * @throws UsageError for classes that cannot be encoded and options that do not fit
 */
export async function jobOf(
  segmenter: Segmenter,
  settings: RunSettings,
  outputs: readonly OutputKind[],
  signal: AbortSignal,
): Promise<DatasetJob> {
  const { template, background, fusion, labelThreshold } = settings
  const encoding = { template, background, fusion, signal } as EncodeClassesOptions
  const classes: ClassSet = await encodeClasses(segmenter, encodedEntries(settings), encoding)
  const { boxThreshold, backgroundPower, ignoreBelow, refine, crf } = settings
  const include = outputs.filter((output) => output !== 'mask')
  const auto = labelThreshold === undefined ? {} : { labels: 'auto' as const }
  const how = { boxThreshold, backgroundPower, ignoreBelow, refine, crf, ...mapOptions(mapSettings(settings)) }
  const options: SegmentOptions = { ...how, include, ...auto, signal }
  await asUsage(() => resolveSegmentOptions('dataset', options, classes))
  return {
    ...{ segmenter, classes, options, outputs },
    colours: settings.classes.map(({ colour }) => colour),
    settings: settingsHash(settings),
  }
}
