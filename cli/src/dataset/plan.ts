import { basename } from 'node:path'
import { backgrounds, type ClassFile, defaults, type EncodeClassesOptions, type Segmenter, templates } from 'clip-es'
import type { RunSettings } from '../results/manifest.js'
import { findsLabels, type Kind } from '../sources/data_set.js'
import type { DatasetOptions } from './options.js'

/** What the prompts are made of: flags, else the class file, else the paper. */
export function encodingOf(options: DatasetOptions, file: ClassFile): Required<Omit<EncodeClassesOptions, 'signal'>> {
  return {
    template: options.template ?? file.template ?? templates.clip_es,
    background: options.background ?? file.background ?? backgrounds.voc,
    fusion: file.fusion ?? defaults.fusion,
  }
}

/** Everything that results depend on but photos and labels, with every default filled in. */
export function settingsOf(kind: Kind, options: DatasetOptions, file: ClassFile, segmenter: Segmenter): RunSettings {
  const { split, annotations = '', maxSide = defaults.maxSide, backgroundPower, ignoreBelow, refine, crf } = options
  return {
    set: { voc: `voc ${split}`, coco: `coco ${basename(annotations)}`, folder: 'folder' }[kind],
    model: segmenter.model.fingerprint,
    precision: segmenter.model.precision,
    maxSide: String(maxSide),
    classes: file.classes,
    ...encodingOf(options, file),
    boxThreshold: options.boxThreshold ?? file.boxThreshold ?? defaults.boxThreshold,
    ...{ backgroundPower, ignoreBelow, refine, crf },
    ...(findsLabels(options) ? { labelThreshold: options.labelThreshold ?? defaults.labelThreshold } : {}),
  }
}
