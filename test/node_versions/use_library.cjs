// What an application does with the built library: require.cjs and import.mjs pass what they loaded.
const assert = require('node:assert/strict')
const { readFileSync } = require('node:fs')
const { join } = require('node:path')
const sharp = require('sharp')

const scenes = join(__dirname, '../../models/scenes')

/** Intersection over union of the pixels that have a value in a mask and in the truth. */
function iou(mask, truth, value) {
  let [intersection, union] = [0, 0]
  for (const [i, found] of mask.entries()) {
    intersection += Number(found === value && truth[i] === value)
    union += Number(found === value || truth[i] === value)
  }
  return intersection / union
}

/** Loads the embedded model, segments a scene, and smooths its first map by a CRF. The masks must be where the objects are. */
exports.useLibrary = async ({ Segmenter, denseCrf, ClipEsError }, { readMask }) => {
  const { labels, background } = JSON.parse(readFileSync(join(scenes, 'labels.json'), 'utf8')).scene01
  const truth = await readMask(join(scenes, 'scene01_mask.png'))
  const { data, info } = await sharp(join(scenes, 'scene01.png')).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  const { width, height } = info

  const segmenter = await Segmenter.load(join(scenes, '../emoji-clip.pt'), { threads: 2, precision: 'float32' })
  const classes = await segmenter.encodeClasses(labels, { background })
  const image = { data, width, height }
  const { mask, cams } = await segmenter.segment(image, classes, { include: ['cams'] })
  for (const [i, label] of labels.entries()) assert.ok(iou(mask, truth.data, i + 1) > 0.6, label)
  await assert.rejects(segmenter.segment(image, classes, { labels: ['sofa'] }), ClipEsError)
  await segmenter.close()

  const map = cams.subarray(0, width * height)
  const scores = Float32Array.from({ length: 2 * map.length }, (_, i) => (i < map.length ? 1 - map[i] : map[i - map.length]))
  const crf = await denseCrf({ rgb: data, width, height, scores, labels: 2 })
  for (let i = 0; i < map.length; i++) assert.ok(Math.abs(crf.marginals[i] + crf.marginals[map.length + i] - 1) < 1e-5)
  const first = truth.data.map((value) => Number(value === 1))
  assert.ok(iou(crf.mask, first, 1) > 0.6, `${labels[0]} after the CRF`)
}
