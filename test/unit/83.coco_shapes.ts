import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { type CocoShape, eachPixel } from '../../ts/dataset/coco_shapes.js'

/** The pixels of a shape, a row a word. */
function drawn(shape: CocoShape, width: number, height: number): string {
  const pixels = new Uint8Array(width * height)
  eachPixel(shape, width, height, (pixel) => {
    pixels[pixel] = 1
  })
  return (pixels.join('').match(new RegExp(`.{${width}}`, 'g')) ?? []).join(' ')
}

// Expected values are those of pycocotools 2.0.11.
test('polygons are filled as cocoapi fills them, over the edges too, and several are one shape', () => {
  assert.is(
    drawn([[1.2, 1.1, 9.7, 2.3, 6.4, 8.8, 2.0, 7.1]], 12, 9),
    '000000000000 011000000000 011111111100 001111111000 001111111000 001111110000 001111110000 000111100000 000000100000',
  )
  assert.is(
    drawn([[-3, 4, 6.5, -2, 13.2, 5.5, 5, 12]], 12, 9),
    '000111111000 011111111100 111111111110 111111111110 111111111111 111111111111 111111111111 011111111110 001111111000',
  )
  assert.is(
    drawn(
      [
        [0, 0, 3, 0, 3, 3, 0, 3],
        [5, 5, 9.5, 5, 9.5, 8, 5, 8],
      ],
      12,
      9,
    ),
    '111000000000 111000000000 111000000000 000000000000 000000000000 000001111100 000001111100 000001111100 000000000000',
  )
})

test('run-length codes count down the columns; packed into a text they are the same', () => {
  const shape = '011100000 001010100 111100010 000011001 100101011 010100101 111011111'
  assert.is(drawn({ size: [7, 9], counts: '2110010O141MNO011OO01011NO0021OOO00023' }, 9, 7), shape)
  assert.is(drawn({ size: [2, 3], counts: [1, 2, 3] }, 3, 2), '010 100')
})

test('a shape of another size is refused with both', () => {
  assert.throws(() => drawn({ size: [2, 3], counts: [6] }, 2, 3), /a shape of 3 x 2 in a picture of 2 x 3/)
})

test.run()
