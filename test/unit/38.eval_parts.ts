// The parts of clip-es eval that need no results of a model: its lists of numbers, its warnings, and which files it compares.
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { evalCommand } from '../../cli/src/eval/command.js'
import { Evaluator, readEvaluation } from '../../cli/src/eval/evaluation.js'
import { listIds, readCamsOf, readMap, readResult, readResultList } from '../../cli/src/eval/files.js'
import { type EvalOptions, evaluate } from '../../cli/src/eval/run.js'
import { takenTable } from '../../cli/src/eval/table.js'
import { boundaryRatio } from '../../cli/src/metrics/boundary.js'
import { checkCams, cutoff, maskFromCams } from '../../cli/src/metrics/cam_rule.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { encodeCams } from '../../ts/formats/cams.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { having } from './machine_support.js'
import { reasonOf, rejects, temporaryFolder } from './support.js'

const folder = temporaryFolder()
function write(path: string, content: string | Uint8Array = ''): string {
  const file = join(folder, path)
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, content)
  return file
}
const mask = (values: string, width: number) =>
  encodeMask(
    Uint8Array.from(values, (digit) => (digit === 'x' ? 255 : Number(digit))),
    { width, height: values.length / width },
  )

// ---------------------------------------------------------------- the command line
const parse = (...args: string[]): EvalOptions =>
  evalCommand()
    .exitOverride()
    .configureOutput({ writeErr() {} })
    .action(() => undefined)
    .parse(args, { from: 'user' })
    .opts()

test('--thresholds and --powers are numbers, or first, last and step', () => {
  assert.equal(parse('--thresholds', '0,0.5,1').thresholds, [0, 0.5, 1])
  assert.equal(parse('--thresholds', '0.1:0.4:0.1').thresholds, [0.1, 0.2, 0.3, 0.4])
  assert.equal(parse('--thresholds', '0.5:0.5:1e-9').thresholds, [0.5])
  assert.equal(parse('--powers', '0:1000000:1000000').powers, [0, 1e6])
  assert.is(parse('--powers', '1:10000:1').powers.length, 10_000)
  for (const [text, message] of [
    ['0:1', /Expected FIRST:LAST:STEP, or numbers separated by commas\.$/],
    ['0:1:0.5:1', /Expected FIRST:LAST:STEP/],
    ['0:1:0', /Expected a number from 1e-9 to 1\.$/],
    ['0:2:0.5', /Expected a number from 0 to 1\.$/],
    ['0.5:0.4:0.1', /It stands for 0 numbers; expected 1 to 10000\.$/],
    ['0:1:0.0001', /It stands for 10001 numbers; expected 1 to 10000\.$/],
  ] as const)
    assert.throws(() => parse('--thresholds', text), message)
})

const results = join(folder, 'run')
test.before(async () => {
  write('classes.json', JSON.stringify({ classes: [{ name: 'cat' }, { name: 'dog' }] }))
  write('run/a.png', await mask('0112', 4))
  write('truth/a.png', await mask('0122', 4))
  const maps = Float32Array.of(0.1, 0.6, 0.3, 0.9, 0.1, 0.2, 0.7, 0.4)
  write('cams/a.npz', encodeCams([0, 1], maps, 4, 1))
})

/** Runs the command with these arguments; what it returned, printed, and complained. */
async function run(...args: string[]) {
  const lines: string[] = []
  const errors: string[] = []
  const command = evalCommand()
  const code = process.exitCode
  let status: typeof process.exitCode
  await having(console, { log: (line: string) => lines.push(line), error: (line: string) => errors.push(line) }, async () => {
    await command.parseAsync([...args, '--truth', join(folder, 'truth'), '--class-file', join(folder, 'classes.json')], {
      from: 'user',
    })
    status = process.exitCode
    process.exitCode = code
  })
  return { lines, errors, status }
}

