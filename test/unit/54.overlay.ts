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
})

test('a mask or photo of the wrong size and a wrong scale are refused with their values', async () => {
  const refused = async (work: Promise<unknown>, text: string) => {
    const error = await work.catch((reason: unknown) => reason)
    assert.ok(error instanceof ClipEsError && error.message.includes(text), String(error))
  }
  await refused(drawOverlay(grey, new Uint8Array(7), labels), 'the mask has 7 values; 60 x 40 needs 2400')
  await refused(drawOverlay({ ...grey, data: new Uint8Array(5000) }, mask, labels), '5000 bytes')
  for (const scale of [0, 1.5, Number.NaN]) await refused(drawOverlay(grey, mask, labels, { scale }), `scale is ${scale}`)
})

test('markup in names is escaped', async () => {
  assert.is(escapeXml(`<a href="x">&'\u0000\u001b\ud800é😀`), '&#60;a href=&#34;x&#34;&#62;&#38;&#39;é😀')
  const name = `</text><script>alert('&')</script>\u0007`
  const { svg } = legend([{ name, colour: [1, 2, 3] }], 640)
  assert.not.match(svg, /<script/)
  await sharp(Buffer.from(svg)).png().toBuffer()
})

test('many names wrap into rows, and a long one is shortened', () => {
  const one = legend([{ name: 'cat', colour: [1, 2, 3] }], 320)
  const many = legend(
    Array.from({ length: 30 }, (_, i) => ({ name: `label ${i}`, colour: [i, 2, 3] as const })),
    320,
  )
  assert.ok(many.height > 5 * one.height)
  const long = legend([{ name: 'a word without end '.repeat(20), colour: [1, 2, 3], probability: 0.5 }], 320)
  assert.is(long.height, one.height)
  assert.match(long.svg, /…<tspan.*50\.0 %/)
})

test('probabilities keep their first digits', () => {
  assert.equal([0, 0.00001, 0.0016, 0.0999, 0.334, 1].map(percent), [
    '0.00 %',
    '< 0.01 %',
    '0.16 %',
    '10.0 %',
    '33.4 %',
    '100.0 %',
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
