import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { iou } from '../../cli/src/metrics/iou.js'
import { ClipEsError } from '../../ts/core/errors.js'

const map = (text: string): Uint8Array => Uint8Array.from(text, (digit) => (digit === 'x' ? 255 : Number(digit)))

test('IoU is the overlap over the union of one label', () => {
  assert.is(iou(map('1100'), map('0110'), 1), 1 / 3)
  assert.is(iou(map('1100'), map('1100'), 1), 1)
  assert.is(iou(map('1100'), map('0011'), 1), 0)
})

test('background is a label like any other', () => {
  assert.is(iou(map('1100'), map('0110'), 0), 1 / 3)
})

test('pixels that the truth ignores do not count', () => {
  assert.is(iou(map('1111'), map('11xx'), 1), 1)
  assert.is(iou(map('1100'), map('1xx0'), 1), 1)
})

test('pixels that the mask ignores count as missed', () => {
  assert.is(iou(map('1xx0'), map('1110'), 1), 1 / 3)
})

test('a label in neither mask nor truth has no IoU', () => {
  assert.ok(Number.isNaN(iou(map('1100'), map('1100'), 2)))
  assert.is(iou(map('1100'), map('1120'), 2), 0)
})

test('a mask and a truth of different lengths are refused with both lengths', () => {
  assert.throws(
    () => iou(new Uint8Array(4), new Uint8Array(6), 1),
    (error: unknown) => error instanceof ClipEsError && /4 pixels.*6/.test(error.message),
  )
})

test.run()
