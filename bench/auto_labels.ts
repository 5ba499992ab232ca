// node --import tsx bench/auto_labels.ts [PICTURES]
// Precision and recall of labels that CLIP finds by itself (labels: 'auto'), by the embedded model: on the shipped scenes, and on
// pictures generated from them. Each way of asking is judged at the threshold that is best for the pictures made of the other half of
// the scenes, so that no picture is judged by a threshold that it had a part in choosing; the way that is used (looked at closely)
// also at fixed thresholds.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { demoClasses, demoScenes } from '../cli/src/demo/scenes.js'
import { makeDemoSet } from '../test/e2e/demo_set.js'
import { competingTexts, textProbabilities } from '../ts/classes/text_scores.js'
import { defaults } from '../ts/core/defaults.js'
import type { ClassSet, ImageData } from '../ts/index.js'
import { Segmenter } from '../ts/index.js'
import { largestValues, smoothPatches } from '../ts/labels/patches.js'
import { readPhoto } from '../ts/photos/read_photo.js'

interface Picture {
  /** Which half of the scenes it is made of. */
  half: number
  image: ImageData
  labels: readonly string[]
}

const ways = ['photo as a whole', 'best patch', 'best 3 x 3 patches', 'looked at closely'] as const
type Way = (typeof ways)[number]

/** A class in a picture: whether it is there, and how present CLIP thinks it is. */
interface Judged {
  half: number
  there: boolean
  presence: number
}

async function generated(folder: string, count: number): Promise<Picture[]> {
  const made = [...(await makeDemoSet(folder, count))]
  const read = made.map(async ([id, labels], i) => {
    const image = await readPhoto(join(folder, 'photos', `${id}.png`), { orientation: 'ignored' })
    return { half: i % 2, image, labels } // scenes take turns
  })
  return await Promise.all(read)
}

async function judge(segmenter: Segmenter, classes: ClassSet, pictures: readonly Picture[]): Promise<Record<Way, Judged[]>> {
  const texts = competingTexts(classes, 'with background')
  const judged = Object.fromEntries(ways.map((way) => [way, [] as Judged[]])) as Record<Way, Judged[]>
  for (const { image, labels, half } of pictures) {
    const encoded = await segmenter.encode(image)
    const { image: whole, patches, logitScale } = await encoded.embeddings({ patches: true })
    const ofPatches = textProbabilities(patches as Float32Array, texts, logitScale)
    const presence: Record<Way, Float64Array | Float32Array> = {
      'photo as a whole': textProbabilities(whole, texts, logitScale),
      'best patch': largestValues(ofPatches, texts.rows.length / texts.embedding),
      'best 3 x 3 patches': largestValues(smoothPatches(ofPatches, encoded.grid, texts.classes), texts.classes),
      'looked at closely': (await encoded.segment(classes, { labels: 'auto', labelThreshold: 0 })).presence as Float32Array,
    }
    encoded.dispose()
    for (const way of ways)
      for (const [c, name] of classes.names.entries())
        judged[way].push({ half, there: labels.includes(name), presence: presence[way][c] as number })
  }
  return judged
}

/** In percent. */
function figures(judged: readonly Judged[], threshold: number | ((half: number) => number)) {
  let [hits, found, there] = [0, 0, 0]
  for (const one of judged) {
    const isFound = one.presence >= (typeof threshold === 'number' ? threshold : threshold(one.half))
    if (isFound) found++
    if (one.there) there++
    if (isFound && one.there) hits++
  }
  return { precision: found ? (100 * hits) / found : 0, recall: (100 * hits) / there, f1: (200 * hits) / (found + there) }
}

const thresholds = Array.from({ length: 99 }, (_, i) => (i + 1) / 100)
const bestThreshold = (judged: readonly Judged[]): number =>
  thresholds.reduce((best, next) => (figures(judged, next).f1 > figures(judged, best).f1 ? next : best))

function row(name: string, threshold: string, { precision, recall, f1 }: ReturnType<typeof figures>): string {
  return [name.padEnd(20), threshold.padStart(12), ...[precision, recall, f1].map((value) => value.toFixed(1).padStart(10))].join(
    '',
  )
}

function table(judged: Record<Way, Judged[]>): string {
  const head = [
    'way of asking'.padEnd(20),
    'threshold'.padStart(12),
    ...['precision', 'recall', 'F1'].map((name) => name.padStart(10)),
  ]
  const lines = ways.map((way) => {
    const [even, odd] = [0, 1].map((half) => bestThreshold(judged[way].filter((one) => one.half === half))) as [number, number]
    // A half is judged by the other's threshold.
    return row(
      way,
      `${odd.toFixed(2)}, ${even.toFixed(2)}`,
      figures(judged[way], (half) => (half ? even : odd)),
    )
  })
  const chosen = [0.05, 0.1, defaults.labelThreshold, 0.2, 0.3].map((threshold) =>
    row('looked at closely', threshold.toFixed(2), figures(judged['looked at closely'], threshold)),
  )
  return [head.join(''), ...lines, ...chosen].join('\n')
}

async function main(count: number): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-bench-'))
  const segmenter = await Segmenter.load()
  try {
    const { classes, ...encoding } = demoClasses()
    const { template, fusion, background } = encoding
    const specs = classes.map(({ name, synonyms = [name] }) => ({ name, synonyms }))
    const set = await segmenter.encodeClasses(specs, { template, fusion, background })
    const scenes = await demoScenes(set.names)
    const shipped = scenes.map(({ image, labels }, i) => ({ half: i % 2, image, labels }))
    console.log(`${scenes.length} shipped scenes, ${set.names.length} classes, ${set.background.length} background words, %`)
    console.log(table(await judge(segmenter, set, shipped)))
    console.log(`\n${count} pictures generated from them`)
    console.log(table(await judge(segmenter, set, await generated(folder, count))))
  } finally {
    await segmenter.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

main(Number(process.argv[2] ?? 360)).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
