// The parts of the demo and of the report that need no model: scenes, explanations, sums, and which pictures are shown.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { explainFailure } from '../../cli/src/demo/failure.js'
import { drawScene } from '../../cli/src/demo/pictures.js'
import { type DemoResult, isFailure, isOff, sumUp } from '../../cli/src/demo/result.js'
import { demoClasses, demoScenes } from '../../cli/src/demo/scenes.js'
import { Evaluator } from '../../cli/src/eval/evaluation.js'
import { drawMasks } from '../../cli/src/report/pictures.js'
import { type ReportOptions, report } from '../../cli/src/report/run.js'
import { Journal } from '../../cli/src/results/journal.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { having } from './machine_support.js'
import { reasonOf, root, temporaryFolder } from './support.js'

const folder = temporaryFolder()
function write(path: string, content: string | Uint8Array): string {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  return file
}

// ---------------------------------------------------------------- the demo
test('the largest error explains a failure, and of equal ones the first of neighbour, background and surroundings', () => {
  const nameOf = (value: number): string => ['', 'cat', 'dog', 'bus'][value] as string
  const explain = (mask: string, truth: string) => {
    const map = (text: string) => Uint8Array.from(text, Number)
    const { reason, remedy } = explainFailure(map(mask), map(truth), 1, nameOf)
    return [reason, remedy]
  }
  const confused = (share: number, rival: string) => [
    `Confused with a neighbour: ${share} % of the cat was labelled as ${rival}, whose map is stronger there.`,
    'Try other words or synonyms for both things. The CRF moves borders, so it cannot correct a confusion.',
  ]
  const part = (share: number) => [
    `Only a part was found: ${share} % of the cat was left as background, because its map is strong only on the most typical part.`,
    'Try other words or synonyms, or a weaker background (--background-power 2 or 3).',
  ]
  const coarse = (share: number) => [
    `Coarse patches: the cat is small, and the mask contains pixels around it that make up ${share} % of its size.`,
    'Try --crf, which moves borders onto the edges of the photo, or a larger photo.',
  ]
  assert.equal(explain('2210', '1111'), confused(50, 'dog'))
  assert.equal(explain('22330', '11111'), confused(40, 'dog'), 'the first of two neighbours with as many pixels')
  assert.equal(explain('233', '111'), confused(67, 'bus'))
  assert.equal(explain('2011', '1100'), coarse(100))
  assert.equal(explain('201', '110'), confused(50, 'dog'), 'all three have one pixel')
  assert.equal(explain('001', '110'), part(100))
  assert.equal(explain('01', '10'), part(100), 'as many in the background as around it')
  assert.equal(explain('20011', '11100'), part(67))
  assert.equal(explain('111', '001'), coarse(200))
})

test('an object fails below an IoU of 0.5, and is off by more than 0.01; NaN is both', () => {
  const object = (iou: number, crfIou = 0.6) => ({ iou, crfIou, reference: 0.5 })
  assert.equal([0.5, 0.499, Number.NaN].map(isFailure), [false, true, true])
  assert.equal(
    [0.5, 0.5099, 0.4901, 0.5101, 0.4899, Number.NaN].map((iou) => isOff(object(iou) as never)),
    [false, false, false, true, true, true],
  )
  const results = [{ objects: [object(0.5), object(0.25, 0.25)] }, { objects: [object(0.75, 0.35)] }] as unknown as DemoResult[]
  const { crfIou, ...rest } = sumUp(results)
  assert.equal(rest, { objects: 3, iou: 0.5, reference: 0.5, failures: 1, crfFailures: 2, off: 2 })
  assert.ok(Math.abs(crfIou - 0.4) < 1e-12)
})

