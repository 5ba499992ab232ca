import { type ClassFile, ClipEsError, defaults, Segmenter } from 'clip-es'
import { planClasses, resolveModelPath } from 'clip-es/support'
import sharp from 'sharp'
import { failureEvent, Progress } from '../pipeline/progress.js'
import { encodeClasses } from '../shared/encode_classes.js'
import { loadOptions } from '../shared/engine_options.js'
import { writeOutput } from '../shared/out_folder.js'
import { complain, oneLine, say } from '../shared/say.js'
import { stopSignal } from '../shared/stop.js'
import { asUsage, UsageError } from '../shared/usage.js'
import { counted } from '../shared/wording.js'
import { classesFor, findsLabels, kindOf, readDataset } from '../sources/data_set.js'
import type { Failure, LabelledItem } from '../sources/dataset.js'
import type { Encoding } from './candidates.js'
import type { PromptsOptions } from './options.js'
import { encodingAsked } from './plan.js'
import { measurePresence } from './presence.js'
import { type Calibration, calibrate, qualityOf, sumCounts } from './thresholds.js'
import { thresholdTable } from './thresholds_table.js'

/** Runs `clip-es prompts --thresholds`. False when a photo failed: the thresholds are those of the others. */
export async function calibrateThresholds(options: PromptsOptions): Promise<boolean> {
  const kind = kindOf('prompts', options)
  if (findsLabels(options))
    throw new UsageError('prompts: --thresholds needs photos whose labels are known; --labels must name a file')
  const signal = stopSignal()
  const model = resolveModelPath(options.model)
  const file = await asUsage(() => classesFor('prompts', kind, options.classFile, model))
  const encoding = await asUsage(() => checkedEncoding(options, file))
  const { items, notes, failures } = await asUsage(() => readDataset(kind, options, file))
  const labelled = [...items].filter((item): item is LabelledItem => item.labels !== undefined)
  if (!labelled.length)
    throw new UsageError(
      `prompts: none of the ${counted(items.length, 'photo')} has a label; --thresholds needs photos whose labels are known`,
    )
  for (const note of notes) complain(note)
  for (const { id, message } of failures) complain(`clip-es: ${oneLine(id)}: ${message}`)
  sharp.concurrency(1) // the cores belong to the engine
  const segmenter = await Segmenter.load({ ...loadOptions(options), model, signal })
  const failed: Failure[] = [...failures]
  const progress = new Progress(labelled.length, 'none')
  try {
    const classes = await encodeClasses(segmenter, file.classes, { ...encoding, signal })
    const judged = await measurePresence(labelled, segmenter, classes, signal, {
      done: () => progress.done(),
      failed({ id }, message) {
        failed.push({ id, message })
        progress.failed(failureEvent(id, message, {}))
      },
    })
    if (!judged.length) throw new ClipEsError('ERR_INVALID_ARG', 'prompts: no photo could be read: listed above')
    const calibrations = calibrate(judged, classes.names.length)
    progress.stop()
    tell(file, calibrations, { photos: judged.length, failed }, options)
    if (options.out !== undefined) write(options.out, { ...file, ...encoding }, calibrations)
    return failed.length === 0
  } finally {
    progress.stop()
    await segmenter.close()
  }
}

/** Throws UsageError and ERR_INVALID_ARG. */
function checkedEncoding(options: PromptsOptions, file: ClassFile): Encoding {
  const encoding = encodingAsked(options, file)
  const { background } = planClasses(file.classes, encoding)
  if (background.length) return encoding
  throw new UsageError(
    'prompts: --thresholds needs background words, which stand for everything that is not a class; give some with --background',
  )
}

/** Prints how good the thresholds are, and which classes have none. */
function tell(
  { classes }: ClassFile,
  calibrations: readonly Calibration[],
  told: { photos: number; failed: readonly Failure[] },
  { json }: PromptsOptions,
): void {
  const names = classes.map(({ name }) => name)
  const sums = (['atDefault', 'leftOut'] as const).map((part) => qualityOf(sumCounts(calibrations.map((of) => of[part]))))
  if (json) {
    const ofClasses = calibrations.map(({ threshold, atDefault, leftOut }, c) => ({
      ...{ name: names[c], photos: atDefault.there, threshold: threshold ?? null },
      ...{ atDefault: qualityOf(atDefault), leftOut: qualityOf(leftOut) },
    }))
    say(JSON.stringify({ ...told, default: defaults.labelThreshold, classes: ofClasses, atDefault: sums[0], leftOut: sums[1] }))
  } else {
    say(`label thresholds on ${counted(told.photos, 'photo')}`)
    say(thresholdTable(names, calibrations))
    say('own: each photo is judged by the threshold that the other photos choose (leave-one-out)')
  }
  const unseen = names.filter((_, c) => calibrations[c]?.threshold === undefined)
  if (unseen.length)
    complain(
      `clip-es: no photo has ${unseen.join(', ')}: the default threshold of ${defaults.labelThreshold} stays; add photos of them`,
    )
  const [before, after] = sums.map(({ f1 }) => f1 ?? 0) as [number, number]
  if (after <= before)
    complain('clip-es: on photos that did not choose them, these thresholds are not better than the default; add photos')
}

/** Writes the class file with the thresholds, and with the words and templates that they belong to. */
function write(out: string, file: ClassFile, calibrations: readonly Calibration[]): void {
  const classes = file.classes.map((entry, c) => {
    const labelThreshold = calibrations[c]?.threshold
    return labelThreshold === undefined ? entry : { ...entry, labelThreshold }
  })
  writeOutput('prompts', '--out', out, `${JSON.stringify({ ...file, classes }, null, 2)}\n`)
  complain(`clip-es: wrote the class file ${out}`)
}
