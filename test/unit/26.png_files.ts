// The chunks of PNG files, written and read.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeConfidence } from '../../ts/photos/confidence_png.js'
import { markChunks, ownPicture, photoOfMask, sourceOfMask, withMark } from '../../ts/photos/mark.js'
import { encodeMask, readMask } from '../../ts/photos/mask_png.js'
import { maskPalette } from '../../ts/photos/palette.js'
import { encodeChunk, pixelChunk, pngFile, readChunks } from '../../ts/photos/png_file.js'
import { openBelow, reasonOf, temporaryFolder } from './support.js'

const messageOf = async (promise: Promise<unknown>) => ((await reasonOf(promise)) as Error).message

test('a PNG is its signature and chunks with their lengths and checksums', async () => {
  const chunk = encodeChunk({ type: 'tEXt', data: Uint8Array.of(1, 2) })
  const body = Buffer.from('tEXt\x01\x02')
  const sum = Buffer.alloc(4)
  sum.writeUInt32BE(crc32(body))
  assert.equal(chunk, Buffer.concat([Buffer.from([0, 0, 0, 2]), body, sum]))
  const header = (interlace?: number) => [
    ...readChunks(pngFile({ width: 258, height: 3, bitDepth: 4, colour: 3, interlace }, [])),
  ]
  assert.equal(header(), [
    { type: 'IHDR', data: Buffer.from([0, 0, 1, 2, 0, 0, 0, 3, 4, 3, 0, 0, 0]) },
    { type: 'IEND', data: Buffer.alloc(0) },
  ])
  assert.is(header(1)[0]?.data[12], 1)
  assert.equal(
    pngFile({ width: 1, height: 1, bitDepth: 8, colour: 0 }, []).subarray(0, 8),
    Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
  )
  const torn = pngFile({ width: 1, height: 1, bitDepth: 8, colour: 0 }, []).subarray(0, 8 + 25 + 11)
  assert.equal(
    [...readChunks(torn)].map(({ type }) => type),
    ['IHDR'],
  )
  assert.is((await pixelChunk(new Uint8Array(9), { level: 1 })).type, 'IDAT')
})

test('masks and confidences have their marks, their palette and their pixels, in the order of the format', async () => {
  const types = (png: Buffer) => [...readChunks(png)].map(({ type, data }) => (type === 'tEXt' ? data.toString('latin1') : type))
  const size = { width: 2, height: 1 }
  const mask = await encodeMask(Uint8Array.of(1, 255), { ...size, photo: 'ü 1.jpg' })
  assert.equal(types(mask), ['IHDR', 'Software\0clip-es mask', 'Photo\0%C3%BC%201.jpg', 'PLTE', 'IDAT', 'IEND'])
  const [header, , , palette] = readChunks(mask)
  assert.equal([...(header?.data ?? [])].slice(8), [8, 3, 0, 0, 0])
  assert.equal(Uint8Array.from(palette?.data ?? []), maskPalette())
  const grey = await encodeMask(Uint8Array.of(1, 255), { ...size, palette: 'grey' })
  assert.equal(types(grey), ['IHDR', 'Software\0clip-es mask', 'IDAT', 'IEND'])
  assert.is([...readChunks(grey)][0]?.data[9], 0)
  const confidence = await encodeConfidence(Float32Array.of(0, 1), 2, 1)
  assert.equal(types(confidence), ['IHDR', 'Software\0clip-es confidence', 'IDAT', 'IEND'])
  assert.equal([...([...readChunks(confidence)][0]?.data ?? [])].slice(8), [16, 0, 0, 0, 0])
  const marked = withMark(grey, 'overlay')
  assert.equal(types(marked), ['IHDR', 'Software\0clip-es overlay', 'Software\0clip-es mask', 'IDAT', 'IEND'])
  assert.equal(markChunks('mask').length, 1)
})

