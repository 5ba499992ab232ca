import { realpathSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { backgrounds, defaults, type Segmenter, templates } from 'clip-es'
import { invalid, show } from 'clip-es/support'
import type { BatchTask } from 'clip-es-server'
import { isWithin } from '../../photos/names.js'
import type { RunSettings } from '../../results/manifest.js'
import { thresholdSettings } from '../../shared/label_threshold.js'
import { mapSettings } from '../../shared/maps_option.js'
import { LabelIndex } from '../../sources/label_index.js'

/** Everything that the masks of a batch depend on but photos and labels. */
export function settingsOf({ classes, options }: BatchTask, { model }: Segmenter, maxSide: number): RunSettings {
  const { boxThreshold, backgroundPower, ignoreBelow, refine = true, crf = false, labelThreshold, labels } = options
  const { classes: entries, ...threshold } = thresholdSettings(classes.classes, labels === 'auto', labelThreshold)
  return {
    set: 'batch',
    ...{ model: model.fingerprint, precision: model.precision, maxSide: String(maxSide) },
    classes: entries,
    template: classes.template ?? templates.clip_es,
    background: classes.background ?? backgrounds.voc,
    fusion: classes.fusion ?? defaults.fusion,
    boxThreshold: boxThreshold ?? defaults.boxThreshold,
    backgroundPower: backgroundPower ?? defaults.backgroundPower,
    ignoreBelow: ignoreBelow ?? defaults.ignoreBelow,
    ...{ refine, crf },
    ...mapSettings(options),
    ...threshold,
  }
}

type Labels = readonly (string | number)[]

/** The indices of classes, ascending and each once. Throws ERR_INVALID_ARG. */
export function indicesOf(labels: Labels, names: readonly string[]): number[] {
  const index = new LabelIndex(names)
  const words = labels.map((label) => {
    if (typeof label === 'string') return label
    const name = names[label]
    if (name === undefined) throw invalid(`there is no class ${label}; the classes are numbered from 0 to ${names.length - 1}`)
    return name
  })
  const found = index.resolve(words)
  if (!found.length) throw invalid('labels is an empty list; name at least one class, or leave labels out')
  return found
}

/** The classes of photos without labels of their own. Undefined where CLIP finds them. */
export function commonLabels({ classes, options: { labels } }: BatchTask): number[] | undefined {
  const names = classes.classes.map(({ name }) => name)
  if (labels === 'auto') return undefined
  return labels === undefined ? [...names.keys()] : indicesOf(labels as Labels, names)
}

/**
 * Checks that the photos of a batch are in the folder that workers see, and not behind a link that leads out of it.
 * @throws ERR_INVALID_ARG
 */
export function checkPhotos(photos: BatchTask['photos'], root: string): void {
  const realRoot = realpathSync(root)
  for (const { path } of photos) {
    if (path === undefined) continue
    const file = join(realRoot, path)
    const stats = statSync(file, { throwIfNoEntry: false })
    if (!stats?.isFile() || !isWithin(realpathSync(file), realRoot))
      throw invalid(`there is no photo ${show(path)} in the folder of the server's --batch-root; check its path`)
  }
}