test('an evaluation names what was compared, with which rule, and where its figures are', async () => {
  const { lines, errors, status } = await run(results, '--json')
  assert.equal([lines.length, errors, status], [1, [], undefined])
  const { format, what, rule, list, results: of, truth, miou } = JSON.parse(lines[0] as string)
  assert.equal([format, what, rule, list], [1, 'masks', undefined, 'every result'])
  assert.equal([of, truth], [results, join(folder, 'truth')])
  assert.ok(Math.abs(miou - (1 + 1 / 2 + 1 / 2) / 3) < 1e-12)
  assert.is(readEvaluation(join(results, 'eval.json'))?.miou, miou)
  assert.is((await run(results)).lines.at(-1), `Figures: ${join(results, 'eval.json')}`)
})

test('CAMs are evaluated with the power 1, with what the options say, or with the best rule of a search', async () => {
  const cams = join(folder, 'cams')
  const ruleOf = async (...args: string[]) => JSON.parse((await run(cams, '--json', ...args)).lines[0] as string)
  assert.equal((await ruleOf('--cams')).rule, { power: 1 })
  assert.equal((await ruleOf('--background-power', '2')).rule, { power: 2 })
  assert.equal((await ruleOf('--threshold', '0.25')).rule, { threshold: 0.25 })
  const found = await ruleOf('--search')
  assert.is(found.search.length, 100 + 16)
  const rules = found.search.map(({ rule }: { rule: { threshold?: number; power?: number } }) => rule)
  const numbers = (name: 'threshold' | 'power') =>
    rules
      .flatMap((rule: Record<string, number>) => (rule[name] === undefined ? [] : [rule[name]]))
      .sort((a: number, b: number) => a - b)
  assert.equal(
    numbers('threshold'),
    Array.from({ length: 100 }, (_, i) => i / 100),
  )
  assert.equal(numbers('power'), [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10, 12, 16])
  assert.equal([found.what, found.rule], ['cams', found.search[0].rule])
  assert.is(readEvaluation(join(cams, 'eval-cams.json'))?.what, 'cams')
})

test('what cannot be compared ends with status 1, and nothing at all is a wrong command line', async () => {
  write('half/a.png', await mask('0112', 4))
  write('half/b.png', await mask('0112', 4))
  const half = await run(join(folder, 'half'))
  assert.equal(
    [half.status, half.lines.slice(-2)],
    [1, ['1 of 2 could not be compared: listed above', `Figures: ${join(folder, 'half/eval.json')}`]],
  )
  assert.equal(half.errors, [`clip-es: b: there is no ${join(folder, 'truth/b.png')}`])
  write('none/b.png', await mask('0112', 4))
  const refused = async (name: string, more: Partial<EvalOptions>, message: string) => {
    const options = { ...parse(), truth: join(folder, 'truth'), classFile: join(folder, 'classes.json'), ...more }
    const error = (await reasonOf(having(console, { error() {} }, () => evaluate(join(folder, name), options)))) as Error
    assert.ok(error instanceof UsageError, String(error))
    assert.is(error.message, message.replaceAll('DIR', folder))
  }
  mkdirSync(join(folder, 'empty'))
  await refused('none', {}, 'eval: nothing could be compared: the reasons are listed above')
  await refused('absent', {}, 'eval: there is no folder DIR/absent; name what clip-es dataset made, or a folder of masks')
  await refused(
    'classes.json',
    {},
    'eval: there is no folder DIR/classes.json; name what clip-es dataset made, or a folder of masks',
  )
  await refused('run', { truth: undefined }, 'eval: name the ground truth with --truth')
  await refused('run', { truth: join(folder, 'gone') }, 'eval: there is no ground truth DIR/gone')
  await refused('run', { classFile: undefined }, 'eval: name the classes with --class-file, such as --class-file voc')
  await refused('empty', {}, 'eval: there are no masks (.png) in DIR/empty')
  await refused('empty', { cams: true }, 'eval: there are no CAMs (.npz, .npy) in DIR/empty')
})

