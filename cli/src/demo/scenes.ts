import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { ClassFile, ImageData } from 'clip-es'
import { readClassFile, readMask } from 'clip-es/photos'
import { embeddedModel } from 'clip-es/support'
import sharp from 'sharp'

const models = (): string => dirname(embeddedModel())

export interface DemoScene {
  name: string
  /** The photo's file, to be shown as it is. */
  file: Buffer
  image: ImageData
  labels: string[]
  /** Ground truth with the values of a result's mask: class index + 1. */
  truth: Uint8Array
  /** IoU of each label by the reference implementation (tools/golden/clip_es.py). */
  reference: number[]
}

interface SceneEntry {
  labels: string[]
  /** With class-aware attention-based affinity, as the demo runs. */
  iou_caa: number[]
}

/** What the embedded model knows, and how it is asked. */
export const demoClasses = (): ClassFile => readClassFile(join(models(), 'emoji-classes.json'))

/** The scenes that the package brings along, in the order of their names. */
export async function demoScenes(classNames: readonly string[]): Promise<DemoScene[]> {
  const folder = join(models(), 'scenes')
  const all = JSON.parse(readFileSync(join(folder, 'labels.json'), 'utf8')) as Record<string, SceneEntry>
  return Promise.all(
    Object.entries(all)
      .sort(([a], [b]) => a.localeCompare(b, 'en'))
      .map(async ([name, { labels, iou_caa: reference }]) => {
        const file = readFileSync(join(folder, `${name}.png`))
        const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true })
        const drawn = await readMask(join(folder, `${name}_mask.png`))
        // The file counts the scene's own labels from 1.
        const values = [0, ...labels.map((label) => classNames.indexOf(label) + 1)]
        const truth = drawn.data.map((index) => values[index] as number)
        return { name, file, image: { data, width: info.width, height: info.height }, labels, truth, reference }
      }),
  )
}
