import { drawOverlay, type OverlayLabel } from 'clip-es/photos'
import sharp from 'sharp'
import type { DemoResult } from './result.js'

/** What the page shows of a scene. They are data: URLs, so that the page is a single file. */
export interface ScenePictures {
  photo: string
  found: string
  foundWithCrf: string
  truth: string
}

export async function drawScene({ scene, mask, crfMask, objects }: DemoResult): Promise<ScenePictures> {
  const draw = (map: Uint8Array) => overlayUrl(scene.image, map, objects)
  const [photo, found, foundWithCrf, truth] = await Promise.all([
    dataUrl(scene.file),
    draw(mask),
    draw(crfMask),
    draw(scene.truth),
  ])
  return { photo, found, foundWithCrf, truth }
}

/** At the scene's own size: enlarging it makes the demo slower and the page no clearer. */
const overlayUrl = async (image: DemoResult['scene']['image'], map: Uint8Array, labels: readonly OverlayLabel[]) =>
  await dataUrl(await drawOverlay(image, map, labels, { legend: false, scale: 1 }))

async function dataUrl(file: Buffer): Promise<string> {
  const small = await sharp(file).webp({ quality: 88, effort: 2 }).toBuffer()
  return `data:image/webp;base64,${small.toString('base64')}`
}
