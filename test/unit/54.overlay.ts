import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError } from '../../ts/core/errors.js'
import type { ImageData } from '../../ts/core/types.js'
import { writeWhole } from '../../ts/files/write_whole.js'
import { escapeXml, legend, percent } from '../../ts/photos/legend.js'
import { drawOverlay, type OverlayLabel, type OverlayOptions } from '../../ts/photos/overlay.js'

const [width, height] = [60, 40]
const grey: ImageData = { data: new Uint8Array(width * height).fill(128), width, height }
const labels: OverlayLabel[] = [
  { name: 'cat', value: 1, colour: [255, 0, 0], probability: 0.334 },
  { name: 'dog', value: 7, colour: [0, 0, 255] },
]

/** A square of each label on background, and one ignored. */
const mask = new Uint8Array(width * height)
for (let y = 10; y < 30; y++) {
  mask.fill(1, y * width + 5, y * width + 20)
  mask.fill(7, y * width + 20, y * width + 35)
  mask.fill(255, y * width + 40, y * width + 55)
}

async function draw(options: OverlayOptions, image = grey) {
  const { data, info } = await sharp(await drawOverlay(image, mask, labels, options))
    .raw()
    .toBuffer({ resolveWithObject: true })
  const at = (x: number, y: number): number[] => [...data.subarray((y * info.width + x) * 3, (y * info.width + x) * 3 + 3)]
  return { at, info }
}

test('the surroundings are darker, labels have a tint of their colour, and borders the pure colour', async () => {
  const { at, info } = await draw({ scale: 1, legend: false })
  assert.equal([info.width, info.height, info.channels], [width, height, 3])
  assert.ok(
    at(0, 0).every((part) => part > 20 && part < 80),
    String(at(0, 0)),
  )
  const [r, g, b] = at(12, 20) as [number, number, number]
  assert.ok(r > 180 && g < 90 && b < 90, `inside cat: ${r} ${g} ${b}`)
  assert.equal(at(5, 20), [255, 0, 0])
  assert.equal(at(19, 20), [255, 0, 0], 'a border with another label')
  assert.equal(at(20, 20), [0, 0, 255])
  assert.ok(
    at(47, 20).every((part) => part > 150),
    'ignored pixels are pale',
  )
})

test('the edge of the picture is not drawn as a border', async () => {
  const all: OverlayLabel = { name: 'all', value: 3, colour: [255, 0, 0] }
  const png = await drawOverlay(grey, new Uint8Array(width * height).fill(3), [all], { scale: 1, legend: false })
  const { data } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
  assert.is(new Set(data.filter((_, i) => i % 3 === 1)).size, 1)
  assert.ok((data[1] as number) > 0)
})

test('small pictures and their labels are enlarged by a whole factor', async () => {
  const { at, info } = await draw({ legend: false })
  assert.equal([info.width, info.height], [660, 440])
  assert.equal(at(5 * 11, 20 * 11), [255, 0, 0])
  assert.equal(
    at(5 * 11 - 1, 20 * 11).every((part) => part < 80),
    true,
  )
})

test('the width of outlines grows with the picture: three pixels at 660, two at a small size', async () => {
  const large = await draw({ legend: false })
  const [x, y] = [5 * 11, 20 * 11]
  const isRed = ([r, g, b]: number[]) => r === 255 && g === 0 && b === 0
  assert.equal(
    [0, 1, 2, 3].map((step) => isRed(large.at(x + step, y))),
    [true, true, true, false],
  )
  const small = await draw({ legend: false, scale: 1 })
  assert.equal(
    [0, 1, 2].map((step) => isRed(small.at(5 + step, 20))),
    [true, true, false],
  )
})

test('grey, RGB and RGBA photos look the same', async () => {
  const spread = (channels: number): ImageData => ({ data: new Uint8Array(width * height * channels).fill(128), width, height })
  const one = await drawOverlay(grey, mask, labels)
  for (const channels of [3, 4]) assert.ok(one.equals(await drawOverlay(spread(channels), mask, labels)), String(channels))
})

test('BGRA photos, padded rows and the results of sharp look the same as RGB', async () => {
  const rgb = Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 37) % 256)
  const expected = await drawOverlay({ data: rgb, width, height }, mask, labels)
  const bgra = new Uint8Array(width * height * 4)
  const rowBytes = width * 3 + 5
  const padded = new Uint8Array(rowBytes * height)
  for (let i = 0; i < width * height; i++) bgra.set([rgb[3 * i + 2], rgb[3 * i + 1], rgb[3 * i]] as number[], 4 * i)
  for (let y = 0; y < height; y++) padded.set(rgb.subarray(y * width * 3, (y + 1) * width * 3), y * rowBytes)
  const images = [
    { data: bgra, width, height, channels: 'bgra' },
    { data: padded, width, height, channels: 'rgb', rowBytes },
    { data: rgb, info: { width, height, channels: 3 } },
  ] as const
  for (const [i, image] of images.entries()) assert.ok(expected.equals(await drawOverlay(image, mask, labels)), String(i))
})

