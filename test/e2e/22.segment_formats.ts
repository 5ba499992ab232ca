// What `clip-es segment` reads: formats, kinds of pixels, orientations, and files that are no photos.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp, { type Sharp } from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Segmenter } from '../../ts/index.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { readPhoto } from '../../ts/photos/read_photo.js'
import { jsonLines, scenes, Workplace } from './support.js'

const place = new Workplace()
const classes = ['elephant', 'television', 'panda']
const [width, height] = [320, 240]
let rgb: Buffer

test.before(async () => {
  rgb = await sharp(join(scenes, 'scene01.png')).removeAlpha().raw().toBuffer()
})
test.after(() => place.remove())

const fromRgb = (data = rgb): Sharp => sharp(data, { raw: { width, height, channels: 3 } })
const pixelsOf = async (file: string): Promise<Buffer> => (await readPhoto(place.path(file))).data

/** `count` bytes made by their index. */
const bytes = (count: number, make: (i: number) => number): Buffer =>
  Buffer.from(Uint8Array.from({ length: count }, (_, i) => make(i)))

/** Red, green and blue as one grey, by hand. */
const grey = (): Buffer => bytes(width * height, (i) => ((rgb[i * 3] as number) + (rgb[i * 3 + 1] as number)) / 2)

const inThree = (one: Buffer): Buffer => bytes(one.length * 3, (i) => one[Math.floor(i / 3)] as number)

/** Interleaves channels. */
const zip = (...channels: { from: Buffer; step: number; at: number }[]): Buffer =>
  bytes(width * height * channels.length, (i) => {
    const { from, step, at } = channels[i % channels.length] as { from: Buffer; step: number; at: number }
    return from[Math.floor(i / channels.length) * step + at] as number
  })

const alpha = bytes(width * height, (i) => i)
const withAlpha = (): Buffer => zip(...[0, 1, 2].map((at) => ({ from: rgb, step: 3, at })), { from: alpha, step: 1, at: 0 })
const greyAlpha = (): Buffer => zip({ from: grey(), step: 1, at: 0 }, { from: alpha, step: 1, at: 0 })
const sixteen = (data: Buffer): Uint16Array => Uint16Array.from(data, (value) => value * 257)

/** Files whose pixels are known exactly. */
const exact: Record<string, () => { file: Sharp; pixels: Buffer }> = {
  'rgb.png': () => ({ file: fromRgb().png(), pixels: rgb }),
  'interlaced.png': () => ({ file: fromRgb().png({ progressive: true }), pixels: rgb }),
  'rgb.tif': () => ({ file: fromRgb().tiff({ compression: 'lzw' }), pixels: rgb }),
  'tiled.tiff': () => ({ file: fromRgb().tiff({ compression: 'deflate', tile: true }), pixels: rgb }),
  'lossless.webp': () => ({ file: fromRgb().webp({ lossless: true }), pixels: rgb }),
  'rgb16.png': () => ({
    file: sharp(sixteen(rgb), { raw: { width, height, channels: 3 } })
      .toColourspace('rgb16')
      .png(),
    pixels: rgb,
  }),
  'grey.png': () => ({
    file: sharp(grey(), { raw: { width, height, channels: 1 } })
      .toColourspace('b-w')
      .png(),
    pixels: inThree(grey()),
  }),
  'grey16.png': () => ({
    file: sharp(sixteen(grey()), { raw: { width, height, channels: 1 } })
      .toColourspace('grey16')
      .png(),
    pixels: inThree(grey()),
  }),
}

for (const [name, make] of Object.entries(exact))
  test(`${name} is read as it was written, in RGB of 8 bits`, async () => {
    const { file, pixels } = make()
    await file.toFile(place.path(name))
    assert.ok((await pixelsOf(name)).equals(pixels))
  })

/** Colours over white, by hand. */
const overWhite = (data: Buffer): Buffer =>
  bytes(data.length, (i) => {
    const a = (alpha[Math.floor(i / 3)] as number) / 255
    return (data[i] as number) * a + 255 * (1 - a)
  })

const transparent: Record<string, () => { file: Sharp; pixels: Buffer }> = {
  'rgba.png': () => ({ file: sharp(withAlpha(), { raw: { width, height, channels: 4 } }).png(), pixels: overWhite(rgb) }),
  'rgba.tif': () => ({
    file: sharp(withAlpha(), { raw: { width, height, channels: 4 } }).tiff({ compression: 'lzw' }),
    pixels: overWhite(rgb),
  }),
  'rgba.webp': () => ({
    file: sharp(withAlpha(), { raw: { width, height, channels: 4 } }).webp({ lossless: true, exact: true }),
    pixels: overWhite(rgb),
  }),
  'greyalpha.png': () => ({
    file: sharp(greyAlpha(), { raw: { width, height, channels: 2 } })
      .toColourspace('b-w')
      .png(),
    pixels: overWhite(inThree(grey())),
  }),
}

