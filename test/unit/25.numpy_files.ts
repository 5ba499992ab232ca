// The bytes of numpy's files, written and read.
import { crc32 } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { encodeCams } from '../../ts/formats/cams.js'
import { fromFloat16, toFloat16 } from '../../ts/formats/float16.js'
import { npyFile, numbersOf, readNpy, readNpyHead } from '../../ts/formats/npy.js'
import { mostZipBytes, storedZip } from '../../ts/formats/stored_zip.js'
import { refusal } from './support.js'

/** A .npy file of version 1 or 2. */
function npy(head: string, data: Uint8Array | number[] = [], version = 1): Buffer {
  const length = Buffer.alloc(version === 1 ? 2 : 4)
  length.writeUInt16LE(head.length)
  return Buffer.concat([
    Buffer.from(`\x93NUMPY${String.fromCharCode(version)}\0`, 'latin1'),
    length,
    Buffer.from(head),
    Buffer.from(data),
  ])
}
const headOf = (descr: string, shape: string, order = 'False') =>
  `{'descr': '${descr}', 'fortran_order': ${order}, 'shape': ${shape}, }`

test('an array has the header of numpy, and its numbers begin at a multiple of 64 bytes', () => {
  for (const [shape, tuple, start] of [
    [[3], '(3,)', 128],
    [[2, 3], '(2, 3)', 128],
    [Array.from({ length: 24 }, () => 1), `(${Array.from({ length: 24 }, () => 1).join(', ')})`, 192],
  ] as const) {
    const { size, fill } = npyFile('<f2', shape, 5, (data) => data.set([1, 2, 3, 4, 5]))
    const file = Buffer.alloc(size, 9)
    fill(file)
    const head = headOf('<f2', tuple)
    assert.equal(file, npy(`${head.padEnd(start - 11)}\n`, [1, 2, 3, 4, 5]))
    assert.equal(readNpyHead(file), { descr: '<f2', fortran: false, shape: [...shape], start })
  }
  // A header that fits exactly, and one that is a byte longer.
  for (const [descr, start] of [
    ['x'.repeat(64 - 11 - headOf('', '(3,)').length + 64), 128],
    ['x'.repeat(64 - 11 - headOf('', '(3,)').length + 65), 192],
  ] as const)
    assert.is(npyFile(descr, [3], 0, () => undefined).size, start)
})

test('arrays are read by their type, whatever the version of their header', () => {
  const bytes = Buffer.from([0x00, 0xbc, 0x00, 0x40, 0xff, 0xff, 0xff, 0xff])
  const view = new DataView(Uint8Array.from(bytes).buffer)
  for (const [type, values] of [
    ['<f2', [-1, 2, Number.NaN, Number.NaN]],
    ['<f4', [view.getFloat32(0, true), Number.NaN]],
    ['<f8', [view.getFloat64(0, true)]],
    ['<i8', [Number(view.getBigInt64(0, true))]],
    ['<u8', [Number(view.getBigUint64(0, true))]],
    ['<i4', [0x4000bc00, -1]],
    ['<u4', [0x4000bc00, 0xffffffff]],
    ['<i2', [0xbc00 - 0x10000, 0x4000, -1, -1]],
    ['<u2', [0xbc00, 0x4000, 0xffff, 0xffff]],
    ['|i1', [0, 0xbc - 256, 0, 0x40, -1, -1, -1, -1]],
    ['|u1', [...bytes]],
    ['|b1', [...bytes]],
    ['>u1', [...bytes]],
  ] as const) {
    for (const version of [1, 2, 3]) {
      const found = readNpy(npy(headOf(type, `(${values.length}, 1)`), bytes, version))
      assert.equal([found.type, found.shape, [...found.values]], [type.slice(1), [values.length, 1], [...values]], type)
    }
  }
  assert.equal([...readNpy(npy(headOf('|u1', '(2,)', 'True'), [1, 2, 3])).values], [1, 2], 'bytes behind the array are not its')
  assert.equal([...readNpy(npy(headOf('|u1', '()'), [7])).values], [7])
  assert.is(readNpy(npy(headOf('<f4', '(1,)'), Buffer.alloc(4))).values.constructor, Float32Array)
})

