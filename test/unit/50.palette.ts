import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError } from '../../ts/core/errors.js'
import { hexColour, maskPalette, parseColour, vividColour, vocColour } from '../../ts/photos/palette.js'

test("the colours of VOC's first labels, its last and its border are VOC's", () => {
  const known: Record<number, number[]> = {
    0: [0, 0, 0],
    1: [128, 0, 0],
    2: [0, 128, 0],
    3: [128, 128, 0],
    8: [64, 0, 0],
    15: [192, 128, 128],
    20: [0, 64, 128],
    255: [224, 224, 192],
  }
  for (const [value, colour] of Object.entries(known)) assert.equal([...vocColour(Number(value))], colour, value)
})

test('all 256 colours of VOC differ', () => {
  assert.is(new Set(Array.from({ length: 256 }, (_, value) => hexColour(vocColour(value)))).size, 256)
})

test("a class's own colour has the index of the class plus one, and other colours stay", () => {
  const own = maskPalette([undefined, '#1e90ff'])
  const plain = maskPalette()
  assert.equal([...own.subarray(6, 9)], [0x1e, 0x90, 0xff])
  own.set(plain.subarray(6, 9), 6)
  assert.equal(own, plain)
})

test("with 254 own colours background stays black, and the ignored value keeps VOC's border colour", () => {
  const palette = maskPalette(Array.from({ length: 254 }, () => '#ffffff'))
  assert.equal([...palette.subarray(0, 6)], [0, 0, 0, 255, 255, 255])
  assert.equal([...palette.subarray(255 * 3)], [224, 224, 192])
})

test('colours can have three or six digits, in upper or lower case', () => {
  assert.equal([...parseColour('#1E90ff')], [30, 144, 255])
  assert.equal([...parseColour('#f0A')], [255, 0, 170])
  assert.is(hexColour(parseColour('#00000a')), '#00000a')
})

test('a value that is not a colour is refused and named', () => {
  for (const text of ['', 'red', '1e90ff', '#12345', '#12345g', ' #123456', '#1234567']) {
    assert.throws(
      () => parseColour(text),
      (error: unknown) =>
        error instanceof ClipEsError &&
        error.code === 'ERR_INVALID_ARG' &&
        error.message === `'${text}' is not a colour; write it as '#rrggbb' or '#rgb', such as '#1e90ff'`,
      text,
    )
  }
})

test('colours for drawing differ from one another and are bytes', () => {
  const colours = Array.from({ length: 60 }, (_, i) => vividColour(i))
  for (const part of colours.flat()) assert.ok(Number.isInteger(part) && part >= 0 && part <= 255, String(part))
  assert.is(new Set(colours.map(hexColour)).size, colours.length)
})

test('the first colours for drawing are a fixed list, and the others are spread over the hues', () => {
  assert.equal(
    Array.from({ length: 24 }, (_, i) => hexColour(vividColour(i))),
    [
      ...['#ff5a5f', '#2f9bff', '#ffc531', '#35c97a', '#b06cff', '#ff8b3d', '#16c5c9', '#ff70b8', '#a9d62f', '#8291ff'],
      ...['#e15eed', '#ddf28c', '#308ce8', '#ed5e7c', '#8cf295', '#7630e8', '#edbe5e', '#8cf2ee', '#e830ba', '#9fed5e'],
      ...['#8c9df2', '#e84830', '#5eed9a', '#d58cf2'],
    ],
  )
})

test.run()
