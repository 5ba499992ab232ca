// `clip-es segment`: what it writes and says of a photo, compared with what the API gives for the same pixels.
import { spawnSync } from 'node:child_process'
import { cpSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readZip } from '../../cli/src/formats/read_zip.js'
import { toFloat16 } from '../../ts/formats/float16.js'
import { Segmenter, type SegmentResult } from '../../ts/index.js'
import { readClassFile } from '../../ts/photos/class_file.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { maskPalette } from '../../ts/photos/palette.js'
import { testIf } from '../test_if.js'
import { jsonLines, root, scenes, Workplace } from './support.js'

const place = new Workplace()
const labels = ['elephant', 'television', 'panda']
const names = ['panda', 'cat', 'elephant', 'television']
let expected: SegmentResult

test.before(async () => {
  cpSync(join(scenes, 'scene01.png'), place.path('photo.png'))
  const segmenter = await Segmenter.load(undefined)
  const classes = await segmenter.encodeClasses(names)
  const { data, info } = await sharp(place.path('photo.png')).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  const image = { data, width: info.width, height: info.height }
  expected = await segmenter.segment(image, classes, { labels, include: ['confidence', 'cams'] })
  await segmenter.close()
})
test.after(() => place.remove())

const mask = async (path: string) => await readMask(readFileSync(place.path(path)))

test('one photo with all outputs: the file names, one JSON object, and one notice about the embedded model', () => {
  const flags = ['--classes', names.join(), '--labels', labels.join(), '--overlay', '--cams', '--confidence', '--json']
  const { status, stdout, stderr } = place.run(['segment', 'photo.png', ...flags])
  assert.is(status, 0, stderr)
  assert.match(stderr, /^clip-es: using the embedded demo model[^\n]*\n$/)
  const all = ['photo.npz', 'photo.png', 'photo_confidence.png', 'photo_overlay.png']
  assert.equal(place.files('clip-es-out'), [...all, 'segment.jsonl'])
  const [line, ...more] = stdout.split('\n')
  assert.equal(more, [''])
  const found = JSON.parse(line as string)
  assert.is(found.path, 'photo.png')
  assert.equal([found.width, found.height], [320, 240])
  assert.equal(Object.keys(found.outputs), ['mask', 'overlay', 'confidence', 'cams'])
  assert.equal(Object.values<string>(found.outputs).sort(), all.map((name) => join('clip-es-out', name)).sort())
  assert.ok(found.seconds > 0 && found.seconds < 60)
})

test('the mask and the scores of a photo are those of the API', async () => {
  const { stdout } = place.run(['segment', 'photo.png', '--classes', names.join(), '--labels', labels.join(), '--json'])
  const { data, width, height } = await mask('clip-es-out/photo.png')
  assert.equal([width, height], [expected.width, expected.height])
  assert.ok(Buffer.from(data).equals(Buffer.from(expected.mask)))
  const share = (value: number) => data.filter((pixel) => pixel === value).length / data.length
  const [found] = jsonLines(stdout) as never as [Record<string, never>]
  const values = [3, 4, 1] // panda, cat, elephant, television count from 1
  assert.equal(
    found.labels,
    labels.map((name, i) => ({
      name,
      value: values[i],
      score: Number(expected.scores[i]?.toPrecision(6)),
      share: Number(share(values[i] as number).toPrecision(6)),
    })),
  )
  assert.is(found.background, Number(share(0).toPrecision(6)))
  assert.is(found.ignored, 0)
})

