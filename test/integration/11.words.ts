// Several words for one class, and words that compete with classes without being labels.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSpec, EncodeClassesOptions, Segmenter, SegmentOptions } from '../../ts/index.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { load, root, type Scene, scene } from './support.js'

/** A scene and its truth: 0 background, i + 1 the label i of the scene. */
interface Known {
  photo: Scene
  truth: Uint8Array
}

let segmenter: Segmenter
/** An elephant, a television and a panda. */
let room: Known
/** A soccer ball beside a bus. */
let street: Known

async function known(name: string): Promise<Known> {
  const truth = await readMask(readFileSync(join(root, `models/scenes/${name}_mask.png`)))
  return { photo: await scene(name), truth: truth.data }
}

test.before(async () => {
  segmenter = await load()
  room = await known('scene01')
  street = await known('scene02')
})
test.after(() => segmenter.close())

async function segment({ photo }: Known, classes: ClassSpec[], encoding: EncodeClassesOptions, options: SegmentOptions) {
  return await segmenter.segment(photo, await segmenter.encodeClasses(classes, encoding), options)
}

/** The share of a label's true pixels that have a value in a mask. */
function shareOf({ photo, truth }: Known, label: string, mask: Uint8Array, value: number): number {
  const there = mask.filter((_, i) => truth[i] === photo.labels.indexOf(label) + 1)
  return there.filter((found) => found === value).length / there.length
}

const kinds = ['gradcam', 'similarity'] as const

for (const maps of kinds)
  for (const fusion of ['sentence', 'feature', 'cam'] as const)
    test(`the words of a class are one label with one value in the mask: ${maps}, ${fusion}`, async () => {
      const classes = [
        { name: 'screen', synonyms: ['television', 'tv'] },
        { name: 'animal', synonyms: ['panda', 'panda bear'] },
      ]
      const { labels, scores, mask } = await segment(room, classes, { fusion, background: ['wall'] }, { maps })
      assert.equal([labels, scores.length], [['screen', 'animal'], 2])
      assert.equal([...new Set(mask)].sort(), [0, 1, 2])
      assert.ok(shareOf(room, 'television', mask, 1) > 0.5)
      assert.ok(shareOf(room, 'panda', mask, 2) > 0.5)
    })

for (const maps of kinds)
  test(`a background word takes pixels from a label and is not a label: ${maps}`, async () => {
    const busInBall = async (background: string[]) => {
      const { labels, mask } = await segment(street, ['soccer ball'], { background }, { maps })
      assert.equal(labels, ['soccer ball'])
      assert.ok(mask.every((value) => value <= 1))
      return shareOf(street, 'bus', mask, 1)
    }
    const { background } = street.photo
    const [without, withBus] = [await busInBall(background), await busInBall([...background, 'bus'])]
    assert.ok(without > 0.1 && withBus < 0.75 * without, `${without}, ${withBus}`)
  })

test.run()