test('results of VOC and COCO are compared with the truth of their data set, photo by photo of their split', async () => {
  const settings = { classes: [{ name: 'cat' }, { name: 'dog' }] }
  const manifest = (source: object) => JSON.stringify({ format: 1, version: '1', model: '', source, settings })
  write('voc/JPEGImages/a.jpg')
  write('voc/JPEGImages/b.jpg')
  write('voc/ImageSets/Segmentation/val.txt', 'a\nb\n')
  write('voc/SegmentationClass/a.png', await mask('0122', 4))
  write('of voc/masks/a.png', await mask('0112', 4))
  write('of voc/manifest.json', manifest({ kind: 'voc', voc: join(folder, 'voc'), split: 'val' }))
  const figures = async (name: string) => {
    const lines: string[] = []
    const spies = { log: (line: string) => lines.push(line), error() {} }
    const good = await having(console, spies, () => evaluate(join(folder, name), { ...parse(), json: true }))
    const { truth, list, images, failures } = JSON.parse(lines[0] as string)
    return [good, truth, list, images, failures.length]
  }
  const voc = join(folder, 'voc')
  assert.equal(await figures('of voc'), [false, join(voc, 'SegmentationClass'), `the split val of ${voc}`, 1, 1])
  const segmentation = [[0, 0, 2, 0, 2, 1, 0, 1]]
  const annotations = write(
    'coco.json',
    JSON.stringify({
      images: [{ id: 1, file_name: 'a.jpg', width: 4, height: 1 }],
      annotations: [{ id: 1, image_id: 1, category_id: 7, segmentation, area: 2, iscrowd: 0 }],
      categories: [{ id: 7, name: 'dog' }],
    }),
  )
  write('of coco/masks/a.png', await mask('0112', 4))
  write('of coco/manifest.json', manifest({ kind: 'coco', coco: '/x', annotations }))
  assert.equal(await figures('of coco'), [true, annotations, 'every result', 1, 0])
})

// ---------------------------------------------------------------- files
test('masks are all PNGs but overlays and confidences of other results', async () => {
  for (const name of ['a.png', 'a_overlay.png', 'a_confidence.png', 'b_overlay.png', 'c/d.png', 'e.jpg', 'f.PNG'])
    write(`ids/${name}`)
  assert.equal(listIds(join(folder, 'ids'), ['.png']), ['a', 'b_overlay', 'c/d'])
  assert.equal(listIds(join(folder, 'ids'), ['.jpg', '.PNG']), ['e', 'f'])
  assert.throws(() => readResultList(join(folder, 'gone.txt'), []), `there is no list ${join(folder, 'gone.txt')}`)
  assert.equal(readResultList(write('list.txt', 'cafe\u0301.png\n'), ['caf\u00e9']), ['cafe\u0301'])
})

test('a mask that is a JPEG is explained, and missing CAMs are named', async () => {
  const file = join(folder, 'twin/x.png')
  await rejects(readMap(file), 'ERR_INVALID_ARG', /^there is no .*x\.png$/)
  for (const name of ['twin/x.jpeg', 'twin/x.jpg']) {
    const twin = write(name)
    const message = `there is no ${file}; ${twin} cannot be used, because JPEG changes the numbers of the classes: save the mask as PNG`
    const error = (await reasonOf(readMap(file))) as Error
    assert.is(error.message, message)
  }
  await rejects(readCamsOf(folder, 'gone'), 'ERR_INVALID_ARG', `there is no ${join(folder, 'gone')}.npz, and no .npy`)
  write('bad/x.npz', 'no archive')
  await rejects(readCamsOf(join(folder, 'bad'), 'x'), 'ERR_INVALID_ARG', `${join(folder, 'bad/x.npz')}: `)
  const { file: from, width, height, data } = await readResult(join(folder, 'cams'), 'a', { threshold: 0.5 })
  assert.equal([from, width, height, [...data]], [join(folder, 'cams/a.npz'), 4, 1, [0, 1, 2, 1]])
})

test('only an evaluation of this version is read', () => {
  assert.is(readEvaluation(join(folder, 'gone.json')), undefined)
  const good = { format: 1, warnings: [], perImage: [], miou: 1 }
  assert.equal(readEvaluation(write('eval.json', JSON.stringify(good))) as unknown, good)
  for (const bad of [
    '',
    '{',
    JSON.stringify({ ...good, format: 2 }),
    '{"format":1,"perImage":[]}',
    '{"format":1,"warnings":[]}',
  ]) {
    const file = write('bad.json', bad)
    assert.throws(() => readEvaluation(file), `${file}: is not an evaluation of this version; make it again with clip-es eval`)
  }
})