test("a view into a larger buffer shows the view's own pixels", async () => {
  const buffer = new Uint8Array(width * height + 7).fill(128)
  buffer.fill(0, 0, 7)
  const view: ImageData = { data: buffer.subarray(7), width, height }
  assert.ok((await drawOverlay(view, mask, labels)).equals(await drawOverlay(grey, mask, labels)))
})

test('the legend is a strip below that shows every colour', async () => {
  const { at, info } = await draw({ scale: 11 })
  assert.ok(info.height > 440 && info.height < 520, String(info.height))
  const strip = new Set<string>()
  for (let y = 440; y < info.height; y++) for (let x = 0; x < info.width; x++) strip.add(String(at(x, y)))
  assert.ok(strip.has('255,0,0') && strip.has('0,0,255'))
  assert.is(info.height, 440 + legend(labels, 660).height)
  const without = await sharp(await drawOverlay(grey, mask, [], { scale: 1 })).metadata()
  assert.is(without.height, 40, 'no strip without labels')
})

test('every pixel has its colour: dark surroundings, a tint inside, and the pure colour at most two pixels from a border', async () => {
  // By the definition: the nearest pixel of another value, with steps to the four neighbours.
  const [w, h] = [24, 17]
  const rgb = Uint8Array.from({ length: w * h * 3 }, (_, i) => (i * 89) % 256)
  const block = [0, 1, 1, 7, 255, 2, 7, 7, 0, 1, 0, 255, 255, 2, 1, 1, 0, 7, 2, 255, 0, 1, 7, 0, 2]
  const values = Uint8Array.from(
    { length: w * h },
    (_, i) => block[Math.floor((i % w) / 5) + 5 * Math.floor(i / w / 4)] as number,
  )
  const colours: Record<number, readonly number[]> = { 1: [255, 0, 0], 7: [0, 0, 255], 2: [0, 128, 0], 255: [235, 238, 245] }
  const isNearBorder = (at: number) =>
    values.some(
      (value, i) => value !== values[at] && Math.abs((i % w) - (at % w)) + Math.abs(Math.floor(i / w) - Math.floor(at / w)) <= 2,
    )
  const expected = Uint8Array.from(rgb, (part, i) => {
    const [at, c] = [Math.floor(i / 3), i % 3]
    const value = values[at] as number
    const [r = 0, g = 0, b = 0] = rgb.subarray(3 * at)
    const plain = 0.7 * (0.299 * r + 0.587 * g + 0.114 * b) + (1 - 0.7) * part
    const [colour, share] = value ? [colours[value], isNearBorder(at) ? 1 : 0.55] : [[14, 17, 22], 0.62]
    return plain * (1 - share) + (colour?.[c] as number) * share
  })
  const png = await drawOverlay({ data: rgb, width: w, height: h }, values, labels, { scale: 1, legend: false })
  const { data } = await sharp(png).raw().toBuffer({ resolveWithObject: true })
  assert.equal([...data], [...expected])
})

test('a photo is enlarged until it is 640 pixels wide, and by no more than 1000', async () => {
  const widthOf = async (width: number, options?: OverlayOptions) => {
    const png = await drawOverlay({ data: new Uint8Array(width), width, height: 1 }, new Uint8Array(width), [], options)
    return (await sharp(png).metadata()).width
  }
  for (const [width, enlarged] of [
    [1, 640],
    [320, 640],
    [321, 642],
    [639, 1278],
    [640, 640],
    [700, 700],
  ] as const)
    assert.is(await widthOf(width), enlarged)
  assert.is(await widthOf(1, { scale: 1000 }), 1000)
})

test('a mask or photo of the wrong size and wrong options are refused', async () => {
  const refused = async (work: Promise<unknown>, message: string) => {
    const error = await work.catch((reason: unknown) => reason)
    assert.ok(error instanceof ClipEsError && error.code === 'ERR_INVALID_ARG', String(error))
    assert.ok(error.message.startsWith(`drawOverlay(): ${message}`), error.message)
  }
  await refused(drawOverlay(grey, new Uint8Array(7), labels), 'the mask has 7 values; 60 x 40 needs 2400')
  await refused(drawOverlay({ ...grey, data: new Uint8Array(5000) }, mask, labels), 'image.data has 5000 bytes')
  for (const scale of [0, 1.5, 1001, Number.NaN])
    await refused(drawOverlay(grey, mask, labels, { scale }), `scale is ${scale}; expected a whole number from 1 to 1000`)
  await refused(drawOverlay(grey, mask, labels, { legend: 1 } as never), 'legend is 1; expected true or false')
  await refused(drawOverlay(grey, mask, labels, { x: 1 } as never), "unknown option 'x'; known: scale, legend")
})

