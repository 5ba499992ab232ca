import { type SpawnSyncReturns, spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Evaluation } from '../../cli/src/eval/evaluation.js'
import { encodeCams } from '../../ts/formats/cams.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { testIf } from '../test_if.js'
import { randomNumbers } from './demo_set.js'

const main = join(__dirname, '../../cli/dist/main.js')
const folder = mkdtempSync(join(tmpdir(), 'clip-es-eval-'))
const classFile = join(folder, 'classes.json')
const classes = ['cat', 'dog', 'ice cream', 'bus', 'never there']
const size = classes.length + 1

const clipEs = (...args: string[]): SpawnSyncReturns<string> =>
  spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', cwd: folder, maxBuffer: 1e8 })
const evaluate = (results: string, ...args: string[]) =>
  clipEs('eval', results, '--truth', join(folder, 'truth'), '--class-file', classFile, ...args)
const figuresOf = (run: SpawnSyncReturns<string>): Evaluation => JSON.parse(run.stdout)

function write(path: string, bytes: Uint8Array | string): void {
  mkdirSync(dirname(path), { recursive: true })
  writeFileSync(path, bytes)
}

const writeMap = async (path: string, data: Uint8Array, width: number, height: number) =>
  write(path, await encodeMask(data, { width, height }))

test.before(() => {
  assert.ok(existsSync(main), `${main} is missing: npm run build`)
  write(classFile, JSON.stringify({ classes: classes.map((name) => ({ name })) }))
})
test.after(() => rmSync(folder, { recursive: true, force: true }))

const digits = (text: string): Uint8Array =>
  Uint8Array.from(text.replace(/\s/g, ''), (digit) => (digit === 'x' ? 255 : Number(digit)))

test('a small example has the figures that were computed by hand', async () => {
  const hand = join(folder, 'hand')
  await writeMap(join(hand, 'masks/a.png'), digits('0011 0011 2200'), 4, 3)
  await writeMap(join(hand, 'truth/a.png'), digits('0111 0x11 2000'), 4, 3)
  await writeMap(join(hand, 'masks/b.png'), digits('x1'), 2, 1)
  await writeMap(join(hand, 'truth/b.png'), digits('11'), 2, 1)
  const { status, stdout } = clipEs(
    'eval',
    join(hand, 'masks'),
    '--truth',
    join(hand, 'truth'),
    '--class-file',
    classFile,
    '--json',
  )
  assert.is(status, 0)
  const { confusion, labels, miou, pixelAccuracy, ignored, images, pixels, perImage } = JSON.parse(stdout) as Evaluation
  assert.equal(confusion.slice(0, 3), [
    [4, 0, 1, 0, 0, 0, 0],
    [1, 5, 0, 0, 0, 0, 1],
    [0, 0, 1, 0, 0, 0, 0],
  ])
  assert.equal([images, pixels, pixelAccuracy, ignored], [2, 13, 10 / 13, 1 / 13])
  assert.equal(
    labels.slice(0, 4).map(({ iou }) => iou),
    [4 / 6, 5 / 7, 1 / 2, null],
  )
  assert.is(miou, (4 / 6 + 5 / 7 + 1 / 2) / 3)
  assert.equal(
    perImage.map(({ id }) => id),
    ['a', 'b'],
  )
  assert.is(perImage[1]?.miou, 1 / 2)
  assert.equal(JSON.parse(readFileSync(join(hand, 'masks/eval.json'), 'utf8')), JSON.parse(stdout))
})

interface Picture {
  id: string
  width: number
  height: number
}
const pictures: Picture[] = []

/** Blobs of labels, with holes of 255 in the truths and in some masks, and smooth maps; the same at every run. */
test.before(async () => {
  const random = randomNumbers(3)
  for (let n = 0; n < 10; n++) {
    const [width, height] = [20 + Math.floor(random() * 90), 20 + Math.floor(random() * 70)]
    const id = `${n % 2 ? 'a/' : ''}${n}`
    pictures.push({ id, width, height })
    const blobs = (values: number[]): Uint8Array => {
      const map = new Uint8Array(width * height)
      for (let k = 0; k < 14; k++) {
        const [value, cx, cy, r] = [
          values[Math.floor(random() * values.length)] as number,
          random() * width,
          random() * height,
          2 + random() * 18,
        ]
        for (let i = 0; i < map.length; i++)
          if (((i % width) - cx) ** 2 + (Math.floor(i / width) - cy) ** 2 < r * r) map[i] = value
      }
      return map
    }
    const [truth, mask] = [blobs([0, 1, 2, 3, 255]), blobs(n % 3 ? [0, 1, 2, 4] : [0, 1, 2, 3, 255])]
    await writeMap(join(folder, `truth/${id}.png`), truth, width, height)
    await writeMap(join(folder, `masks/${id}.png`), mask, width, height)
    write(join(folder, `raw/${id}.truth`), truth)
    write(join(folder, `raw/${id}.mask`), mask)
    const maps = Float32Array.from({ length: 3 * width * height }, (_, i) => {
      const [k, at] = [Math.floor(i / (width * height)), i % (width * height)]
      return (1 + Math.sin((at % width) / (5 + 3 * k) + n) * Math.cos(Math.floor(at / width) / (7 + k))) / 2
    })
    write(join(folder, `cams/${id}.npz`), encodeCams([3, 0, 1], maps, width, height))
  }
  write(join(folder, 'list.json'), JSON.stringify(pictures))
})

