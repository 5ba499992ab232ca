import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClipEsError } from '../../ts/core/errors.js'
import { encodeConfidence } from '../../ts/photos/confidence_png.js'
import { encodeMask, readMask } from '../../ts/photos/mask_png.js'
import { vocColour } from '../../ts/photos/palette.js'

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

test('labels, 255 included, are written and read unchanged at odd sizes', async () => {
  for (const [width, height] of [
    [1, 1],
    [1, 300],
    [257, 1],
    [16, 16],
    [33, 17],
    [321, 239],
  ] as const) {
    const data = pattern(width, height)
    const back = await readMask(await encodeMask(data, { width, height }))
    assert.equal(back, { data, width, height }, `${width} x ${height}`)
  }
})

test('a grey mask has the labels as its levels, for every reader', async () => {
  const data = pattern(19, 15)
  const file = await encodeMask(data, { width: 19, height: 15, palette: 'grey' })
  assert.equal(await readMask(file), { data, width: 19, height: 15 })
  const { data: levels, info } = await sharp(file).toColourspace('b-w').raw().toBuffer({ resolveWithObject: true })
  assert.is(info.channels, 1)
  assert.equal([...levels], [...data])
})

test('equal neighbours in a palette do not merge their labels', async () => {
  const data = Uint8Array.from({ length: 256 }, (_, i) => i)
  const back = await readMask(await encodeMask(data, { width: 16, height: 16, palette: new Uint8Array(768) }))
  assert.equal(back.data, data)
})

test('other readers see the palette: every pixel has the colour of its label', async () => {
  const data = pattern(19, 15)
  const { data: pixels, info } = await sharp(await encodeMask(data, { width: 19, height: 15 }))
    .raw()
    .toBuffer({ resolveWithObject: true })
  assert.is(info.channels, 3)
  for (const [i, label] of data.entries()) assert.equal([...pixels.subarray(i * 3, i * 3 + 3)], [...vocColour(label)])
})

test('a mask of the wrong length is refused with both lengths', async () => {
  await refused(encodeMask(new Uint8Array(11), { width: 4, height: 3 }), '11 values', '4 x 3 needs 12')
  await refused(encodeMask(new Uint8Array(12), { width: 4, height: 3, palette: new Uint8Array(12) }), '12 bytes', '768')
  await refused(
    encodeMask(new Uint8Array(12), { width: 4, height: 3, palette: 'gray' as 'grey' }),
    "palette is 'gray'",
    "or 'grey'",
  )
  await refused(encodeMask(new Uint8Array(12), { width: 4, height: 0 }), 'height is 0')
  await refused(encodeMask([1] as unknown as Uint8Array, { width: 1, height: 1 }), 'mask is [ 1 ]', 'a Uint8Array')
})

test('confidences are 16 bits, rounded to the nearest, at odd sizes', async () => {
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

test('grey files of 1, 2 and 4 bits give their stored levels', async () => {
  const read = async (bits: keyof typeof narrow) => [...(await readMask(Buffer.from(narrow[bits], 'hex'))).data]
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
  assert.equal((await readMask(file)).data, values)
})

test('interlaced files are read', async () => {
  const values = pattern(37, 21)
  const file = await sharp(Buffer.from(values), { raw: { width: 37, height: 21, channels: 1 } })
    .toColourspace('b-w')
    .png({ progressive: true })
    .toBuffer()
  assert.equal((await readMask(file)).data, values)
})

test('the ground truth of each scene holds as many labels as the scene has', async () => {
  const all = JSON.parse(readFileSync(join(scenes, 'labels.json'), 'utf8')) as Record<string, { labels: string[] }>
  const names = Object.keys(all)
  assert.is(names.length, 12)
  assert.is(readdirSync(scenes).filter((file) => file.endsWith('_mask.png')).length, 12)
  for (const name of names) {
    const { data, width, height } = await readMask(readFileSync(join(scenes, `${name}_mask.png`)))
    assert.equal([width, height], [320, 240])
    const expected = (all[name] as { labels: string[] }).labels.length
    assert.equal(
      [...new Set(data)].sort(),
      Array.from({ length: expected + 1 }, (_, i) => i),
      name,
    )
  }
})

test('files that are not masks are refused', async () => {
  const photo = await sharp({ create: { width: 4, height: 4, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  await refused(readMask(Buffer.from('GIF89a, say')), 'the image: it is not a PNG file')
  await refused(readMask(new Uint8Array()), 'the image: it is empty')
  await refused(readMask('no/mask.png'), 'no/mask.png: there is no such file')
  await refused(readMask(new URL('file:///no/mask.png')), '/no/mask.png: there is no such file')
  await refused(readMask(7 as unknown as string), 'readMask(): source is 7')
  await refused(readMask(photo), 'colour type 2 with 8 bits')
  const whole = await encodeMask(pattern(40, 40), { width: 40, height: 40 })
  await refused(readMask(whole.subarray(0, 20)), 'damaged')
  await refused(readMask(whole.subarray(0, whole.length - 60)), 'damaged')
})

test.run()