for (const [name, make] of Object.entries(transparent))
  test(`${name}: transparent pixels are white`, async () => {
    const { file, pixels } = make()
    await file.toFile(place.path(name))
    const read = await pixelsOf(name)
    assert.is(read.length, pixels.length)
    assert.ok(read.every((value, i) => Math.abs(value - (pixels[i] as number)) <= 1))
  })

/** Files with losses, or in another space: mean difference of a channel allowed. */
const near: Record<string, { file: () => Sharp; allowed: number }> = {
  'photo.jpg': { file: () => fromRgb().jpeg({ quality: 95 }), allowed: 2 },
  'progressive.jpeg': { file: () => fromRgb().jpeg({ quality: 95, progressive: true }), allowed: 2 },
  'lossy.webp': { file: () => fromRgb().webp({ quality: 95 }), allowed: 3 },
  'photo.avif': { file: () => fromRgb().avif({ quality: 80, effort: 0 }), allowed: 3 },
  'tenbit.avif': { file: () => fromRgb().avif({ quality: 80, effort: 0, bitdepth: 10 }), allowed: 3 },
  'palette.png': { file: () => fromRgb().png({ palette: true }), allowed: 4 },
  'p3.png': { file: () => fromRgb().withIccProfile('p3').png(), allowed: 1 }, // the same colours, other numbers in the file
  'cmyk.jpg': { file: () => fromRgb().toColourspace('cmyk').jpeg({ quality: 100 }), allowed: 6 }, // not all fit into the inks
  'cmyk.tif': { file: () => fromRgb().toColourspace('cmyk').tiff({ compression: 'lzw' }), allowed: 6 },
}

for (const [name, { file, allowed }] of Object.entries(near))
  test(`${name} has the colours of the original`, async () => {
    await file().toFile(place.path(name))
    const pixels = await pixelsOf(name)
    assert.is(pixels.length, rgb.length)
    const mean = pixels.reduce((sum, value, i) => sum + Math.abs(value - (rgb[i] as number)), 0) / rgb.length
    assert.ok(mean <= allowed, `mean difference ${mean}`)
  })

type Place = (x: number, y: number, w: number, h: number) => [number, number]

/** By EXIF orientation, from 1: which pixel of the upright photo is stored at (x, y); w and h are the stored size's. */
const upright: readonly Place[] = [
  (x, y) => [x, y],
  (x, y, w) => [w - 1 - x, y],
  (x, y, w, h) => [w - 1 - x, h - 1 - y],
  (x, y, _, h) => [x, h - 1 - y],
  (x, y) => [y, x],
  (x, y, _, h) => [h - 1 - y, x],
  (x, y, w, h) => [h - 1 - y, w - 1 - x],
  (x, y, w) => [y, w - 1 - x],
]

function stored(orientation: number): Sharp {
  const [w, h] = orientation < 5 ? [width, height] : [height, width]
  const data = Buffer.alloc(rgb.length)
  const origin = upright[orientation - 1] as Place
  for (let y = 0; y < h; y++)
    for (let x = 0; x < w; x++) {
      const [fromX, fromY] = origin(x, y, w, h)
      rgb.copy(data, (y * w + x) * 3, (fromY * width + fromX) * 3, (fromY * width + fromX) * 3 + 3)
    }
  return sharp(data, { raw: { width: w, height: h, channels: 3 } }).withMetadata({ orientation })
}

test('every EXIF orientation in PNG, TIFF, WebP and JPEG gives the mask of the upright photo', async () => {
  const folder = 'turned'
  mkdirSync(place.path(folder))
  for (let n = 1; n <= 8; n++) {
    await stored(n)
      .png()
      .toFile(place.path(folder, `o${n}.png`))
    await stored(n)
      .tiff({ compression: 'lzw' })
      .toFile(place.path(folder, `t${n}.tif`))
    await stored(n)
      .webp({ lossless: true })
      .toFile(place.path(folder, `w${n}.webp`))
    await stored(n)
      .jpeg({ quality: 100, chromaSubsampling: '4:4:4' })
      .toFile(place.path(folder, `j${n}.jpg`))
  }
  const { status, stderr, stdout } = place.run(['segment', folder, '--classes', classes.join(), '--json'])
  assert.is(status, 0, stderr)
  assert.is(jsonLines(stdout).length, 32)
  const segmenter = await Segmenter.load()
  const { mask } = await segmenter.segment({ data: rgb, width, height }, await segmenter.encodeClasses(classes))
  await segmenter.close()
  for (const name of place.files(join('clip-es-out', folder))) {
    const found = await readMask(readFileSync(place.path('clip-es-out', folder, name)))
    assert.equal([found.width, found.height], [width, height], name)
    const differing = found.data.filter((value, i) => value !== mask[i]).length
    assert.ok(differing <= (name.startsWith('j') ? 0.03 * mask.length : 0), `${name}: ${differing} pixels differ`)
  }
})

