// What a threshold of the confidence keeps of the pseudo masks that the network learns from, and how right it is.
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { readMask } from 'clip-es/photos'
import sharp from 'sharp'
import { masksOf, truthOf } from './data.mjs'

const thresholds = [0, 0.8, 0.9, 0.95]
const white = 65535

const newCounts = () => ({ kept: 0, right: 0, objects: 0, keptObjects: 0, wrongBackground: 0 })

/**
 * @returns by threshold: share of the pixels that are kept; share of these whose label is right; share of the true objects' pixels that are
 * kept; and which share of those is labelled as background
 */
export async function keptPixels(work) {
  const counts = thresholds.map(newCounts)
  let pixels = 0
  const masks = join(masksOf(work, 'train'), 'masks')
  const files = readdirSync(masks, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.png'))
  for (const file of files) {
    const [{ data: mask }, { data: truth }] = await Promise.all(
      [join(masks, file), join(truthOf(work, 'train'), file)].map((path) => readMask(readFileSync(path))),
    )
    const confidence = await confidenceOf(join(masksOf(work, 'train'), 'confidence', file))
    pixels += mask.length
    for (const [t, threshold] of thresholds.entries()) count(counts[t], mask, truth, confidence, threshold * white)
  }
  return thresholds.map((threshold, t) => {
    const { kept, right, objects, keptObjects, wrongBackground } = counts[t]
    return {
      threshold,
      kept: kept / pixels,
      right: right / kept,
      objects: keptObjects / objects,
      lost: wrongBackground / keptObjects,
    }
  })
}

async function confidenceOf(file) {
  const bytes = await sharp(file).toColourspace('grey16').raw({ depth: 'ushort' }).toBuffer()
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
}

function count(counts, mask, truth, confidence, least) {
  for (let i = 0; i < mask.length; i++) {
    const isObject = truth[i] !== 0
    if (isObject) counts.objects++
    if (confidence[i] < least) continue
    counts.kept++
    if (mask[i] === truth[i]) counts.right++
    if (!isObject) continue
    counts.keptObjects++
    if (mask[i] === 0) counts.wrongBackground++
  }
}