test('the scenes are in the order of their names, with the numbers of the class file in their truths', async () => {
  const { classes } = demoClasses()
  const names = classes.map(({ name }) => name)
  const scenes = await demoScenes(names)
  assert.equal(
    scenes.map(({ name }) => name),
    Array.from({ length: 12 }, (_, i) => `scene${String(i + 1).padStart(2, '0')}`),
  )
  const listed = JSON.parse(readFileSync(join(root, 'models/scenes/labels.json'), 'utf8'))
  for (const { name, labels, reference, truth, image, file } of scenes) {
    assert.equal([labels, reference], [listed[name].labels, listed[name].iou_caa])
    assert.equal(
      [...new Set(truth)].sort((a, b) => a - b),
      [0, ...labels.map((label) => names.indexOf(label) + 1)].sort((a, b) => a - b),
    )
    assert.equal([image.data.length, truth.length], [3 * image.width * image.height, image.width * image.height])
    assert.ok(file.equals(readFileSync(join(root, `models/scenes/${name}.png`))))
  }
  const [scene] = scenes as [(typeof scenes)[0]]
  const objects = scene.labels.map((name, i) => ({ name, value: names.indexOf(name) + 1, colour: [255, 0, 40 * i] as const }))
  const empty = new Uint8Array(scene.truth.length)
  const pictures = await drawScene({ scene, mask: scene.truth, crfMask: empty, objects } as unknown as DemoResult)
  const size = async (url: string) => {
    assert.match(url, /^data:image\/webp;base64,/)
    const { width, height } = await sharp(Buffer.from(url.split(',')[1] as string, 'base64')).metadata()
    return [width, height]
  }
  for (const url of Object.values(pictures)) assert.equal(await size(url), [scene.image.width, scene.image.height])
  assert.is(pictures.found, pictures.truth)
  assert.is(new Set(Object.values(pictures)).size, 3)
})

// ---------------------------------------------------------------- the report
const names = ['background', 'cat', 'dog']
async function results(name: string, count: number): Promise<string> {
  const evaluator = new Evaluator(names, 0.02)
  for (let i = 0; i < count; i++) {
    const truth = Uint8Array.from({ length: 16 }, (_, at) => Number(at < 8))
    const mask = truth.map((value, at) => (at < i ? 0 : value)) // the first is the best one
    evaluator.add(`p${i}`, mask, truth, 4, 4)
    write(`${name}/masks/p${i}.png`, await encodeMask(mask, { width: 4, height: 4 }))
    write(`${name}/truth/p${i}.png`, await encodeMask(truth, { width: 4, height: 4 }))
  }
  const at = join(folder, name)
  const evaluation = {
    ...{ format: 1, version: '1', results: join(at, 'masks'), truth: join(at, 'truth'), list: 'every result', what: 'masks' },
    ...{ failures: [], ...evaluator.figures() },
  }
  write(`${name}/eval.json`, JSON.stringify(evaluation))
  return at
}

/** The page of a report, and the line that the command prints. */
async function reported(at: string, options: Partial<ReportOptions> = {}): Promise<{ page: string; lines: string[] }> {
  const lines: string[] = []
  await having(console, { log: (line: string) => lines.push(line) }, () => report(at, { pictures: 6, ...options }))
  return { page: readFileSync(lines[0] as string, 'utf8'), lines }
}
const shown = (page: string, id: string) =>
  [...(page.split(`<section id="${id}">`)[1]?.split('</section>')[0] ?? '').matchAll(/<span>(p\d+)<\/span>/g)].map(
    ([, name]) => name,
  )

test('a report shows the best and the worst pictures, none of them twice, and says where it is', async () => {
  const at = await results('five', 5)
  const { page, lines } = await reported(at)
  assert.equal(lines, [join(at, 'report.html')])
  assert.equal([shown(page, 'best'), shown(page, 'worst')], [['p0', 'p1', 'p2'], ['p4', 'p3']]) // biome-ignore format: a table
  const one = await reported(at, { pictures: 1, title: 'Mine <1>', out: join(folder, 'one.html') })
  assert.equal([shown(one.page, 'best'), shown(one.page, 'worst')], [['p0'], ['p4']])
  assert.equal(one.lines, [join(folder, 'one.html')])
  assert.match(one.page, '<h1>Mine &#60;1&#62;</h1>')
  assert.equal(shown((await reported(at, { pictures: 0 })).page, 'best'), [])
  assert.equal([shown((await reported(await results('single', 1))).page, 'best')], [['p0']])
})

