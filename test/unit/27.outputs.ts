// The files that are written for a photo, and what an overlay says about its labels.
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeCams } from '../../ts/formats/cams.js'
import { encodeConfidence } from '../../ts/photos/confidence_png.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { drawOverlay, type OverlayLabel } from '../../ts/photos/overlay.js'
import { maskPalette, parseColour, vividColour } from '../../ts/photos/palette.js'
import { encodeOutputs, ignoredShare, type OutputKind, sharesOf } from '../../ts/support/outputs.js'

const [width, height] = [30, 4]
const photo = { data: new Uint8Array(width * height).fill(90), width, height }
const names = Array.from({ length: 12 }, (_, i) => `class ${i}`)
const colours = ['#102030', undefined, ...Array.from({ length: 10 }, () => undefined)]
const mask = Uint8Array.from({ length: width * height }, (_, i) => [0, 1, 3, 255][i % 4] as number)

const encode = (kinds: readonly OutputKind[], more: object, source?: string) =>
  encodeOutputs(kinds, { photo, mask, labels: [2, 0], ...more }, { names, colours }, source)

test('each kind has the bytes that its own function gives, in the order asked for', async () => {
  const [confidence, cams] = [new Float32Array(120).fill(0.25), new Float32Array(240).fill(0.5)]
  const files = await encode(['cams', 'mask', 'confidence', 'overlay'], { confidence, cams, scores: [0.5, 0.25] }, 'p.jpg')
  const labels: OverlayLabel[] = [
    { name: 'class 2', value: 3, colour: vividColour(0), probability: 0.5 },
    { name: 'class 0', value: 1, colour: parseColour('#102030'), probability: 0.25 },
  ]
  assert.equal(
    [...files],
    [
      ['cams', encodeCams([2, 0], cams, width, height)],
      ['mask', await encodeMask(mask, { width, height, palette: maskPalette(colours), photo: 'p.jpg' })],
      ['confidence', await encodeConfidence(confidence, width, height)],
      ['overlay', await drawOverlay(photo, mask, labels)],
    ],
  )
  const plain = await encode(['mask', 'overlay'], {})
  assert.equal(plain.get('mask'), await encodeMask(mask, { width, height, palette: maskPalette(colours) }))
  const without = labels.map(({ probability: _, ...label }) => label)
  assert.equal(plain.get('overlay'), await drawOverlay(photo, mask, without))
})

test('the legend of an overlay has up to eight labels; of more only those that were found', async () => {
  const drawn = async (count: number, wanted: readonly number[]) => {
    const labels = Array.from({ length: count }, (_, i) => i)
    const found = (await encode(['overlay'], { labels })).get('overlay') as Buffer
    const own = (i: number) => (i === 0 ? parseColour('#102030') : vividColour(i))
    const expected = wanted.map((i) => ({ name: `class ${i}`, value: i + 1, colour: own(i) }))
    assert.equal(
      (await sharp(found).raw().toBuffer()).equals(
        await sharp(await drawOverlay(photo, mask, expected))
          .raw()
          .toBuffer(),
      ),
      true,
    )
  }
  await drawn(8, [0, 1, 2, 3, 4, 5, 6, 7])
  await drawn(9, [0, 2])
})

test('shares are those of all pixels', () => {
  const share = sharesOf(Uint8Array.of(1, 1, 3, 255))
  assert.equal([0, 1, 3, 255].map(share), [0, 0.5, 0.25, 0.25])
  assert.equal([ignoredShare(Uint8Array.of(255, 0)), ignoredShare(Uint8Array.of(1))], [0.5, 0])
})

test.run()
