// Half precision and the order of work, without a model.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { fromBufferPromise } from 'yauzl'
import { encodeCams } from '../../ts/formats/cams.js'
import { toFloat16 } from '../../ts/formats/float16.js'
import { type StoredFile, storedZip } from '../../ts/formats/stored_zip.js'

/** The number that half-precision bits stand for, by the definition of binary16. */
function fromFloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 31) return fraction ? Number.NaN : sign * Number.POSITIVE_INFINITY
  return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15))
}

const half = (value: number): number => toFloat16(Float32Array.of(value))[0] as number

test('every float16 value keeps its bits', () => {
  for (let bits = 0; bits < 65536; bits++) {
    const value = fromFloat16(bits)
    if (Number.isNaN(value)) assert.ok(Number.isNaN(fromFloat16(half(value))))
    else assert.is(half(value), bits)
  }
})

test('other numbers round to the nearest float16, and in the middle to the even one', () => {
  const next = (value: number, by: 1 | -1) => {
    const bits = new Uint32Array(Float32Array.of(value).buffer)
    bits[0] = (bits[0] as number) + by // positive numbers are ordered as their bits
    return new Float32Array(bits.buffer)[0] as number
  }
  for (let bits = 0; bits < 0x7bff; bits++) {
    const middle = (fromFloat16(bits) + fromFloat16(bits + 1)) / 2 // exact in float32
    assert.is(half(middle), bits % 2 ? bits + 1 : bits)
    assert.is(half(next(middle, -1)), bits)
    assert.is(half(next(middle, 1)), bits + 1)
  }
})

test('numbers that are too large become infinite, numbers that are too small zero, and signs stay', () => {
  assert.equal([65504, 65519, 65520, 1e30, Number.POSITIVE_INFINITY].map(half), [0x7bff, 0x7bff, 0x7c00, 0x7c00, 0x7c00])
  assert.equal([2 ** -25, 2 ** -26, 1e-40, -0, -1, -65520].map(half), [0, 0, 0, 0x8000, 0xbc00, 0xfc00])
})

test('a view with an offset is converted, not its whole memory', () => {
  assert.equal([...toFloat16(new Float32Array([5, 1, 2]).subarray(1))], [0x3c00, 0x4000])
})

test('CAMs of another size than their keys are refused', () => {
  assert.throws(() => encodeCams([1, 2], new Float32Array(12), 3, 4), /12 numbers; 2 maps of 3 x 4 need 24/)
})

const stored = (text: string): StoredFile => ({
  name: `${text || 'empty'}.txt`,
  size: text.length,
  fill: (bytes) => bytes.write(text),
})

test('another reader reads a zip of stored files with all their metadata', async () => {
  const bytes = storedZip([stored('first'), stored(''), stored('the third')])
  assert.ok(bytes.equals(storedZip([stored('first'), stored(''), stored('the third')])), 'always the same bytes')
  const zip = await fromBufferPromise(bytes)
  const found: [name: string, text: string, size: number, checksum: number, mode: number][] = []
  for await (const entry of zip.eachEntry()) {
    const chunks: Buffer[] = []
    for await (const chunk of await zip.openReadStreamPromise(entry)) chunks.push(chunk as Buffer)
    const { fileName, compressedSize, uncompressedSize, crc32, externalFileAttributes } = entry
    assert.is(compressedSize, uncompressedSize)
    assert.equal(entry.getLastModDate({ timezone: 'UTC' }), new Date('1980-01-01T00:00:00Z'))
    found.push([fileName, Buffer.concat(chunks).toString(), uncompressedSize, crc32, externalFileAttributes >>> 16])
  }
  // Checksums by Python's zlib.crc32.
  assert.equal(found, [
    ['first.txt', 'first', 5, 0x9271ee57, 0o100644],
    ['empty.txt', '', 0, 0, 0o100644],
    ['the third.txt', 'the third', 9, 0x747a8c74, 0o100644],
  ])
})

test('more than a zip can hold is refused before memory is allocated', () => {
  const huge = { name: 'huge', size: 2 ** 32 - 100, fill: () => assert.unreachable() }
  assert.throws(
    () => storedZip([huge]),
    /the archive would have 4294967302 bytes, but at most 4294967295 are possible: use fewer labels/,
  )
})

test.run()
