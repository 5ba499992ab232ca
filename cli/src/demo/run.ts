import { join, resolve } from 'node:path'
import { type ClassSet, Segmenter } from 'clip-es'
import { encodeMask, vividColour } from 'clip-es/photos'
import { embeddedModel, writeWhole } from 'clip-es/support'
import { iou } from '../metrics/iou.js'
import { makeOutFolder } from '../shared/out_folder.js'
import { complain, say } from '../shared/say.js'
import { explainFailure } from './failure.js'
import { demoPage } from './page.js'
import { drawScene, type ScenePictures } from './pictures.js'
import { type DemoObject, type DemoResult, failureBelow, isFailure, isOff, sumUp, tolerance } from './result.js'
import { type DemoScene, demoClasses, demoScenes } from './scenes.js'

/** Runs the demo into a folder. Returns false if an IoU differs from the reference. */
export async function demo(out: string): Promise<boolean> {
  makeOutFolder('demo', out)
  const { classes: specs, template, fusion, background, boxThreshold } = demoClasses()
  const scenes = await demoScenes(specs.map(({ name }) => name))
  const segmenter = await Segmenter.load(embeddedModel(), { precision: 'float32' })
  const results: DemoResult[] = []
  const pictures: ScenePictures[] = []
  try {
    const classes = await segmenter.encodeClasses(specs, { template, fusion, background })
    say(row('scene', 'object', 'IoU', 'reference', 'with CRF'))
    for (const scene of scenes) {
      const result = await runScene(segmenter, classes, scene, boxThreshold)
      const [drawn] = await Promise.all([drawScene(result), writeFiles(out, result)])
      for (const object of result.objects) say(objectRow(scene.name, object))
      results.push(result)
      pictures.push(drawn)
    }
    writeWhole(join(out, 'index.html'), demoPage(results, pictures, segmenter.model))
  } finally {
    await segmenter.close()
  }
  return summarise(results, out)
}

async function runScene(segmenter: Segmenter, classes: ClassSet, scene: DemoScene, boxThreshold?: number): Promise<DemoResult> {
  const { image, labels } = scene
  const options = { labels, boxThreshold }
  const start = performance.now()
  const encoded = await segmenter.encode(image)
  const { mask, scores } = await encoded.segment(classes, options)
  const middle = performance.now()
  const { mask: crfMask } = await encoded.segment(classes, { ...options, crf: true })
  const end = performance.now()
  encoded.dispose()
  const objects = labels.map((name, i) => judge(name, i, scene, { classes, scores, mask, crfMask }))
  return { scene, mask, crfMask, objects, milliseconds: middle - start, crfMilliseconds: end - middle }
}

interface Found {
  classes: ClassSet
  scores: ArrayLike<number>
  mask: Uint8Array
  crfMask: Uint8Array
}

function judge(name: string, i: number, { truth, reference }: DemoScene, { classes, scores, mask, crfMask }: Found): DemoObject {
  const value = classes.names.indexOf(name) + 1
  const object: DemoObject = {
    name,
    value,
    colour: vividColour(i),
    probability: scores[i] as number,
    iou: iou(mask, truth, value),
    reference: reference[i] as number,
    crfIou: iou(crfMask, truth, value),
  }
  const failed = isFailure(object.iou) ? mask : isFailure(object.crfIou) ? crfMask : undefined
  if (failed) object.failure = explainFailure(failed, truth, value, (other) => classes.names[other - 1] as string)
  return object
}

async function writeFiles(out: string, { scene, mask, crfMask }: DemoResult): Promise<void> {
  const { name, image, file } = scene
  const { width, height } = image
  const write = async (end: string, data: Uint8Array) =>
    writeWhole(join(out, `${name}${end}.png`), await encodeMask(data, { width, height }))
  writeWhole(join(out, `${name}.png`), file)
  await write('_mask', mask)
  await write('_mask_crf', crfMask)
}

const row = (scene: string, label: string, ...figures: string[]): string =>
  `${scene.padEnd(9)} ${label.padEnd(14)}${figures.map((figure) => figure.padStart(11)).join('')}`

function objectRow(scene: string, object: DemoObject): string {
  const { name, iou, reference, crfIou, failure } = object
  const notes = [isOff(object) ? 'differs from the reference' : '', failure ? 'failure' : ''].filter((note) => note !== '')
  return [row(scene, name, ...[iou, reference, crfIou].map((value) => value.toFixed(3))), ...notes].join('  ')
}

function summarise(results: readonly DemoResult[], out: string): boolean {
  const { objects, iou, reference, crfIou, failures, crfFailures, off } = sumUp(results)
  say(row('mean', `${objects} objects`, ...[iou, reference, crfIou].map((value) => value.toFixed(3))))
  say(`\nObjects with an IoU below ${failureBelow}: ${failures} without the CRF, ${crfFailures} with it. The page says why.`)
  say(`Open this page in a browser: ${join(resolve(out), 'index.html')}`)
  if (off)
    complain(
      `clip-es: the IoU of ${off} of ${objects} objects differs from the reference implementation by more than ${tolerance}; ` +
        'npx clip-es doctor shows which libraries and CPU features are used',
    )
  return off === 0
}