test("the palette is VOC's, and a class file's colours replace its own", async () => {
  const palette = (file: string) => {
    const png = readFileSync(place.path(file))
    const at = png.indexOf('PLTE') + 4
    return png.subarray(at, at + 768)
  }
  assert.ok(palette('clip-es-out/photo.png').equals(Buffer.from(maskPalette())))
  writeFileSync(place.path('coloured.json'), '{"classes": [{"name": "panda"}, {"name": "elephant", "colour": "#102030"}]}')
  const { status, stderr } = place.run(['segment', 'photo.png', '--class-file', 'coloured.json', '-o', 'coloured', '--overlay'])
  assert.is(status, 0, stderr)
  assert.ok(palette('coloured/photo.png').equals(Buffer.from(maskPalette([undefined, '#102030']))))
  const { data, info } = await sharp(place.path('coloured/photo_overlay.png')).raw().toBuffer({ resolveWithObject: true })
  const pixels = Array.from({ length: info.width * info.height }, (_, i) => data.subarray(i * 3, i * 3 + 3).toString('hex'))
  assert.ok(pixels.includes('102030'), 'outlines and the swatch in the legend have it')
})

test('the overlay is the enlarged photo with a legend below it', async () => {
  const { width, height } = await sharp(place.path('clip-es-out/photo_overlay.png')).metadata()
  assert.is(width, 640)
  assert.ok(height > 490 && height < 560, String(height))
})

test('the confidence is a grey PNG of 16 bits', async () => {
  const file = place.path('clip-es-out/photo_confidence.png')
  const { depth, space, channels } = await sharp(file).metadata()
  assert.equal([depth, space, channels], ['ushort', 'grey16', 1])
  const bytes = await sharp(file).toColourspace('grey16').raw({ depth: 'ushort' }).toBuffer()
  const levels = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length / 2)
  assert.equal(
    [...levels],
    Array.from(expected.confidence as Float32Array, (value) => Math.round(value * 65535)),
  )
})

test('the CAMs are two .npy files: class ids that count from 0, and the maps in float16', async () => {
  const files = await readZip(readFileSync(place.path('clip-es-out/photo.npz')))
  assert.equal([...files.keys()], ['keys.npy', 'attn_highres.npy'])
  const parts = [...files.values()].map((npy) => {
    const start = 10 + npy.readUInt16LE(8)
    assert.is(start % 64, 0)
    return { head: npy.toString('latin1', 10, start).trim(), data: npy.subarray(start) }
  })
  assert.equal(
    parts.map(({ head }) => head),
    [
      "{'descr': '<i8', 'fortran_order': False, 'shape': (3,), }",
      "{'descr': '<f2', 'fortran_order': False, 'shape': (3, 240, 320), }",
    ],
  )
  assert.equal(
    [0, 8, 16].map((at) => Number(parts[0]?.data.readBigInt64LE(at))),
    [2, 3, 0],
  )
  assert.ok(parts[1]?.data.equals(Buffer.from(toFloat16(expected.cams as Float32Array).buffer)))
})

const hasNumpy = spawnSync('python3', ['-c', 'import numpy']).status === 0
const numpyTest = testIf(hasNumpy, 'numpy reads the CAMs: there is no python3 with numpy')

numpyTest('numpy opens them, and rounds float32 the same way', () => {
  const raw = place.path('cams.f32')
  writeFileSync(raw, new Uint8Array((expected.cams as Float32Array).buffer))
  const script = `
import sys, numpy as np
z = np.load(sys.argv[1])
assert sorted(z.files) == ['attn_highres', 'keys'], z.files
assert z['keys'].dtype == np.int64 and z['keys'].tolist() == [2, 3, 0]
want = np.fromfile(sys.argv[2], '<f4').reshape(3, 240, 320).astype(np.float16)
assert z['attn_highres'].dtype == np.float16 and np.array_equal(z['attn_highres'], want)
`
  const { status, stderr } = spawnSync('python3', ['-c', script, place.path('clip-es-out/photo.npz'), raw], { encoding: 'utf8' })
  assert.is(status, 0, stderr)
})

test('the same command again writes the same bytes', () => {
  const flags = ['--classes', names.join(), '--labels', labels.join(), '--overlay', '--cams', '--confidence']
  const read = () => place.files('again').map((file) => readFileSync(place.path('again', file)))
  assert.is(place.run(['segment', 'photo.png', ...flags, '-o', 'again']).status, 0)
  const before = read()
  assert.is(place.run(['segment', 'photo.png', ...flags, '-o', 'again']).status, 0)
  const after = read()
  assert.is(after.length, 5)
  assert.ok(after.every((bytes, i) => bytes.equals(before[i] as Buffer)))
})