test('markup in names is escaped', async () => {
  assert.is(escapeXml(`<a href="x">&'\u0000\u001b\ud800é😀`), '&#60;a href=&#34;x&#34;&#62;&#38;&#39;é😀')
  const name = `</text><script>alert('&')</script>\u0007`
  const { svg } = legend([{ name, colour: [1, 2, 3] }], 640)
  assert.not.match(svg, /<script/)
  await sharp(Buffer.from(svg)).png().toBuffer()
})

/** An SVG with its numbers rounded to hundredths. */
const rounded = (svg: string) => svg.replace(/\d+\.\d{3,}/g, (number) => String(Math.round(100 * Number(number)) / 100))

test('a legend is a strip of swatches with names and probabilities, in as many rows as they need', () => {
  const entries = [
    { name: 'cat & dog', colour: [1, 2, 3], probability: 0.5 },
    { name: '猫', colour: [255, 128, 0] },
    { name: 'a bird on a long wire', colour: [0, 0, 0], probability: 1 },
  ] as const
  const fonts = "'Inter', 'Helvetica Neue', 'Liberation Sans', 'DejaVu Sans', sans-serif"
  const strip = (width: number, height: number, size: number, places: readonly (readonly number[])[]) => {
    const [swatch, small, gap] = [0.95 * size, 0.9 * size, 0.5 * size]
    const item = ([x = 0, y = 0, below = 0]: readonly number[], colour: string, text: string, share?: string) =>
      `<rect x="${x}" y="${y}" width="${swatch}" height="${swatch}" rx="${0.22 * size}" fill="${colour}"/>` +
      `<text x="${x + swatch + gap}" y="${below}" font-size="${size}">${text}` +
      `${share ? `<tspan dx="${gap}" font-size="${small}" fill="#9aa3b2">${share}</tspan>` : ''}</text>`
    const [first, second, third] = places as [number[], number[], number[]]
    const items =
      item(first, '#010203', 'cat &#38; dog', '50.0 %') +
      item(second, '#ff8000', '猫') +
      item(third, '#000000', 'a bird on a long wire', '100.0 %')
    const svg =
      `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">` +
      `<rect width="${width}" height="${height}" fill="#14171c"/><g font-family="${fonts}" fill="#f2f4f8">${items}</g></svg>`
    const found = legend(entries, width)
    assert.is(found.height, height)
    assert.is(rounded(found.svg), rounded(svg))
  }
  strip(380, 48, 11, [
    [11, 9.225, 18.41],
    [139.722, 9.225, 18.41],
    [11, 28.225, 37.41],
  ])
  strip(760, 53, 20, [
    [20, 17, 33.7],
    [254.04, 17, 33.7],
    [333.04, 17, 33.7],
  ])
  strip(2000, 74, 28, [
    [28, 23.8, 47.18],
    [355.656, 23.8, 47.18],
    [466.256, 23.8, 47.18],
  ])
})

test('a name that is longer than the strip is shortened', () => {
  const shown = (name: string, width: number) =>
    /font-size="11">([^<]*)</.exec(legend([{ name, colour: [1, 2, 3] }], width).svg)?.[1]
  // A letter has 0.58 and a wide sign 1.1 of the size 11; 38 pixels are for the margins, the swatch and the gap.
  const room = (letters: number) => Math.ceil(2 * 11 + 0.95 * 11 + 0.5 * 11 + letters * 0.58 * 11)
  assert.is(shown('x'.repeat(20), room(20)), 'x'.repeat(20))
  assert.is(shown('x'.repeat(20), room(20) - 1), `${'x'.repeat(18)}…`)
  assert.is(shown('word and', room(6)), 'word…', 'without the space before the dots')
  assert.is(shown('猫'.repeat(20), room(20)), `${'猫'.repeat(10)}…`)
  assert.is(shown('😀'.repeat(20), room(20)), `${'😀'.repeat(10)}…`)
  assert.is(shown('name', 10), 'n…')
  const { svg } = legend([{ name: 'a word without end '.repeat(4), colour: [1, 2, 3], probability: 0.5 }], 320)
  assert.match(svg, />a word without end a word without en…<tspan dx="5\.5" font-size="9\.9" fill="#9aa3b2">50\.0 %</)
})

test('probabilities keep their first digits', () => {
  assert.equal([0, 0.00001, 0.0001, 0.0016, 0.00999, 0.01, 0.0999, 0.334, 1].map(percent), [
    ...['0.00 %', '< 0.01 %', '0.01 %', '0.16 %', '1.00 %', '1.0 %', '10.0 %', '33.4 %', '100.0 %'],
  ])
})

test('a file replaces an older one as a whole, and no temporary file is left', () => {
  const folder = mkdtempSync(join(tmpdir(), 'clip-es-test-'))
  try {
    const file = join(folder, 'mask.png')
    writeFileSync(file, 'older and longer')
    writeWhole(file, 'new')
    assert.is(readFileSync(file, 'utf8'), 'new')
    assert.throws(() => writeWhole(join(folder, 'none', 'mask.png'), 'new'), /ENOENT/)
    assert.throws(() => writeWhole(folder, 'new'))
    assert.equal(readdirSync(folder), ['mask.png'])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
})

test.run()