test('a picture of ours is known by its first bytes, and a mask names its photo from its own folder', async () => {
  const folder = temporaryFolder()
  const put = (name: string, bytes: Uint8Array) => {
    writeFileSync(join(folder, name), bytes)
    return join(folder, name)
  }
  const mask = await encodeMask(Uint8Array.of(1), { width: 1, height: 1, photo: '../p/ü 1.jpg' })
  assert.equal(
    ['a.png', 'a.PNG', 'a.jpg'].map((name) => ownPicture(put(name, mask))),
    ['mask', 'mask', undefined],
  )
  assert.is(photoOfMask(join(folder, 'a.png')), join(folder, '../p/ü 1.jpg'))
  assert.equal(
    [ownPicture(put('b.png', mask.subarray(1))), ownPicture(put('c.png', new Uint8Array())), ownPicture(join(folder, 'd.png'))],
    [...[undefined, undefined, undefined]],
  )
  const plain = await sharp({ create: { width: 1, height: 1, channels: 3, background: 'red' } })
    .png()
    .toBuffer()
  assert.equal([ownPicture(put('e.png', plain)), photoOfMask(join(folder, 'e.png'))], [undefined, undefined])
  assert.is(ownPicture(put('f.png', withMark(plain, 'overlay'))), 'overlay')
  const long = await encodeMask(Uint8Array.of(1), { width: 1, height: 1, photo: 'x'.repeat(16_000) })
  assert.is(photoOfMask(put('g.png', long)), join(folder, 'x'.repeat(16_000)))
  assert.is(openBelow(folder), 0)
  assert.is(sourceOfMask('/a/p/x.jpg', '/a/out/m/x.png'), '../../p/x.jpg')
})

test('a wrong mask is refused with what was expected', async () => {
  const encode = (mask: unknown, options: object) =>
    messageOf(encodeMask(mask as Uint8Array, { width: 2, height: 1, ...options }))
  const two = new Uint8Array(2)
  for (const [mask, options, message] of [
    [two, { width: 0 }, 'width is 0; expected a whole number from 1 to 2147483647'],
    [two, { width: 2 ** 31 }, 'width is 2147483648; expected a whole number from 1 to 2147483647'],
    [two, { height: 0 }, 'height is 0; expected a whole number from 1 to 2147483647'],
    [two, { height: 2 ** 31 }, 'height is 2147483648; expected a whole number from 1 to 2147483647'],
    ['x', {}, "mask is 'x'; expected a Uint8Array of width * height values"],
    [new Uint8Array(3), {}, 'the mask has 3 values; 2 x 1 needs 2'],
    [two, { palette: 'gray' }, "palette is 'gray'; expected a Uint8Array of 768 bytes (256 colours), or 'grey'"],
    [two, { palette: new Uint8Array(767) }, 'palette has 767 bytes; expected 768 (256 colours), as maskPalette() makes it'],
    [two, { photo: '' }, "photo is ''; expected a text that is not empty"],
    [two, { x: 1 }, "unknown option 'x'; known: width, height, palette, photo"],
  ] as const)
    assert.is(await encode(mask, options), `encodeMask(): ${message}`)
  assert.is(await messageOf(encodeConfidence(new Float32Array(3), 2, 1)), 'encodeConfidence(): 3 numbers; 2 x 1 needs 2')
  const header = (colour: number, bitDepth: number) => pngFile({ width: 1, height: 1, bitDepth, colour }, [])
  const kind = (colour: number, bits: number) =>
    `it is a PNG file of colour type ${colour} with ${bits} bits a channel; masks are palette or grey PNG files of up to 8 bits`
  for (const [png, message] of [
    [Buffer.from('x'), 'it is not a PNG file; masks are PNG files'],
    [header(3, 8).subarray(0, 8), 'it is a damaged PNG file: it has no header'],
    [
      Buffer.concat([header(3, 8).subarray(0, 8), encodeChunk({ type: 'IHDR', data: new Uint8Array(12) })]),
      'it is a damaged PNG file: it has no header',
    ],
    [
      Buffer.concat([header(3, 8).subarray(0, 8), encodeChunk({ type: 'PLTE', data: new Uint8Array(13) })]),
      'it is a damaged PNG file: it has no header',
    ],
    [header(2, 8), kind(2, 8)],
    [header(0, 16), kind(0, 16)],
  ] as const)
    assert.is(await messageOf(readMask(png)), `the image: ${message}`)
  assert.match(await messageOf(readMask(header(3, 8))), /^the image: it is a damaged PNG file: .+/)
})

test.run()
