// node --import tsx bench/coco.ts [IMAGES] [ANNOTATIONS]: how long annotations of COCO's size (train2014's, if not told) take to be read by
// clip-es dataset and by clip-es eval, and how much memory. They are made up, with outlines of about as many corners as COCO's.
import { spawnSync } from 'node:child_process'
import { closeSync, mkdtempSync, openSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { openTruth } from '../cli/src/eval/truth.js'
import { readCocoDataset } from '../cli/src/sources/coco.js'
import { LabelIndex } from '../cli/src/sources/label_index.js'
import { classSets } from '../ts/index.js'

const [width, height, corners] = [640, 480, 29]
const names = classSets.coco.classes.map(({ name }) => name)
const photoOf = (image: number): string => `COCO_train2014_${String(image).padStart(12, '0')}.jpg`

const imageText = (id: number): string =>
  JSON.stringify({
    ...{ license: 5, file_name: photoOf(id), coco_url: `http://images.cocodataset.org/train2014/${photoOf(id)}` },
    ...{ height, width, date_captured: '2013-11-14 16:28:13', flickr_url: 'http://farm4.staticflickr.com/3153/photo_z.jpg', id },
  })

function annotationText(id: number, images: number): string {
  const count = 2 * (3 + Math.floor(2 * (corners - 3) * Math.random()))
  const outline = Array.from({ length: count }, (_, i) => Number(((i % 2 ? height : width) * Math.random()).toFixed(2)))
  const category_id = 1 + Math.floor(names.length * Math.random())
  const image_id = Math.floor(images * Math.random())
  return JSON.stringify({ segmentation: [outline], area: count, iscrowd: 0, image_id, bbox: [1, 2, 3, 4], category_id, id })
}

function writeAnnotations(path: string, images: number, annotations: number): void {
  const file = openSync(path, 'w')
  const list = (name: string, count: number, text: (i: number) => string) => {
    writeSync(file, `"${name}": [`)
    for (let i = 0; i < count; i += 1000) {
      const lines = Array.from({ length: Math.min(1000, count - i) }, (_, k) => text(i + k))
      writeSync(file, (i ? ', ' : '') + lines.join(', '))
    }
    writeSync(file, ']')
  }
  writeSync(file, '{')
  list('images', images, imageText)
  writeSync(file, ', ')
  list('annotations', annotations, (i) => annotationText(i, images))
  writeSync(file, `, "categories": ${JSON.stringify(names.map((name, i) => ({ id: i + 1, name })))}}`)
  closeSync(file)
}

const ways: Readonly<Record<string, (folder: string, file: string) => unknown>> = {
  'as a data set': (folder, file) => readCocoDataset(folder, file, new LabelIndex(names)),
  'as ground truth': (_, file) => openTruth(file, ['background', ...names]).read(photoOf(0).slice(0, -4)),
}

/** In a process of its own, whose memory is nobody else's. */
async function read(way: string, folder: string, file: string): Promise<void> {
  const start = performance.now()
  await ways[way]?.(folder, file)
  const seconds = (performance.now() - start) / 1000
  console.log(`${way.padEnd(16)} ${seconds.toFixed(1)} s, at most ${(process.resourceUsage().maxRSS / 1e6).toFixed(2)} GB`)
}

function main(images: number, annotations: number): void {
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-coco-'))
  const file = join(folder, 'instances_train2014.json')
  writeAnnotations(file, images, annotations)
  for (let image = 0; image < images; image++) writeFileSync(join(folder, photoOf(image)), '')
  console.log(`${images} images, ${annotations} annotations, ${(statSync(file).size / 1e6).toFixed(0)} MB`)
  for (const way of Object.keys(ways))
    spawnSync(process.execPath, [...process.execArgv, __filename, way, folder, file], { stdio: 'inherit' })
  rmSync(folder, { recursive: true })
}

const [first = '82783', second = '604907', third] = process.argv.slice(2)
if (third === undefined) main(Number(first), Number(second))
else void read(first, second, third)
