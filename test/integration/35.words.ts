// Several words for one class, and words that compete with classes without being labels.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSpec, EncodeClassesOptions, Segmenter, SegmentOptions } from '../../ts/index.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { load, root, type Scene, scene } from './support.js'

let segmenter: Segmenter
let photo: Scene
/** The scene's truth: 0 background, i + 1 the label i of the scene. */
let truth: Uint8Array

test.before(async () => {
  segmenter = await load()
  photo = await scene('scene01') // an elephant, a television and a panda
  truth = (await readMask(readFileSync(join(root, 'models/scenes/scene01_mask.png')))).data
})
test.after(() => segmenter.close())

async function segment(classes: ClassSpec[], encoding: EncodeClassesOptions, options: SegmentOptions) {
  return await segmenter.segment(photo, await segmenter.encodeClasses(classes, encoding), options)
}

const kinds = ['gradcam', 'similarity'] as const

for (const maps of kinds)
  for (const fusion of ['sentence', 'feature', 'cam'] as const)
    test(`the words of a class are one label with one value in the mask: ${maps}, ${fusion}`, async () => {
      const classes = ['television', { name: 'animal', synonyms: ['panda', 'elephant', 'panda bear'] }]
      const { labels, scores, mask } = await segment(classes, { fusion, background: ['wall'] }, { maps })
      assert.equal([labels, scores.length], [['television', 'animal'], 2])
      assert.equal([...new Set(mask)].sort(), [0, 1, 2])
      for (const name of ['panda', 'elephant']) {
        const there = mask.filter((_, i) => truth[i] === photo.labels.indexOf(name) + 1)
        const asAnimal = there.filter((value) => value === 2).length / there.length
        console.log(maps, fusion, name, asAnimal)
      }
    })

for (const maps of kinds)
  test(`a background word takes pixels from the labels and is no label: ${maps}`, async () => {
    /** How many pixels of the television become something else. */
    const lost = async (background: string[]) => {
      const { labels, mask } = await segment(['elephant', 'panda'], { background }, { maps })
      assert.equal(labels, ['elephant', 'panda'])
      assert.ok(mask.every((value) => value <= 2))
      return mask.filter((value, i) => value > 0 && truth[i] === photo.labels.indexOf('television') + 1).length
    }
    console.log(maps, await lost(['wall']), await lost(['wall', 'television']), truth.filter((v) => v === 2).length)
  })

test.run()