test('what is not an array of numbers is refused with what is wrong', () => {
  const whole = npy(headOf('|u1', '(1,)'), [1])
  for (const [file, message] of [
    [Buffer.from('\x93NUMPx\x01\0\x01\0a1', 'latin1'), 'it is not a .npy array'],
    [whole.subarray(0, 11), 'it is not a .npy array'],
    [whole.subarray(0, 12), 'its .npy header is damaged'],
    [whole.subarray(0, whole.length - 2), 'its .npy header is damaged'],
    [npy("{'shape': (1,)}"), 'its .npy header is damaged'],
    [npy("{'descr': '|u1'}"), 'its .npy header is damaged'],
    [npy(headOf('|u1', '(2, 1)', 'True'), [1, 2]), 'its array is in Fortran order; save it with numpy.ascontiguousarray'],
    [
      npy(headOf('>f4', '(1,)')),
      'its numbers are of the type >f4, which is not read; save them as float16, float32 or little-endian integers',
    ],
    [
      npy(headOf('<c8', '(1,)')),
      'its numbers are of the type <c8, which is not read; save them as float16, float32 or little-endian integers',
    ],
    [npy(headOf('<f4', '(2, 3)'), Buffer.alloc(23)), 'its array of 2 x 3 needs 24 bytes; there are 23'],
    [npy(headOf('|u1', '(x,)')), 'its array of NaN needs NaN bytes; there are 0'],
  ] as const)
    assert.is(
      refusal(() => readNpy(file)),
      message,
    )
  for (const type of ['b1', 'u1', 'i1', 'u2', 'i2', 'f2', 'u4', 'i4', 'f4', 'u8', 'i8', 'f8']) {
    const size = Number(type[1])
    assert.is(numbersOf(`<${type}`, [3], Buffer.alloc(3 * size)).values.length, 3)
    assert.match(
      refusal(() => numbersOf(`<${type}`, [3], Buffer.alloc(3 * size - 1))),
      `needs ${3 * size} bytes`,
    )
  }
})

test('half precision in both directions, to and from memory of one’s own', () => {
  const out = new Uint16Array(3)
  const values = Float32Array.of(1, -2, Number.NaN)
  assert.is(toFloat16(values, out), out)
  assert.equal([...out], [0x3c00, 0xc000, 0x7e00])
  assert.equal(
    fromFloat16(Uint16Array.of(0x3c01, 0xc000, 0x7c00, 0xfc00, 1, 0x3ff, 0x8000)),
    Float32Array.of(1 + 2 ** -10, -2, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, 2 ** -24, 1023 * 2 ** -24, -0),
  )
  assert.ok(Number.isNaN(fromFloat16(Uint16Array.of(0x7c01))[0]))
  // Signs and the first bits of the mantissa of what is not a number stay.
  const odd = new Float32Array(Uint32Array.of(0xffc02000, 0x7f802000).buffer)
  assert.equal([...toFloat16(odd)], [0xfe01, 0x7e01])
})

test('CAMs are an archive of two arrays, byte by byte', () => {
  const head = (descr: string, shape: string) => `${headOf(descr, shape).padEnd(117)}\n`
  const keys = npy(head('<i8', '(2,)'), [7, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255])
  const maps = npy(head('<f2', '(2, 1, 2)'), [0, 0, 0, 0x38, 0, 0x3c, 0, 0x40])
  const u16 = (...values: number[]) => values.flatMap((value) => [value & 255, value >> 8])
  const u32 = (value: number) => [...u16(value & 0xffff), ...u16(value >>> 16)]
  const facts = (name: string, data: Buffer) => [
    ...u16(20, 0, 0, 0, 0x21),
    ...u32(crc32(data)),
    ...u32(data.length),
    ...u32(data.length),
    ...u16(name.length, 0),
  ]
  const text = (name: string) => [...Buffer.from(name)]
  const files = [
    ['keys.npy', keys, 0],
    ['attn_highres.npy', maps, 38 + keys.length],
  ] as const
  const local = files.flatMap(([name, data]) => [...text('PK\x03\x04'), ...facts(name, data), ...text(name), ...data])
  const directory = files.flatMap(([name, data, at]) => [
    ...[
      ...text('PK\x01\x02'),
      ...u16(0x314),
      ...facts(name, data),
      ...u16(0, 0, 0),
      ...u32((0o100644 << 16) >>> 0),
      ...u32(at),
      ...text(name),
    ],
  ])
  const end = [...text('PK\x05\x06'), ...u16(0, 0, 2, 2), ...u32(directory.length), ...u32(local.length), ...u16(0)]
  assert.equal(encodeCams([7, -1], Float32Array.of(0, 0.5, 1, 2), 2, 1), Buffer.from([...local, ...directory, ...end]))
  assert.is(
    refusal(() => encodeCams([1, 2], new Float32Array(5), 3, 1)),
    'encodeCams(): 5 numbers; 2 maps of 3 x 1 need 6',
  )
  assert.is(mostZipBytes, 4_294_967_295)
  const huge = { name: 'n', size: mostZipBytes - 99, fill: () => undefined }
  assert.is(
    refusal(() => storedZip([huge])),
    'the archive would have 4294967296 bytes, but at most 4294967295 are possible: use fewer labels or a smaller photo',
  )
})

test.run()
