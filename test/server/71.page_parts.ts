// Parts of the page that need no browser: links, words, and the pixels that are drawn.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readLink, writeLink } from '../../server/page/link.js'
import { paintHeat, paintMask, resizeMask } from '../../server/page/paint.js'
import { initialSettings, type Settings, splitWords } from '../../server/page/state.js'

test('a link has what differs from the defaults, and restores it', () => {
  assert.is(writeLink(initialSettings), '')
  assert.equal(readLink(''), initialSettings)
  const settings: Settings = {
    ...{ words: 'a cat, dog & "bird" 100% +', mode: 'auto', set: 'coco', background: 'sky, sea', view: 'cams', cam: 'dog' },
    ...{ maps: 'similarity', refine: false, crf: true, scales: true, flip: true, outline: false, opacity: 0.3, scene: 'scene03' },
    ...{ labelThreshold: 0, boxThreshold: 0.7, minScore: 0.5, backgroundPower: 2.5, backgroundBelow: 0.3, ignoreBelow: 0.45 },
    colours: { 'a cat': '#ff0000', 'dog:s': '#00ff7f' },
  }
  assert.equal(readLink(`#${writeLink(settings)}`), settings)
  assert.is(writeLink({ ...initialSettings, words: 'cat,dog', crf: true }), 'words=cat,dog&crf=true')
})

test('what a link says wrongly is the default', () => {
  assert.equal(readLink('#mode=some&view=3d&maps=depth&opacity=x&colour=red:cat&colour=12345:cat&unknown=1'), initialSettings)
})

test('words stand between commas, each once; the last one may be missing', () => {
  assert.equal(splitWords(' cat,  black   dog ,,cat\n bird; '), ['cat', 'black dog', 'bird'])
  assert.equal(splitWords(' , '), [])
})

test('a mask of the same size stays as it is; an enlarged one has smooth corners', () => {
  const data = Uint8Array.from([0, 1, 2, 255, 3, 3])
  assert.equal(resizeMask({ data, width: 3, height: 2 }, 3, 2), data)
  // One pixel of 3 x 3, enlarged four times: its corners are cut off, its middle stays.
  const one = { data: Uint8Array.from([0, 0, 0, 0, 7, 0, 0, 0, 0]), width: 3, height: 3 }
  const enlarged = resizeMask(one, 12, 12)
  const at = (x: number, y: number) => enlarged[12 * y + x]
  assert.equal([at(4, 4), at(7, 4), at(4, 7), at(7, 7)], [0, 0, 0, 0])
  assert.equal([at(5, 5), at(6, 6), at(5, 6), at(3, 6)], [7, 7, 7, 0])
  // Reduced: the values of the pixels in the middle of each cell.
  const halves = { data: Uint8Array.from([1, 1, 2, 2, 1, 1, 2, 2]), width: 4, height: 2 }
  assert.equal([...resizeMask(halves, 2, 1)], [1, 2])
})

const pixelOf = ({ data }: { data: Uint8ClampedArray }, i: number) => [...data.subarray(4 * i, 4 * i + 4)]
const look = { colours: [undefined, [255, 0, 0], undefined], emphasised: 0, opacity: 0.5, outline: 0 } as const

test('masks are drawn in their colours; background and hidden labels are not; ignored pixels are grey', () => {
  const picture = { data: new Uint8ClampedArray(4 * 4), width: 4 }
  paintMask(picture, Uint8Array.from([0, 1, 2, 255]), look)
  assert.equal(pixelOf(picture, 0), [0, 0, 0, 0])
  assert.equal(pixelOf(picture, 1), [255, 0, 0, 128])
  assert.equal(pixelOf(picture, 2), [0, 0, 0, 0])
  assert.equal(pixelOf(picture, 3).slice(0, 3), [128, 128, 128])
})

test('outlines are opaque where another value is near, and not at the rim of the picture', () => {
  const picture = { data: new Uint8ClampedArray(4 * 6), width: 6 }
  paintMask(picture, Uint8Array.from([1, 1, 1, 1, 0, 0]), { ...look, outline: 1 })
  const alphas = Array.from({ length: 6 }, (_, i) => pixelOf(picture, i)[3])
  assert.equal(alphas, [128, 128, 128, 255, 0, 0])
})

test('other labels fade when one stands out', () => {
  const picture = { data: new Uint8ClampedArray(8), width: 2 }
  paintMask(picture, Uint8Array.from([1, 2]), { ...look, colours: [undefined, [255, 0, 0], [0, 0, 255]], emphasised: 2 })
  assert.equal([pixelOf(picture, 0)[3], pixelOf(picture, 1)[3]], [32, 128])
})

test('the colours of a map grow lighter from 0 to 1', () => {
  const data = Uint8ClampedArray.from({ length: 4 * 256 }, (_, i) => Math.floor(i / 4))
  const picture = { data, width: 256 }
  paintHeat(picture, 0.6)
  const lightness = Array.from({ length: 256 }, (_, i) => {
    const [r = 0, g = 0, b = 0, alpha] = pixelOf(picture, i)
    assert.is(alpha, 153)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  })
  assert.ok(lightness.every((value, i) => i === 0 || value >= (lightness[i - 1] as number) - 1))
  assert.ok((lightness[255] as number) - (lightness[0] as number) > 200)
})

test.run()