// ---------------------------------------------------------------- figures
function figuresOf(found: string, truth: string, names = ['background', 'cat', 'dog', 'bus']) {
  const map = (text: string) => Uint8Array.from(text, (digit) => (digit === 'x' ? 255 : Number(digit)))
  const evaluator = new Evaluator(names, boundaryRatio)
  evaluator.add('a', map(found), map(truth), truth.length, 1)
  return evaluator.figures()
}

test('the warnings in full, and how many pixels it takes', () => {
  assert.equal(figuresOf('0110', '00x0').warnings, [
    'no picture of the truth has a class: its pixels are background (0) or ignored (255, 25.0 % of them). A binary mask of 0 and 255 must be saved with the numbers of the classes',
  ])
  const shifted = (share: string, how: string) => [
    `where both have a class, ${share} % of the pixels have a value in the masks that is 1 ${how} than in the truth: one of them counts classes from 0. In both, 0 must be background and 1 the first class of the class file`,
  ]
  assert.equal(figuresOf('2222200', '1111100').warnings, shifted('100.0', 'higher'))
  assert.equal(figuresOf('1111133', '2222211').warnings, shifted('71.4', 'lower'))
  assert.equal(figuresOf('2233', '1111').warnings, [], 'half of the pixels')
  assert.equal(figuresOf('222221', '111111').warnings, shifted('83.3', 'higher'), 'more than four times as many as are right')
  assert.equal(figuresOf('22221', '11111').warnings, [], 'four times as many')
  assert.equal(figuresOf('3333', '3333').warnings, [])
})

test('a label that is nowhere has no figures, and pictures are in the order of their ids', () => {
  const evaluator = new Evaluator(['background', 'cat', 'dog'], 0.02)
  for (const id of ['b', 'a', 'c']) evaluator.add(id, Uint8Array.of(0, 1), Uint8Array.of(0, 1), 2, 1)
  const { labels, perImage, boundaryRatio: ratio, confusion } = evaluator.figures()
  assert.equal(labels[2], {
    ...{ name: 'dog', value: 2, iou: null, boundaryIou: null, precision: null, recall: null, truth: 0, found: 0 },
  })
  assert.equal(
    perImage.map(({ id, miou }) => [id, miou]),
    [['a', 1], ['b', 1], ['c', 1]], // biome-ignore format: a table
  )
  assert.is(ratio, 0.02)
  assert.equal(confusion, [[3, 0, 0, 0], [0, 3, 0, 0], [0, 0, 0, 0]]) // biome-ignore format: a table
})

test('at most five words that take pixels are listed', () => {
  const names = ['background', 'a', 'b', 'c', 'd', 'e', 'f', 'g']
  const { labels, confusion } = figuresOf('2345677', '1234561', names)
  const lines = takenTable({ labels, confusion }).split('\n')
  assert.is(lines.length, 5)
  assert.is(lines[0], 'b took 50.00 % of a')
})

test('CAMs with keys or scores that cannot be are refused, and the limits are accepted', () => {
  const cams = (keys: number[], ...values: number[]) => ({ keys, maps: Float32Array.from(values), width: 1, height: 1 })
  checkCams(cams([0, 253], 0, 1))
  for (const key of [-1, 254, 1.5])
    assert.throws(
      () => checkCams(cams([0, key], 0, 0)),
      `its keys contain ${key}; expected class ids, which are whole numbers from 0 to 253`,
    )
  assert.throws(() => checkCams(cams([3, 4, 3], 0, 0, 0)), 'its keys contain 3 twice; expected one map per class')
  for (const [value, shown] of [[-0.5, '-0.5'], [1.5, '1.5'], [Number.NaN, 'NaN']] as const) // biome-ignore format: a table
    assert.throws(() => checkCams(cams([0], value)), `its maps contain ${shown}; expected scores from 0 to 1`)
  assert.is(cutoff({ power: 0 }), 1)
  const golden = cutoff({ power: 2 })
  assert.ok(Math.abs(golden - (3 - Math.sqrt(5)) / 2) < 1e-9, 'x = (1 - x)^2')
  assert.equal([...maskFromCams(cams([5], golden + 1e-6), { power: 2 })], [6])
  assert.equal([...maskFromCams(cams([5], golden - 1e-6), { power: 2 })], [0])
})

test.run()
