import { backgrounds, type ClassEntry, type ClassFile, defaults, type EncodeClassesOptions, templates } from 'clip-es'
import { planClasses, unknownWord } from 'clip-es/support'
import { classFileNamed } from '../shared/class_sets.js'
import { type ThresholdSettings, thresholdSettings } from '../shared/label_threshold.js'
import { asUsage, UsageError } from '../shared/usage.js'
import type { SegmentArguments } from './options.js'

/** What to look for, from flags and class file. */
export interface AskedClasses extends ThresholdSettings {
  encoding: Required<Omit<EncodeClassesOptions, 'signal'>>
  names: string[]
  /** Undefined: all of them. 'auto': CLIP finds the labels of each photo. */
  labels: string[] | 'auto' | undefined
  boxThreshold: number | undefined
  /** As the class file writes them, by class. */
  colours: (string | undefined)[]
}

function explainClasses(model: string | undefined): UsageError {
  const lines = [
    'no classes are given. Name them, or a class file with synonyms and background words:',
    '  clip-es segment photo.jpg --classes cat,dog',
    '  clip-es segment photo.jpg --class-file voc',
  ]
  if (!model && !process.env.CLIP_ES_MODEL)
    lines.push(
      'The embedded model knows only things drawn as emoji. The class file emoji has their names:',
      '  clip-es segment scene.png --class-file emoji --labels cat,pizza',
    )
  return new UsageError(lines.join('\n'))
}

/** The classes asked for: of a class file those that `--classes` names, with their synonyms and colours. */
export function entriesOf(names: string[] | undefined, file: ClassFile | undefined, path: string): readonly ClassEntry[] {
  if (!file) return (names ?? []).map((name) => ({ name }))
  if (!names) return file.classes
  const known = file.classes.map(({ name }) => name)
  return names.map((name) => {
    const entry = file.classes.find((other) => other.name === name)
    if (!entry) throw unknownWord('--classes', `class of ${path}`, name, known)
    return entry
  })
}

/** `--labels auto` asks CLIP, unless a class is called so. */
function askedLabels({ labels, labelThreshold }: SegmentArguments, names: readonly string[]): AskedClasses['labels'] {
  if (labels?.length === 1 && labels[0] === 'auto' && !names.includes('auto')) return 'auto'
  if (labelThreshold !== undefined) throw new UsageError('--label-threshold needs --labels auto')
  return labels
}

/** Reads and checks what the command line says about classes, before a model is loaded. Throws UsageError. */
export async function askedClasses(given: SegmentArguments): Promise<AskedClasses> {
  const { classes, classFile, model } = given
  if (!classes && classFile === undefined) throw explainClasses(model)
  return await asUsage(() => {
    const file = classFile === undefined ? undefined : classFileNamed(classFile)
    const entries = entriesOf(classes, file, classFile ?? '')
    const encoding = {
      template: given.template ?? file?.template ?? templates.clip_es,
      background: given.background ?? file?.background ?? backgrounds.voc,
      fusion: given.fusion ?? file?.fusion ?? defaults.fusion,
    }
    const { names, background } = planClasses(entries, encoding)
    const labels = askedLabels(given, names)
    if (labels === 'auto' && !background.length)
      throw new UsageError(
        '--labels auto needs background words, which stand for everything that is not a class; give some with --background',
      )
    const named = labels === 'auto' ? names : (labels ?? names)
    for (const label of named) if (!names.includes(label)) throw unknownWord('--labels', 'class', label, names)
    const repeated = named.find((label, i) => named.indexOf(label) !== i)
    if (repeated !== undefined) throw new UsageError(`--labels has ${repeated} twice; leave one out`)
    if (named.length + background.length < 2)
      throw new UsageError(
        'there is one class and no background word, so nothing competes with the class; give --background words or more classes',
      )
    return {
      ...thresholdSettings(entries, labels === 'auto', given.labelThreshold),
      encoding,
      names,
      labels,
      boxThreshold: given.boxThreshold ?? file?.boxThreshold,
      colours: entries.map(({ colour }) => colour),
    }
  })
}
