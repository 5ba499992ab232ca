// Images in every layout that ImageData allows give the same result.
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentOptions, SegmentResult } from '../../ts/index.js'
import { everything, smallScene } from './small_scene.js'
import { withoutTimings } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let small: ImageData & { data: Uint8Array }
let first: SegmentResult

test.before(async () => {
  ;({ segmenter, classes, small, first } = await smallScene())
})
test.after(() => segmenter.close())

const segment = (options?: SegmentOptions, image: ImageData = small) => segmenter.segment(image, classes, options)

test('RGB, RGBA, and views at any offset in memory give the same result', async () => {
  const { data, width, height } = small
  const pixels = width * height
  const rgba = Uint8Array.from({ length: 4 * pixels }, (_, i) => (i % 4 === 3 ? i * 7 : (data[(i >> 2) * 3 + (i % 4)] as number)))
  const around = new Uint8Array(data.length + 100).fill(99)
  around.set(data, 37)
  const forms: [string, ImageData['data']][] = [
    ['RGBA, whatever the alpha', rgba],
    ['Uint8ClampedArray', new Uint8ClampedArray(data)],
    ['Buffer', Buffer.from(data)],
    ['a Buffer in a pool', Buffer.concat([Buffer.from('some'), data]).subarray(4)],
    ['a part of an array', around.subarray(37, 37 + data.length)],
    ['a clamped part', new Uint8ClampedArray(around.buffer, 37, data.length)],
  ]
  for (const [name, form] of forms)
    assert.equal(withoutTimings(await segment(everything, { data: form, width, height })), withoutTimings(first), name)
})

test('a grey image gives the result of the same grey in three channels', async () => {
  const { width, height } = small
  const grey = Uint8Array.from({ length: width * height }, (_, i) => small.data[3 * i] as number)
  const rgb = Uint8Array.from({ length: 3 * grey.length }, (_, i) => grey[Math.floor(i / 3)] as number)
  const [one, three] = [await segment(everything, { ...small, data: grey }), await segment(everything, { ...small, data: rgb })]
  assert.equal(withoutTimings(one), withoutTimings(three))
  assert.not.equal(one.scores, first.scores)
})

/** The same pixels in another order of bytes, each row padded with noise. */
function laidOut(order: readonly number[], padding: number) {
  const { data, width, height } = small
  const rowBytes = width * order.length + padding
  const bytes = Uint8Array.from({ length: rowBytes * height }, (_, i) => i * 7)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (const [i, c] of order.entries())
        if (c < 3) bytes[y * rowBytes + x * order.length + i] = data[3 * (y * width + x) + c] as number
  return { data: bytes, width, height, rowBytes }
}

test('BGRA and padded rows give the result of packed RGB, also for an encoded image and with a CRF', async () => {
  const options = { ...everything, crf: true }
  const plain = withoutTimings(await segment(options))
  const forms: ImageData[] = [
    { ...laidOut([0, 1, 2], 5), channels: 'rgb' },
    { ...laidOut([0, 1, 2, 3], 16), channels: 4 },
    { ...laidOut([2, 1, 0, 3], 0), channels: 'bgra' },
    { ...laidOut([2, 1, 0, 3], 64), channels: 'bgra' },
  ]
  for (const form of forms) {
    const cut = form.data.subarray(
      0,
      form.data.length - (form.rowBytes as number) + small.width * (form.channels === 'rgb' ? 3 : 4),
    )
    for (const image of [form, { ...form, data: cut }]) {
      assert.equal(withoutTimings(await segment(options, image)), plain, String(form.channels))
      using encoded = await segmenter.encode(image)
      assert.equal(withoutTimings(await encoded.segment(classes, options)), plain, String(form.channels))
    }
  }
})

test("the result of sharp's toBuffer({ resolveWithObject: true }) is an image", async () => {
  const raw = { width: small.width, height: small.height, channels: 3 } as const
  const image = await sharp(Buffer.from(small.data), { raw }).ensureAlpha().raw().toBuffer({ resolveWithObject: true })
  assert.equal(withoutTimings(await segmenter.segment(image, classes, everything)), withoutTimings(first))
})

test.run()