test('the title says which data set it is, and photos come from the journal or from --photos', async () => {
  const at = await results('titled', 2)
  const titleOf = async (source?: object) => {
    if (source)
      write('titled/manifest.json', JSON.stringify({ format: 1, model: '', source, settings: { classes: [], background: [] } }))
    return /<h1>(.*)<\/h1>/.exec((await reported(at)).page)?.[1]
  }
  assert.is(await titleOf(), 'masks')
  assert.is(await titleOf({ kind: 'voc', split: 'val' }), 'PASCAL VOC, val')
  assert.is(await titleOf({ kind: 'coco', annotations: '/a/instances_val2017.json' }), 'COCO, instances_val2017')
  assert.is(await titleOf({ kind: 'folder', folder: '/a/my photos' }), 'my photos')
  const figures = async (options?: Partial<ReportOptions>) =>
    (await reported(at, options)).page.match(/<figcaption>Photo</g)?.length ?? 0
  assert.is(await figures(), 0)
  const photo = await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  for (const name of ['p0', 'p1']) write(`photos/${name}.png`, photo)
  const journal = new Journal(at, '1-of-1')
  journal.add({ id: 'p0', photo: join(folder, 'photos/p0.png'), labels: [], bytes: 1, modified: 1, settings: 's' })
  journal.close()
  assert.is(await figures(), 1)
  assert.is(await figures({ photos: join(folder, 'photos') }), 2)
  write('photos/p1.jpg', photo)
  assert.is(await figures({ photos: join(folder, 'photos') }), 1, 'two photos fit')
})

test('without an evaluation, or photos, the remedy is said', async () => {
  mkdirSync(join(folder, 'none'))
  const at = join(folder, 'none')
  for (const [work, message] of [
    [() => report(at, { pictures: 1 }), `report: ${at} has no eval.json; make it first: clip-es eval ${at} --truth DIR`],
    [
      () => report(join(folder, 'five'), { pictures: 1, photos: join(folder, 'gone') }),
      `report: there is no folder ${folder}/gone; name the folder of the photos with --photos`,
    ],
  ] as const) {
    const error = (await reasonOf(work())) as Error
    assert.ok(error instanceof UsageError)
    assert.is(error.message, message)
  }
})

test('masks are drawn on a photo that fits them, else on grey, at most 480 pixels wide', async () => {
  const photo = async (width: number, height: number) =>
    write(
      `p${width}.png`,
      await sharp({ create: { width, height, channels: 3, background: 'red' } })
        .png()
        .toBuffer(),
    )
  const map = { data: new Uint8Array(600 * 300), width: 600, height: 300 }
  const draw = (file?: string) => drawMasks(file, map.data, map, names)
  const fits = await draw(await photo(600, 300))
  const pixels = async (url: string) =>
    await sharp(Buffer.from(url.split(',')[1] as string, 'base64'))
      .raw()
      .toBuffer({ resolveWithObject: true })
  const { info } = await pixels(fits.photo as string)
  assert.equal([info.width, info.height], [480, 240])
  for (const file of [undefined, join(folder, 'gone.png'), await photo(300, 600), write('bad.png', 'no picture')]) {
    const { photo: drawn, truth } = await draw(file)
    assert.is(drawn, undefined)
    const { data } = await pixels(truth)
    for (const value of data.subarray(0, 3)) assert.ok(value > 38 && value < 62, String(value)) // 110, darkened where no label is
  }
})

test.run()
