// node --import tsx tools/words/templates.ts SET [COUNT]
// Compares ways to choose a template without masks on a data set that tools/demo-model/run.sh --set drew. For each of the 81 templates it prints the
// figures by which templates can be chosen (sharpness, with labels; entropy, without) and how good the masks are (mIoU with given and with found
// labels, with CAA and without CRF). Then, for each way to choose, the rank correlation with the mIoU and the mIoU of the template it chooses.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Confusion, meanOfNumbers } from '../../cli/src/metrics/confusion.js'
import { entropyOf, varianceToMean } from '../../cli/src/prompts/measures.js'
import { competingTexts, textProbabilities } from '../../ts/classes/text_scores.js'
import { type ClassSet, type EncodedImage, Segmenter, templates } from '../../ts/index.js'
import { readClassFile, readMask, readPhoto } from '../../ts/photos/index.js'

interface Photo {
  photo: string
  labels: string[]
}

function photosOf(set: string, count: number): Photo[] {
  const [, ...lines] = readFileSync(join(set, 'labels.csv'), 'utf8').trim().split('\n')
  return lines.slice(0, count).map((line) => {
    const [photo = '', labels = ''] = line.split(',')
    return { photo, labels: labels.split(';') }
  })
}

/** A template and what is summed up of it. */
interface Tried {
  name: string
  classes: ClassSet
  sharpness: number[]
  entropy: number[]
  patchEntropy: number[]
  given: Confusion
  auto: Confusion
}

async function tryPhoto(tried: Tried, encoded: EncodedImage, labels: readonly string[], truth: Uint8Array): Promise<void> {
  const { classes } = tried
  const { image, patches, logitScale } = await encoded.embeddings({ patches: true })
  const alone = textProbabilities(image, competingTexts(classes, 'classes alone'), logitScale)
  const targets = labels.map((name) => alone[classes.names.indexOf(name)] as number)
  if (targets.length > 1) tried.sharpness.push(varianceToMean(targets))
  tried.entropy.push(entropyOf(alone))
  const all = competingTexts(classes, 'with background')
  const texts = all.rows.length / all.embedding
  const atPatches = textProbabilities(patches as Float32Array, all, logitScale)
  for (let at = 0; at < atPatches.length; at += texts) tried.patchEntropy.push(entropyOf(atPatches.subarray(at, at + texts)))
  tried.given.add((await encoded.segment(classes, { labels })).mask, truth)
  tried.auto.add((await encoded.segment(classes, { labels: 'auto' })).mask, truth)
}

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length
const miou = (confusion: Confusion): number => 100 * meanOfNumbers(confusion.classes().map(({ iou }) => iou))

/** Places in ascending order, with mean places for equal values. */
function ranks(values: readonly number[]): number[] {
  return values.map((value) => {
    const below = values.filter((other) => other < value).length
    return below + (values.filter((other) => other === value).length - 1) / 2
  })
}

/** Spearman's rank correlation. */
function correlation(a: readonly number[], b: readonly number[]): number {
  const [x, y] = [ranks(a), ranks(b)]
  const [mx, my] = [mean(x), mean(y)]
  const product = mean(x.map((value, i) => (value - mx) * ((y[i] as number) - my)))
  const spread = (values: readonly number[], m: number) => Math.sqrt(mean(values.map((value) => (value - m) ** 2)))
  return product / (spread(x, mx) * spread(y, my))
}

async function main([set = '', count]: string[]): Promise<void> {
  if (!existsSync(join(set, 'labels.csv')))
    throw new Error(`there is no data set in '${set}'; draw one with tools/demo-model/run.sh --set DIR`)
  const { classes: specs, fusion, background } = readClassFile(join(__dirname, '../../models/emoji-classes.json'))
  const segmenter = await Segmenter.load({ threads: 1, precision: 'float32' })
  const names = [templates.clip_es, ...templates.imagenet]
  const tried: Tried[] = []
  for (const [name, template] of [...names.map((one) => [one, one] as const), ['mean of the 80', templates.imagenet] as const]) {
    const classes = await segmenter.encodeClasses(specs, { template, fusion, background })
    const size = classes.names.length + 1
    tried.push({
      name,
      classes,
      sharpness: [],
      entropy: [],
      patchEntropy: [],
      given: new Confusion(size),
      auto: new Confusion(size),
    })
  }
  for (const { photo, labels } of photosOf(set, Number(count ?? 60))) {
    const encoded = await segmenter.encode(await readPhoto(join(set, 'photos', photo), { orientation: 'ignored' }))
    const truth = await readMask(join(set, 'truth', photo))
    for (const one of tried) await tryPhoto(one, encoded, labels, truth.data)
    encoded.dispose()
  }
  await segmenter.close()
  report(tried)
}

function report(tried: readonly Tried[]): void {
  const rows = tried.map((one) => ({
    name: one.name,
    sharpness: mean(one.sharpness),
    entropy: mean(one.entropy),
    patchEntropy: mean(one.patchEntropy),
    given: miou(one.given),
    auto: miou(one.auto),
  }))
  const head = ['sharpness', 'entropy', 'of patches', 'mIoU given', 'mIoU found']
  console.log(head.map((cell) => cell.padStart(11)).join(''))
  for (const { name, ...of } of [...rows].sort((a, b) => a.entropy - b.entropy))
    console.log(
      `${Object.values(of)
        .map((value) => value.toFixed(3).padStart(11))
        .join('')}  ${name}`,
    )
  const single = rows.slice(0, -1)
  const line = (name: string, cells: readonly string[]) =>
    console.log(name.padEnd(24) + cells.map((cell) => cell.padStart(13)).join(''))
  console.log()
  line('chosen by', ['rank corr.', 'mIoU given', 'rank corr.', 'mIoU found'])
  for (const way of ['sharpness', 'entropy', 'patchEntropy'] as const) {
    const values = single.map((row) => row[way])
    const best = single[values.indexOf(Math.min(...values))] as (typeof single)[number]
    const cells = (['given', 'auto'] as const).flatMap((part) => [
      correlation(
        values,
        single.map((row) => -row[part]),
      ).toFixed(2),
      best[part].toFixed(1),
    ])
    line(way, cells)
  }
  for (const [name, choose] of [
    ['the best of all', (part: 'given' | 'auto') => Math.max(...single.map((row) => row[part]))],
    ['the mean template', (part: 'given' | 'auto') => mean(single.map((row) => row[part]))],
    ["the paper's", (part: 'given' | 'auto') => (single[0] as (typeof single)[number])[part]],
    ['the mean of the 80', (part: 'given' | 'auto') => (rows.at(-1) as (typeof rows)[number])[part]],
  ] as const)
    line(
      name,
      (['given', 'auto'] as const).flatMap((part) => ['', choose(part).toFixed(1)]),
    )
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error)
  process.exitCode = 1
})
