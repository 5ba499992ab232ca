// A program of its own, so that a crash in native code is a finding and not the doctor's end: loads the model that the argument names
// and prints a line of JSON; without an argument the embedded one, which then segments a scene.

import { type ModelInfo, Segmenter } from 'clip-es'
import { embeddedModel } from 'clip-es/support'
import { demoClasses, demoScenes } from '../demo/scenes.js'
import { iou } from '../metrics/iou.js'

/** What the line holds. */
export type Trial = { model: ModelInfo; objects: TrialObject[]; milliseconds: number } | { error: string }

/** A label of the scene and its IoU, found and by the reference implementation. */
export interface TrialObject {
  label: string
  iou: number
  reference: number
}

async function segmentScene(segmenter: Segmenter): Promise<TrialObject[]> {
  const { classes: specs, template, fusion, background, boxThreshold } = demoClasses()
  const names = specs.map(({ name }) => name)
  const [scene] = await demoScenes(names)
  if (!scene) throw new Error('the package has no scenes')
  const classes = await segmenter.encodeClasses(specs, { template, fusion, background })
  const { mask } = await segmenter.segment(scene.image, classes, { labels: scene.labels, boxThreshold })
  return scene.labels.map((label, i) => {
    const found = iou(mask, scene.truth, names.indexOf(label) + 1)
    return { label, iou: found, reference: scene.reference[i] as number }
  })
}

async function attempt(path: string | undefined): Promise<Trial> {
  try {
    const start = performance.now()
    const segmenter = await Segmenter.load(path ?? embeddedModel(), { precision: 'float32' })
    const objects = path === undefined ? await segmentScene(segmenter) : []
    await segmenter.close()
    return { model: segmenter.model, objects, milliseconds: Math.round(performance.now() - start) }
  } catch (error) {
    return { error: (error as Error).message }
  }
}

if (require.main === module) void attempt(process.argv[2]).then((trial) => process.stdout.write(JSON.stringify(trial)))
