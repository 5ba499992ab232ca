import { join, resolve } from 'node:path'
import { type ClassSet, Segmenter } from 'clip-es'
import { drawOverlay, encodeMask, vividColour } from 'clip-es/photos'
import { embeddedModel, writeWhole } from 'clip-es/support'
import { iou } from '../metrics/iou.js'
import { makeOutFolder } from '../out_folder.js'
import { complain, say } from '../say.js'
import { demoPage } from './page.js'
import { type DemoObject, type DemoResult, isOff, meanOf, objectsOf, tolerance } from './result.js'
import { type DemoScene, demoClasses, demoScenes } from './scenes.js'

/** Runs the demo into a folder; false if an IoU is off the reference. */
export async function demo(out: string): Promise<boolean> {
  makeOutFolder('demo', out)
  const { classes: specs, template, fusion, background, boxThreshold } = demoClasses()
  const scenes = await demoScenes(specs.map(({ name }) => name))
  const segmenter = await Segmenter.load(embeddedModel(), { precision: 'float32' })
  const results: DemoResult[] = []
  try {
    const classes = await segmenter.encodeClasses(specs, { template, fusion, background })
    say(row('scene', 'label', 'IoU', 'reference'))
    for (const scene of scenes) {
      const result = await runScene(segmenter, classes, scene, boxThreshold)
      await writeImages(out, result)
      for (const object of result.objects) say(objectRow(scene.name, object))
      results.push(result)
    }
    writeWhole(join(out, 'index.html'), demoPage(results, segmenter.model))
  } finally {
    await segmenter.close()
  }
  return summarise(results, out)
}

async function runScene(segmenter: Segmenter, classes: ClassSet, scene: DemoScene, boxThreshold?: number): Promise<DemoResult> {
  const { image, labels, truth, reference } = scene
  const start = performance.now()
  const { mask, scores } = await segmenter.segment(image, classes, { labels, boxThreshold })
  const seconds = (performance.now() - start) / 1000
  const objects = labels.map((name, i) => {
    const value = classes.names.indexOf(name) + 1
    return {
      name,
      value,
      colour: vividColour(i),
      probability: scores[i] as number,
      iou: iou(mask, truth, value),
      reference: reference[i] as number,
    }
  })
  return { scene, mask, objects, seconds }
}

async function writeImages(out: string, { scene, mask, objects }: DemoResult): Promise<void> {
  const { name, image, file, truth } = scene
  const { width, height } = image
  writeWhole(join(out, `${name}.png`), file)
  writeWhole(join(out, `${name}_mask.png`), await encodeMask(mask, { width, height }))
  writeWhole(join(out, `${name}_truth.png`), await drawOverlay(image, truth, objects, { legend: false }))
  writeWhole(join(out, `${name}_overlay.png`), await drawOverlay(image, mask, objects))
}

const row = (scene: string, label: string, ...figures: string[]): string =>
  `${scene.padEnd(9)} ${label.padEnd(14)}${figures.map((figure) => figure.padStart(11)).join('')}`

const objectRow = (scene: string, object: DemoObject): string =>
  row(scene, object.name, object.iou.toFixed(3), object.reference.toFixed(3)) + (isOff(object) ? '  off the reference' : '')

function summarise(results: readonly DemoResult[], out: string): boolean {
  const objects = objectsOf(results)
  const off = objects.filter(isOff).length
  say(row('mean', `${objects.length} objects`, meanOf(results, 'iou').toFixed(3), meanOf(results, 'reference').toFixed(3)))
  say(`\nMasks, overlays and a page to look at: ${join(resolve(out), 'index.html')}`)
  if (off)
    complain(
      `clip-es: ${off} of ${objects.length} objects are more than ${tolerance} off the reference implementation; ` +
        'npx clip-es doctor shows what was used',
    )
  return off === 0
}
