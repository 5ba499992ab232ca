import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeConfidence } from '../../cli/src/formats/confidence.js'
import { ClipEsError } from '../../ts/errors.js'
import { maskPalette, vocColour } from '../../ts/photos/palette.js'
import { decodeLabels, encodeLabels } from '../../ts/photos/png.js'

const scenes = join(__dirname, '../../models/scenes')

const refused = async (work: Promise<unknown>, ...parts: string[]): Promise<void> => {
  const error = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  assert.instance(error, ClipEsError)
  for (const part of parts)
    assert.ok((error as ClipEsError).message.includes(part), `${(error as ClipEsError).message} has no ${part}`)
}

const pattern = (width: number, height: number): Uint8Array =>
  Uint8Array.from({ length: width * height }, (_, i) => (i * 7 + Math.floor(i / width) * 13) % 256)

test('labels come back as they were, 255 included, at odd sizes', async () => {
  for (const [width, height] of [
    [1, 1],
    [1, 300],
    [257, 1],
    [16, 16],
    [33, 17],
    [321, 239],
  ] as const) {
    const data = pattern(width, height)
    const back = await decodeLabels(await encodeLabels({ data, width, height }, maskPalette()))
    assert.equal(back, { data, width, height }, `${width} x ${height}`)
  }
})

test('equal neighbours in a palette do not merge their labels', async () => {
  const data = Uint8Array.from({ length: 256 }, (_, i) => i)
  const back = await decodeLabels(await encodeLabels({ data, width: 16, height: 16 }, new Uint8Array(768)))
  assert.equal(back.data, data)
})

test('other readers see the palette: every pixel has the colour of its label', async () => {
  const data = pattern(19, 15)
  const { data: pixels, info } = await sharp(await encodeLabels({ data, width: 19, height: 15 }, maskPalette()))
    .raw()
    .toBuffer({ resolveWithObject: true })
  assert.is(info.channels, 3)
  for (const [i, label] of data.entries()) assert.equal([...pixels.subarray(i * 3, i * 3 + 3)], [...vocColour(label)])
})

test('a mask of the wrong length is refused with both lengths', async () => {
  await refused(encodeLabels({ data: new Uint8Array(11), width: 4, height: 3 }, maskPalette()), '11 labels', '4 x 3 needs 12')
  await refused(encodeLabels({ data: new Uint8Array(12), width: 4, height: 3 }, new Uint8Array(12)), '12 bytes', '768')
})

test('confidences come back as sixteen bits, at odd sizes, rounded to the nearest', async () => {
  for (const [width, height] of [
    [1, 1],
    [1, 300],
    [257, 1],
    [33, 17],
  ] as const) {
    // Steps of all sizes up and down, both ends, and the middle between two levels.
    const values = Float32Array.from(
      { length: width * height },
      (_, i) => [0, 1, 0.5, (i * 0.317) % 1, 254.5 / 65535][i % 5] as number,
    )
    const file = await encodeConfidence(values, width, height)
    const { data, info } = await sharp(file)
      .toColourspace('grey16')
      .raw({ depth: 'ushort' })
      .toBuffer({ resolveWithObject: true })
    assert.equal([info.width, info.height, info.channels], [width, height, 1])
    const levels = new Uint16Array(data.buffer, data.byteOffset, data.length / 2)
    assert.equal(
      [...levels],
      Array.from(values, (value) => Math.round(65535 * value)),
      `${width} x ${height}`,
    )
  }
  await refused(encodeConfidence(new Float32Array(11), 4, 3), '11 numbers', '4 x 3 needs 12')
})

// Grey PNGs of 5 x 2 pixels, which sharp does not write.
const narrow = {
  1: '89504e470d0a1a0a0000000d4948445200000005000000020100000000b8112bf00000000c4944415478da63c86098010001d4010127750f020000000049454e44ae426082',
  2: '89504e470d0a1a0a0000000d4948445200000005000000020200000000ffb151200000000e4944415478da6390766078d2000003d501c0bc2fd2a80000000049454e44ae426082',
  4: '89504e470d0a1a0a0000000d494844520000000500000002040000000070f1a480000000104944415478da63605d6fc0f0b14201000918026e853e19730000000049454e44ae426082',
}

test('grey files of 1, 2 and 4 bits give their levels as they are stored', async () => {
  const read = async (bits: keyof typeof narrow) => [...(await decodeLabels(Buffer.from(narrow[bits], 'hex'))).data]
  assert.equal(await read(1), [0, 1, 1, 0, 1, 1, 0, 0, 1, 1])
  assert.equal(await read(2), [0, 1, 2, 3, 1, 3, 2, 1, 0, 2])
  assert.equal(await read(4), [0, 5, 10, 15, 3, 15, 1, 7, 8, 2])
})

test('a grey file of 8 bits, filtered as libpng likes, gives its levels', async () => {
  const values = pattern(37, 21)
  const file = await sharp(Buffer.from(values), { raw: { width: 37, height: 21, channels: 1 } })
    .toColourspace('b-w')
    .png({ adaptiveFiltering: true })
    .toBuffer()
  assert.equal((await decodeLabels(file)).data, values)
})

test('interlaced files are read', async () => {
  const values = pattern(37, 21)
  const file = await sharp(Buffer.from(values), { raw: { width: 37, height: 21, channels: 1 } })
    .toColourspace('b-w')
    .png({ progressive: true })
    .toBuffer()
  assert.equal((await decodeLabels(file)).data, values)
})

test("the scenes' ground truths hold as many labels as the scene names", async () => {
  const all = JSON.parse(readFileSync(join(scenes, 'labels.json'), 'utf8')) as Record<string, { labels: string[] }>
  const names = Object.keys(all)
  assert.is(names.length, 12)
  assert.is(readdirSync(scenes).filter((file) => file.endsWith('_mask.png')).length, 12)
  for (const name of names) {
    const { data, width, height } = await decodeLabels(readFileSync(join(scenes, `${name}_mask.png`)))
    assert.equal([width, height], [320, 240])
    const expected = (all[name] as { labels: string[] }).labels.length
    assert.equal(
      [...new Set(data)].sort(),
      Array.from({ length: expected + 1 }, (_, i) => i),
      name,
    )
  }
})

test('files that are no label map are refused', async () => {
  const photo = await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  await refused(decodeLabels(Buffer.from('GIF89a, say')), 'PNG file')
  await refused(decodeLabels(photo), 'colour type 2, 8 bits')
  const whole = await encodeLabels({ data: pattern(40, 40), width: 40, height: 40 }, maskPalette())
  await refused(decodeLabels(whole.subarray(0, 20)), 'damaged')
  await refused(decodeLabels(whole.subarray(0, whole.length - 60)), 'damaged')
})

test.run()
