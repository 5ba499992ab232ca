import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { encodeMask, readMask } from '../../ts/photos/mask_png.js'

const root = join(__dirname, '../..')
const scenesFolder = join(root, 'models/scenes')
const classFile = JSON.parse(readFileSync(join(root, 'models/emoji-classes.json'), 'utf8')) as { classes: { name: string }[] }

/** The classes that the embedded model knows, in the order of their numbers. */
export const emojiNames = classFile.classes.map(({ name }) => name)

interface Scene {
  rgb: Buffer
  /** Values are class index + 1. */
  truth: Uint8Array
  width: number
  height: number
}

async function readScene(name: string, labels: string[]): Promise<Scene> {
  const { data: rgb, info } = await sharp(join(scenesFolder, `${name}.png`))
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true })
  const drawn = await readMask(readFileSync(join(scenesFolder, `${name}_mask.png`)))
  const values = [0, ...labels.map((label) => emojiNames.indexOf(label) + 1)]
  return { rgb, truth: drawn.data.map((index) => values[index] as number), width: info.width, height: info.height }
}

/** Numbers in [0, 1) that are the same at every run (mulberry32). */
export function randomNumbers(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A part of a scene, mirrored or not. */
function cut({ rgb, truth, width }: Scene, left: number, top: number, w: number, h: number, mirror: boolean): Scene {
  const out = { rgb: Buffer.alloc(w * h * 3), truth: new Uint8Array(w * h), width: w, height: h }
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const from = (top + y) * width + left + (mirror ? w - 1 - x : x)
      const to = y * w + x
      out.truth[to] = truth[from] as number
      for (let c = 0; c < 3; c++) out.rgb[to * 3 + c] = rgb[from * 3 + c] as number
    }
  return out
}

/** What is in a scene: at least 1 % of it. */
function labelsOf({ truth }: Scene): string[] {
  const counts = new Map<number, number>()
  for (const value of truth) counts.set(value, (counts.get(value) ?? 0) + 1)
  const values = [...counts].filter(([value, count]) => value && count * 100 >= truth.length).map(([value]) => value)
  return values.sort((a, b) => a - b).map((value) => emojiNames[value - 1] as string)
}

/**
 * A data set with ground truth: the shipped scenes cropped, mirrored and recoloured, each differently.
 * Writes photos/NN/NNNN.png, truth/NN/NNNN.png and labels.csv.
 * @returns the labels by id
 */
export async function makeDemoSet(folder: string, count: number, seed = 1): Promise<Map<string, string[]>> {
  const all = JSON.parse(readFileSync(join(scenesFolder, 'labels.json'), 'utf8')) as Record<string, { labels: string[] }>
  const scenes = await Promise.all(Object.entries(all).map(([name, { labels }]) => readScene(name, labels)))
  const random = randomNumbers(seed)
  const made = new Map<string, string[]>()
  for (let i = 0; made.size < count; i++) {
    const scene = scenes[i % scenes.length] as Scene
    const [w, h] = [Math.floor(scene.width * (0.7 + 0.3 * random())), Math.floor(scene.height * (0.7 + 0.3 * random()))]
    const [left, top] = [Math.floor(random() * (scene.width - w + 1)), Math.floor(random() * (scene.height - h + 1))]
    const part = cut(scene, left, top, w, h, random() < 0.5)
    const labels = labelsOf(part)
    const brightness = 0.85 + 0.3 * random()
    const hue = Math.floor(random() * 30)
    if (!labels.length) continue
    const number = made.size
    const id = `${String(Math.floor(number / 100)).padStart(2, '0')}/${String(number).padStart(4, '0')}`
    for (const kind of ['photos', 'truth']) mkdirSync(join(folder, kind, id.slice(0, 2)), { recursive: true })
    await sharp(part.rgb, { raw: { width: w, height: h, channels: 3 } })
      .modulate({ brightness, hue })
      .png({ compressionLevel: 3 })
      .toFile(join(folder, 'photos', `${id}.png`))
    const truth = await encodeMask(part.truth, { width: w, height: h })
    writeFileSync(join(folder, 'truth', `${id}.png`), truth)
    made.set(id, labels)
  }
  const lines = [...made].map(([id, labels]) => `${id}.png,${labels.join(';')}`)
  writeFileSync(join(folder, 'labels.csv'), `image,labels\n${lines.join('\n')}\n`)
  return made
}

// npx tsx test/e2e/demo_set.ts FOLDER COUNT
if (require.main === module) void makeDemoSet(process.argv[2] as string, Number(process.argv[3]))