const python = spawnSync('python3', ['-c', 'import numpy']).status === 0
const pythonTest = testIf(python, 'the other implementation of the evaluation: there is no python3 with numpy')

interface Other {
  miou: number
  boundaryMiou: number
  pixelAccuracy: number
  iou: (number | null)[]
  boundary: (number | null)[]
  confusion: number[][]
}

function other<T>(...args: string[]): T {
  const { stdout, stderr } = spawnSync('python3', [join(__dirname, 'evaluate.py'), folder, String(size), ...args], {
    encoding: 'utf8',
  })
  assert.ok(stdout, stderr)
  return JSON.parse(stdout)
}

function assertClose(a: number | null | undefined, b: number | null | undefined, what: string): void {
  assert.ok(a === b || Math.abs((a as number) - (b as number)) <= 1e-9, `${what}: ${a} and ${b}`)
}

function assertSame(ours: Evaluation, theirs: Other): void {
  for (const name of ['miou', 'boundaryMiou', 'pixelAccuracy'] as const) assertClose(ours[name], theirs[name], name)
  for (const { value, name, iou, boundaryIou } of ours.labels) {
    assertClose(iou, theirs.iou[value], `IoU of ${name}`)
    assertClose(boundaryIou, theirs.boundary[value], `boundary IoU of ${name}`)
  }
  assert.equal(ours.confusion, theirs.confusion)
}

pythonTest('masks: every figure is that of numpy', () => {
  const run = evaluate('masks', '--json')
  assert.is(run.status, 0, run.stderr)
  assertSame(figuresOf(run), other<Other>())
})

const rules = [{ threshold: 0.3 }, { threshold: 0.55 }, { threshold: 0.9 }, { power: 0.5 }, { power: 1 }, { power: 4 }]

pythonTest('CAMs over thresholds and powers: every figure is that of numpy, and the best rule is evaluated in full', () => {
  const theirs = other<Other[]>(join(folder, 'cams'), JSON.stringify(rules))
  const run = evaluate('cams', '--search', '--thresholds', '0.3,0.55,0.9', '--powers', '0.5,1,4', '--json')
  assert.is(run.status, 0, run.stderr)
  const ours = figuresOf(run)
  assert.is(ours.search?.length, rules.length)
  for (const [i, rule] of rules.entries()) {
    const found = ours.search?.find((score) => JSON.stringify(score.rule) === JSON.stringify(rule))
    assertClose(found?.miou, theirs[i]?.miou, JSON.stringify(rule))
    assertClose(found?.pixelAccuracy, theirs[i]?.pixelAccuracy, JSON.stringify(rule))
    const flags = 'power' in rule ? ['--cams', '--background-power', `${rule.power}`] : ['--threshold', `${rule.threshold}`]
    assertSame(figuresOf(evaluate('cams', ...flags, '--json')), theirs[i] as Other)
  }
  assert.is(ours.miou, Math.max(...(ours.search ?? []).map(({ miou }) => miou)))
  assert.is(ours.miou, ours.search?.[0]?.miou)
})

pythonTest("the released code's .npy files give the same figures", () => {
  const convert = `
import numpy as np, json, os
for p in json.load(open('list.json')):
    f = np.load(f"cams/{p['id']}.npz"); os.makedirs(os.path.dirname(f"released/{p['id']}"), exist_ok=True)
    np.save(f"released/{p['id']}.npy", {'keys': f['keys'], 'attn_highres': f['attn_highres']})`
  assert.is(spawnSync('python3', ['-c', convert], { cwd: folder, encoding: 'utf8' }).stderr, '')
  const [ours, released] = ['cams', 'released'].map((name) => figuresOf(evaluate(name, '--cams', '--json')))
  assert.equal({ ...released, results: '' }, { ...ours, results: '' })
})

test('a truth of another size is an error that names both sizes, and the other photos are compared', async () => {
  const out = join(folder, 'sizes')
  const [first, second] = pictures as [Picture, Picture]
  await writeMap(join(out, `${first.id}.png`), new Uint8Array(12), 4, 3)
  write(join(out, `${second.id}.png`), readFileSync(join(folder, `masks/${second.id}.png`)))
  const { status, stdout, stderr } = evaluate('sizes')
  assert.is(status, 1)
  assert.is(
    stderr,
    `clip-es: 0: ${join('sizes', '0.png')} is 4 x 3, but its truth ${join(folder, 'truth/0.png')} is ${first.width} x ${first.height}\n`,
  )
  assert.match(stdout, / 1 picture,/)
  assert.match(stdout, /1 of 2 could not be compared: listed above/)
})