test('in a pipe, a line has the labels, the largest first, and the path of the mask', () => {
  const { stdout } = place.run(['segment', 'photo.png', '--classes', names.join(), '--labels', labels.join()])
  const found = String.raw`(\w+) (\d+\.\d+) % \(score [<\d. ]+\)`
  const line = stdout.match(new RegExp(`^photo\\.png: ${found}, ${found}, ${found}; clip-es-out/photo\\.png, \\d+\\.\\d\\d s\n$`))
  assert.ok(line, stdout)
  const [, first, a, second, b, third, c] = line ?? []
  assert.equal([first, second, third].sort(), [...labels].sort())
  assert.ok(Number(a) >= Number(b) && Number(b) >= Number(c), stdout)
})

async function apiMask(options: Parameters<Segmenter['segment']>[2], fromFile = true): Promise<Buffer> {
  const file = readClassFile(join(root, 'models/emoji-classes.json'))
  const segmenter = await Segmenter.load(undefined, { maxSide: 160 })
  const specs = fromFile ? file.classes : ['elephant', 'panda']
  const { template, background, fusion } = file
  const classes = await segmenter.encodeClasses(specs, fromFile ? { template, background, fusion } : { background: ['wall'] })
  const { data, info } = await sharp(place.path('photo.png')).removeAlpha().raw().toBuffer({ resolveWithObject: true })
  const { mask: pixels } = await segmenter.segment({ data, width: info.width, height: info.height }, classes, options)
  await segmenter.close()
  return Buffer.from(pixels)
}

test('a class file gives template, fusion, background and threshold, and every number option reaches the engine', async () => {
  const numbers = { backgroundPower: 2, ignoreBelow: 0.6, refine: true }
  const flags = ['--background-power', '2', '--ignore-below', '0.6', '--max-side', '160']
  const run = place.run(['segment', 'photo.png', '--class-file', 'emoji', '--labels', labels.join(), ...flags, '-o', 'file'])
  assert.is(run.status, 0, run.stderr)
  const fromFile = Buffer.from((await mask('file/photo.png')).data)
  assert.ok(fromFile.includes(255))
  assert.ok(fromFile.equals(await apiMask({ labels, boxThreshold: 0.4, ...numbers })))
})

test('flags override the class file: background, threshold, refinement', async () => {
  const flags = [
    '--classes',
    'elephant,panda',
    '--background',
    'wall',
    '--box-threshold',
    '0.8',
    '--max-side',
    '160',
    '-o',
    'flags',
  ]
  writeFileSync(
    place.path('own.json'),
    '{"boxThreshold": 0.1, "background": ["sea"], "classes": [{"name": "panda"}, {"name": "elephant"}]}',
  )
  assert.is(place.run(['segment', 'photo.png', '--class-file', 'own.json', ...flags]).status, 0)
  const flagged = Buffer.from((await mask('flags/photo.png')).data)
  assert.ok(flagged.equals(await apiMask({ boxThreshold: 0.8 }, false)), '--classes also chooses the order of the values')
  assert.is(place.run(['segment', 'photo.png', '--class-file', 'own.json', ...flags, '--no-refine']).status, 0)
  const unrefined = Buffer.from((await mask('flags/photo.png')).data)
  assert.ok(unrefined.equals(await apiMask({ refine: false }, false)))
})

test('background words that are also classes are named', () => {
  const { status, stderr } = place.run(['segment', 'photo.png', '--classes', 'panda,wall', '--background', 'wall,sea'])
  assert.is(status, 0)
  assert.match(stderr, /\nclip-es: these background words are not used, because they are also classes: wall\n$/)
})

test('--help shows every option and examples', () => {
  const { status, stdout } = place.run(['segment', '--help'])
  assert.is(status, 0)
  for (const word of ['--classes', '--class-file', '--overlay', '--cams', '--json', 'Examples:', 'Exit status:'])
    assert.ok(stdout.includes(word), word)
})

test.run()
