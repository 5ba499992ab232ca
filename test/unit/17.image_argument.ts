// The layouts of pixels that are accepted, and how others are refused.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { checkImage } from '../../ts/engine/image.js'
import type { ImageData } from '../../ts/index.js'
import { refusal } from './support.js'

const check = (image: unknown, maxPixels = 100) => checkImage('call()', image as ImageData, maxPixels)
const bytes = (count: number) => new Uint8Array(count)

test('the layout is known by the number of bytes, or is given by a name or a number of channels', () => {
  const size = { width: 3, height: 2 }
  for (const [count, channels, given, blueFirst] of [
    [6, 1, undefined, false],
    [18, 3, undefined, false],
    [24, 4, undefined, false],
    [6, 1, 'grey', false],
    [18, 3, 'rgb', false],
    [24, 4, 'rgba', false],
    [24, 4, 'bgra', true],
    [6, 1, 1, false],
    [18, 3, 3, false],
    [24, 4, 4, false],
  ] as const) {
    const data = bytes(count)
    const expected = { data, ...size, channels, rowBytes: 3 * channels, blueFirst }
    assert.equal(check({ data, ...size, ...(given === undefined ? {} : { channels: given }) }), expected)
    if (typeof given === 'number')
      assert.equal(check({ data, info: { ...size, channels: given } }), expected, 'as sharp gives it')
  }
  const clamped = new Uint8ClampedArray(6)
  assert.is(check({ data: clamped, ...size }).data, clamped)
})

test('rows can be padded, the last one too', () => {
  const image = { width: 3, height: 2, channels: 'rgb' }
  for (const [count, rowBytes] of [
    [18, 9],
    [20, 10],
    [19, 10],
    [1009, 1000],
    [2000, 1000],
  ] as const)
    assert.is(check({ ...image, data: bytes(count), rowBytes }).rowBytes, rowBytes)
  const refused = (count: number, rowBytes?: number) => refusal(() => check({ ...image, data: bytes(count), rowBytes }))
  const remedy = 'check width, height, channels and rowBytes'
  const padded = `needs 20, or 19 without the padding of the last row; ${remedy}`
  assert.is(refused(18, 10), `call(): image.data has 18 bytes; 3 x 2 RGB with rows of 10 bytes ${padded}`)
  assert.is(refused(21, 10), `call(): image.data has 21 bytes; 3 x 2 RGB with rows of 10 bytes ${padded}`)
  assert.is(refused(17), `call(): image.data has 17 bytes; 3 x 2 RGB needs 18; ${remedy}`)
  assert.is(refused(19), `call(): image.data has 19 bytes; 3 x 2 RGB needs 18; ${remedy}`)
  assert.is(refused(18, 8), 'call(): image.rowBytes is 8; expected a whole number from 9 to 2147483647')
  assert.is(refused(18, 2 ** 31), 'call(): image.rowBytes is 2147483648; expected a whole number from 9 to 2147483647')
  assert.is(
    refusal(() => check({ width: 3, height: 2, data: bytes(18), rowBytes: 9 })),
    "call(): image.rowBytes is 9 without image.channels; say 'grey', 'rgb', 'rgba' or 'bgra'",
  )
})

test('a wrong image is refused with what was expected', () => {
  const image = (data: unknown, width: unknown = 2, height: unknown = 2, more = {}) => ({ data, width, height, ...more })
  const channels = "expected 'grey', 'rgb', 'rgba' or 'bgra', or 1, 3 or 4"
  const alpha = '; grey with alpha is not supported: remove the alpha, with sharp by removeAlpha()'
  const array = 'expected a Uint8Array, Uint8ClampedArray or Buffer of pixels (decode files first, for example with sharp)'
  for (const [given, message] of [
    [null, 'image is null; expected { data, width, height }'],
    ['x', "image is 'x'; expected { data, width, height }"],
    [image(bytes(4), 0), 'image.width is 0; expected a whole number from 1 to 2147483647'],
    [image(bytes(4), 2, 2 ** 31), 'image.height is 2147483648; expected a whole number from 1 to 2147483647'],
    [image(bytes(4), 2 ** 31), 'image.width is 2147483648; expected a whole number from 1 to 2147483647'],
    [image(bytes(4), 2, 0), 'image.height is 0; expected a whole number from 1 to 2147483647'],
    [image('x'), `image.data is 'x'; ${array}`],
    [image(bytes(12), 2, 2, { channels: 'bgr' }), `image.channels is 'bgr'; ${channels}`],
    [image(bytes(8), 2, 2, { channels: 2 }), `image.channels is 2; ${channels}${alpha}`],
    [
      image(bytes(5)),
      'image.data has 5 bytes; 2 x 2 needs 4 (grey), 12 (RGB) or 16 (RGBA); give channels and rowBytes if the rows are padded',
    ],
    [
      image(new Uint8Array(new SharedArrayBuffer(4))),
      'image.data lies in a SharedArrayBuffer, which other threads may change; copy it first',
    ],
    [{ data: bytes(4), info: null }, 'image.width is undefined; expected a whole number from 1 to 2147483647'],
    [
      { data: bytes(4), info: { width: 2, height: 2, channels: 1 }, width: 9, height: 1 },
      'image.data has 4 bytes; 9 x 1 needs 9 (grey), 27 (RGB) or 36 (RGBA); give channels and rowBytes if the rows are padded',
    ],
  ] as const)
    assert.is(
      refusal(() => check(given)),
      `call(): ${message}`,
    )
})

test('an image has at most as many pixels as the model was loaded for', () => {
  assert.is(check({ data: bytes(12), width: 4, height: 3 }, 12).width, 4)
  assert.is(
    refusal(() => check({ data: bytes(12), width: 4, height: 3 }, 11)),
    'call(): image of 4 x 3 pixels: their number is 12; expected a number from 1 to 11',
  )
})

test.run()