test('if the file of the figures cannot be written, they are printed and the error names the file', () => {
  const { status, stdout, stderr } = evaluate('masks', '-o', join('truth', 'none', 'eval.json'))
  assert.is(status, 1)
  assert.match(stdout, /\nmean {2,}[\d.]+ +[\d.]+\npixel accuracy/)
  assert.match(stderr, /^clip-es: eval: cannot write .*truth\/none\/eval\.json \(ENOENT.*\); choose another place with --out\n$/)
})

test('missing, damaged and foreign files are listed, and the others are compared', async () => {
  const out = join(folder, 'listed')
  const [first] = pictures as [Picture]
  const { width, height } = first
  write(join(out, '0.png'), readFileSync(join(folder, 'masks/0.png')))
  write(join(out, '2.png'), readFileSync(join(folder, 'masks/2.png')).subarray(0, 100))
  await writeMap(
    join(out, '4.png'),
    new Uint8Array((pictures[4] as Picture).width * (pictures[4] as Picture).height).fill(9),
    (pictures[4] as Picture).width,
    (pictures[4] as Picture).height,
  )
  await writeMap(join(out, 'extra.png'), new Uint8Array(width * height), width, height)
  write(join(folder, 'list.txt'), '0 x\n2\n4.png\nextra\nmissing\n')
  const { status, stderr } = evaluate('listed', '--list', 'list.txt')
  assert.is(status, 1)
  assert.match(stderr, /^clip-es: 2: listed\/2\.png: it is a damaged PNG file/m)
  assert.match(stderr, /^clip-es: 4: the mask has the value 9, but background and 5 classes are 0 to 5/m)
  assert.match(stderr, /^clip-es: extra: there is no .*truth\/extra\.png$/m)
  assert.match(stderr, /^clip-es: missing: there is no listed\/missing\.png$/m)
  const { images, failures } = JSON.parse(readFileSync(join(out, 'eval.json'), 'utf8')) as Evaluation
  assert.is(images, 1)
  assert.is(failures.length, 4)
})

test('with --search a photo that fails in both passes is one failure', () => {
  for (const { id } of pictures.slice(0, 3)) write(join(folder, `search/${id}.npz`), readFileSync(join(folder, `cams/${id}.npz`)))
  write(join(folder, `search/${(pictures[4] as Picture).id}.npz`), 'nothing')
  const { status, stderr } = evaluate('search', '--search', '--thresholds', '0.5', '--powers', '1')
  assert.is(status, 1)
  assert.is(stderr.match(/^clip-es: 4: /gm)?.length, 1, stderr)
  const { failures, images } = JSON.parse(readFileSync(join(folder, 'search/eval-cams.json'), 'utf8')) as Evaluation
  assert.equal([failures.length, images], [1, 3])
})

test('IDs in a list can have dots and blanks, and further columns are ignored', () => {
  const file = join(folder, 'masks/0.png')
  for (const id of ['x_jpg.rf.01', 'v1.2', 'my photo 3']) {
    write(join(folder, `named/${id}.png`), readFileSync(file))
    write(join(folder, `named-truth/${id}.png`), readFileSync(join(folder, 'truth/0.png')))
  }
  write(join(folder, 'named.txt'), 'x_jpg.rf.01\nv1.2 -1\nmy photo 3\n/named/v1.2.png /named-truth/v1.2.png\n')
  const run = clipEs('eval', 'named', '--truth', 'named-truth', '--class-file', classFile, '--list', 'named.txt', '--json')
  assert.is(run.status, 0, run.stderr)
  assert.equal(
    figuresOf(run).perImage.map(({ id }) => id),
    ['my photo 3', 'v1.2', 'x_jpg.rf.01'],
  )
})

test('the error for a wrong command line says what would be right', () => {
  for (const [args, message] of [
    [['none'], /there is no folder none/],
    [['masks'], /name the ground truth with --truth/],
    [['masks', '--truth', 'none'], /there is no ground truth none/],
    [['masks', '--truth', 'truth', '--list', 'none.txt'], /there is no list none\.txt/],
    [['masks', '--truth', 'truth'], /name the classes with --class-file/],
    [['masks', '--truth', 'truth', '--class-file', classFile, '--cams'], /there are no CAMs/],
    [['cams', '--truth', 'truth', '--class-file', classFile], /there are no masks/],
    [['cams', '--threshold', '2'], /Expected a number from 0 to 1/],
    [['cams', '--thresholds', '0:1'], /FIRST:LAST:STEP/],
    [['cams', '--threshold', '0.5', '--background-power', '2'], /cannot be used with/],
  ] as [string[], RegExp][]) {
    const { status, stderr } = clipEs('eval', ...args)
    assert.is(status, 2, args.join(' '))
    assert.match(stderr, message)
  }
})

test.run()