test('bad files are reported, and the good ones are segmented', async () => {
  const folder = place.path('mixed')
  mkdirSync(folder)
  await fromRgb().png().toFile(join(folder, 'good1.png'))
  await fromRgb().jpeg().toFile(join(folder, 'good2.jpg'))
  const png = readFileSync(join(folder, 'good1.png'))
  const jpeg = readFileSync(join(folder, 'good2.jpg'))
  writeFileSync(join(folder, 'cut.jpg'), jpeg.subarray(0, jpeg.length / 2))
  writeFileSync(join(folder, 'cut.png'), png.subarray(0, png.length / 2))
  writeFileSync(join(folder, 'empty.png'), '')
  writeFileSync(join(folder, 'text.jpg'), 'not a photo')
  symlinkSync('nowhere.png', join(folder, 'link.png'))
  await fromRgb().gif().toFile(join(folder, 'picture.gif'))
  await fromRgb().toColourspace('scrgb').tiff({ compression: 'none' }).toFile(join(folder, 'float.tif'))
  const wrong = ['cut.jpg', 'cut.png', 'empty.png', 'float.tif', 'link.png', 'text.jpg']
  const args = ['segment', 'mixed', 'mixed/picture.gif', 'absent.jpg', '--classes', classes.join()]

  const { status, stdout, stderr } = place.run([...args, '--json'])
  assert.is(status, 1)
  assert.equal(place.files('clip-es-out/mixed'), ['good1.png', 'good2.png'])
  const lines = jsonLines(stdout)
  const failed = lines.filter((line) => 'error' in line) as unknown as {
    path: string
    error: { code: string; message: string }
  }[]
  assert.equal(
    failed.map(({ path }) => path),
    ['absent.jpg', ...wrong.map((name) => `mixed/${name}`), 'mixed/picture.gif'],
  )
  assert.is(lines.length, failed.length + 2)
  const message = (name: string) => failed.find(({ path }) => path.endsWith(name))?.error.message ?? ''
  assert.is(message('absent.jpg'), 'there is no such file or folder')
  assert.is(message('empty.png'), 'it is empty')
  assert.match(message('cut.jpg'), /^it is damaged \(.+\)$/)
  assert.match(message('cut.png'), /^it is damaged \(.+\)$/)
  assert.match(message('link.png'), /^there is no such file$/)
  assert.match(
    message('text.jpg'),
    /^it is not an image, or a damaged one \(.+\); JPEG, PNG, WebP, AVIF and TIFF files are read$/,
  )
  assert.match(message('float.tif'), /^its channels are of the type float/)
  assert.match(message('picture.gif'), /^it is a GIF file; JPEG, .+: convert it first$/)
  assert.match(
    stderr,
    new RegExp(`\nclip-es: 2 photos done in \\d+ s .+, ${failed.length} failed: listed above; results are in clip-es-out\n$`),
  )

  const piped = place.run(args)
  assert.is(piped.status, 1)
  assert.is(piped.stdout.split('\n').filter((line) => line.includes('; clip-es-out/')).length, 2)
  assert.is(piped.stdout.split('\n').length, 3, 'failures are not among the results')
  // libvips has one buffer for the errors of all threads, so its words in brackets can differ from run to run.
  for (const { path, error } of failed)
    assert.ok(piped.stderr.includes(`\nclip-es: ${path}: ${error.message.replace(/\(.*/s, '')}`), path)
})

test('a photo larger than the engine takes is refused before it is decoded', async () => {
  await readPhoto(join(scenes, 'scene01.png'), { maxPixels: 320 * 240 })
  await rejects(readPhoto(join(scenes, 'scene01.png'), { maxPixels: 320 * 240 - 1 }), /scene01\.png: it has 320 x 240 pixels/)
  await rejects(
    readPhoto(join(scenes, 'scene01.png'), { maxPixels: 1000 }),
    /scene01\.png: it has 320 x 240 pixels, more than 0\.001 million; reduce it/,
  )
})

test('the first page of a file is taken, and the line says so', async () => {
  const pages = sharp(Buffer.concat([rgb, Buffer.alloc(rgb.length)]), {
    raw: { width, height: 2 * height, channels: 3, pageHeight: height },
  })
  await pages.webp({ lossless: true }).toFile(place.path('pages.webp'))
  const photo = await readPhoto(place.path('pages.webp'))
  assert.equal([photo.width, photo.height, photo.pages], [width, height, 2])
  assert.ok(photo.data.equals(rgb))
  const run = place.run(['segment', 'pages.webp', '--classes', classes.join()])
  assert.match(run.stdout, /^pages\.webp \(the first of 2 pages\): /)
})

async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: Error) => reason,
  )
  assert.match(error?.message ?? 'no error', message)
}

test.run()
