import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32, deflateRawSync } from 'node:zlib'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readCams } from '../../cli/src/formats/read_cams.js'
import { readZip } from '../../cli/src/formats/read_zip.js'
import { type CamRule, CamSearch, checkCams, cutoff, maskFromCams } from '../../cli/src/metrics/cam_rule.js'
import { Confusion } from '../../cli/src/metrics/confusion.js'
import { encodeCams } from '../../ts/formats/cams.js'
import { type NpyFile, npyFile, readNpy } from '../../ts/formats/npy.js'
import { encodeNpz } from '../../ts/formats/npz.js'
import { releasedCams } from '../released_cams.js'
import { testIf } from '../test_if.js'

const folder = mkdtempSync(join(tmpdir(), 'clip-es-'))
test.after(() => rmSync(folder, { recursive: true }))

const cams = (keys: number[], ...values: number[]) => ({
  keys,
  maps: Float32Array.from(values),
  width: values.length / keys.length,
  height: 1,
})

test('background wins up to and including the threshold, and the first of equal maps wins', () => {
  const maps = cams([4, 2], 0.1, 0.5, 0.75, 0.9, /**/ 0.2, 0.5, 0.5, 0.9)
  assert.equal([...maskFromCams(maps, { threshold: 0.5 })], [0, 0, 5, 5])
  assert.equal([...maskFromCams(maps, { threshold: 0.125 })], [3, 5, 5, 5])
  assert.equal([...maskFromCams(maps, { threshold: 1 })], [0, 0, 0, 0])
})

test("the paper's background is (1 - largest map) to a power", () => {
  const maps = cams([0], 0.3, 0.39, 0.5, 0.6)
  assert.equal([...maskFromCams(maps, { power: 1 })], [0, 0, 0, 1])
  assert.equal([...maskFromCams(maps, { power: 2 })], [0, 1, 1, 1], '0.61^2 = 0.372')
  assert.equal([...maskFromCams(maps, { power: 0 })], [0, 0, 0, 0], 'background is 1')
  assert.is(cutoff({ power: 1 }), 0.5)
})

test('a search counts the same as each rule alone', () => {
  const numbers = Array.from({ length: 600 }, (_, i) => ((i * 7919) % 257) / 256)
  const maps = { keys: [3, 0, 1], maps: Float32Array.from(numbers), width: 20, height: 10 }
  const truth = Uint8Array.from({ length: 200 }, (_, i) => [0, 1, 2, 4, 255][(i * 31) % 5] as number)
  const rules: CamRule[] = [
    ...[0, 0.25, 0.5, 0.9, 1].map((threshold) => ({ threshold })),
    ...[0, 0.5, 1, 3.7, 16].map((power) => ({ power })),
  ]
  const search = new CamSearch(5, rules)
  search.add(maps, truth)
  search.add(maps, truth)
  for (const rule of rules) {
    const alone = new Confusion(5)
    const score = 'power' in rule ? (m: number) => (1 - m) ** rule.power : () => rule.threshold
    const mask = truth.map((_, i) => {
      const values = maps.keys.map((_key, k) => maps.maps[k * 200 + i] as number)
      const most = Math.max(...values)
      return most > score(most) ? (maps.keys[values.indexOf(most)] as number) + 1 : 0
    })
    alone.add(mask, truth)
    alone.add(maskFromCams(maps, rule), truth)
    assert.equal([...search.confusion(rule).counts], [...alone.counts], JSON.stringify(rule))
  }
})

test('maps of another size, and keys that are not classes, are refused', () => {
  const search = new CamSearch(3, [{ threshold: 0.5 }])
  assert.throws(() => search.add(cams([0], 0.1, 0.2), new Uint8Array(3)), /maps of 2 x 1 pixels and a truth of 3/)
  assert.throws(() => search.add(cams([2], 0.1), new Uint8Array(1)), /class id 2, but the 2 classes are 0 to 1/)
})

async function readAs(name: string, bytes: Uint8Array) {
  const path = join(folder, name)
  writeFileSync(path, bytes)
  return await readCams(path)
}

async function rejected(work: Promise<unknown>, message: RegExp): Promise<void> {
  await work.then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, message),
  )
}

test('our own .npz is read unchanged', async () => {
  const maps = Float32Array.from([0, 0.25, 0.5, 1, 0.125, 2 ** -24])
  const read = await readAs('a.npz', encodeCams([7, 70], maps, 3, 1))
  assert.equal(read, { keys: [7, 70], maps, width: 3, height: 1 })
})

// The second is the same in pickle's older protocol 3. The third has an object whose pickle calls os.system.
const released = [
  releasedCams.toString('base64'),
  'k05VTVBZAQB2AHsnZGVzY3InOiAnfE8nLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAqAA2NudW1weS5fY29yZS5tdWx0aWFycmF5Cl9yZWNvbnN0cnVjdApxAGNudW1weQpuZGFycmF5CnEBSwCFcQJDAWJxA4dxBFJxBShLASljbnVtcHkKZHR5cGUKcQZYAgAAAE84cQeJiIdxCFJxCShLA1gBAAAAfHEKTk5OSv////9K/////0s/dHELYoldcQx9cQ0oWAQAAABrZXlzcQ5oAGgBSwCFcQ9oA4dxEFJxEShLAUsChXESaAZYAgAAAGk4cROJiIdxFFJxFShLA1gBAAAAPHEWTk5OSv////9K/////0sAdHEXYolDEAMAAAAAAAAADgAAAAAAAABxGHRxGWJYDAAAAGF0dG5faGlnaHJlc3EaaABoAUsAhXEbaAOHcRxScR0oSwFLAksCSwOHcR5oBlgCAAAAZjJxH4mIh3EgUnEhKEsDaBZOTk5K/////0r/////SwB0cSJiiUMYAAAALAAwADIANAA1ADYANwA4gDgAOYA5cSN0cSRidWF0cSViLg==',
] as const
const hostile =
  'k05VTVBZAQB2AHsnZGVzY3InOiAnfE8nLCAnZm9ydHJhbl9vcmRlcic6IEZhbHNlLCAnc2hhcGUnOiAoKSwgfSAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgIAqABJWkAAAAAAAAAIwWbnVtcHkuX2NvcmUubXVsdGlhcnJheZSMDF9yZWNvbnN0cnVjdJSTlIwFbnVtcHmUjAduZGFycmF5lJOUSwCFlEMBYpSHlFKUKEsBKWgDjAVkdHlwZZSTlIwCTziUiYiHlFKUKEsDjAF8lE5OTkr/////Sv////9LP3SUYoldlIwFcG9zaXiUjAZzeXN0ZW2Uk5SMBHRydWWUhZRSlGF0lGIu'

test("the released code's .npy, a pickled dictionary, is read", async () => {
  for (const [i, text] of released.entries())
    assert.equal(await readAs(`${i}.npy`, Buffer.from(text, 'base64')), {
      keys: [3, 14],
      maps: Float32Array.from({ length: 12 }, (_, n) => n / 16),
      width: 3,
      height: 2,
    })
})

test('a pickle that calls anything but numpy is refused, and so is a truncated one', async () => {
  await rejected(readAs('hostile.npy', Buffer.from(hostile, 'base64')), /calls posix\.system, which is not allowed/)
  for (const whole of released.map((text) => Buffer.from(text, 'base64')))
    for (let length = 0; length < whole.length; length++)
      await rejected(
        readAs('cut.npy', whole.subarray(0, length)),
        /cut short|not a \.npy|damaged|needs \d+ bytes|not hold a dictionary|has no array/,
      )
})

test('files with other content are refused', async () => {
  await rejected(readAs('none.npz', Buffer.from('nothing')), /^it is damaged, or not an \.npz file: .+/)
  const npz = encodeCams([7], Float32Array.from([0, 1]), 2, 1)
  await rejected(readAs('half.npz', npz.subarray(0, npz.length / 2)), /damaged, or not an \.npz file/)
  const one = npz.indexOf(Buffer.from([0x00, 0x3c]), npz.indexOf('(1, 1, 2)'))
  npz.writeUInt8(0x38, one + 1)
  await rejected(readAs('changed.npz', npz), /: attn_highres\.npy is damaged: its checksum is wrong; write the file again$/)
})

/** An archive with one compressed file, whose directory announces the given size. */
function compressedZip(contents: Buffer, announced = contents.length): Buffer {
  const data = deflateRawSync(contents)
  const name = Buffer.from('keys.npy')
  const facts = Buffer.alloc(26)
  for (const [at, value] of [20, 0, 8, 0, 0x21].entries()) facts.writeUInt16LE(value, 2 * at)
  for (const [i, value] of [crc32(contents), data.length, announced].entries()) facts.writeUInt32LE(value, 10 + 4 * i)
  facts.writeUInt16LE(name.length, 22)
  const local = Buffer.concat([Buffer.from('PK\x03\x04'), facts, name, data])
  const central = Buffer.concat([Buffer.from('PK\x01\x02'), Buffer.from([20, 0]), facts, Buffer.alloc(14), name])
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  for (const [at, value] of [1, 1].entries()) end.writeUInt16LE(value, 8 + 2 * at)
  for (const [i, value] of [central.length, local.length].entries()) end.writeUInt32LE(value, 12 + 4 * i)
  return Buffer.concat([local, central, end])
}

test('compressed files are read, and refused if their size is not the announced one', async () => {
  const zeros = Buffer.alloc(1e6)
  const files = await readZip(compressedZip(zeros))
  assert.equal([...files.keys()], ['keys.npy'])
  assert.ok(files.get('keys.npy')?.equals(zeros))
  await rejected(readZip(compressedZip(zeros, 1000)), /too many bytes/)
  await rejected(readZip(compressedZip(zeros, 2e6)), /not enough bytes/)
  await rejected(readZip(compressedZip(zeros, 2 ** 32 - 2)), /not enough bytes/)
})

test('more than four gigabytes are refused before anything is decompressed', async () => {
  const one = compressedZip(Buffer.alloc(100), 2 ** 31)
  // The directory names the same file three times.
  const end = one.subarray(-22)
  const start = end.readUInt32LE(16)
  const entry = one.subarray(start, -22)
  end.writeUInt16LE(3, 8)
  end.writeUInt16LE(3, 10)
  end.writeUInt32LE(3 * entry.length, 12)
  const three = Buffer.concat([one.subarray(0, start), entry, entry, entry, end])
  await rejected(readZip(three), /its files have 6442450944 bytes; at most 4294967295 are read/)
})

test('eval and crf refuse maps that are not scores, and keys that are not classes', async () => {
  const file = async (keys: number[], ...values: number[]) =>
    await readAs('odd.npz', encodeCams(keys, Float32Array.from(values), values.length / keys.length, 1))
  await rejected(file([7], 0, Number.NaN), /its maps contain NaN; expected scores from 0 to 1/)
  await rejected(file([7], 0, 1.5), /its maps contain 1\.5/)
  await rejected(file([7], -0.5, 1), /its maps contain -0\.5/)
  await rejected(file([7, 7], 0, 1), /its keys contain 7 twice/)
  await rejected(file([254], 0, 1), /its keys contain 254; expected class ids, which are whole numbers from 0 to 253/)
  await rejected(file([-1], 0, 1), /its keys contain -1/)
  assert.equal((await file([253], 0, 1)).keys, [253])
  assert.throws(() => checkCams({ keys: [8.5], maps: new Float32Array(1), width: 1, height: 1 }), /its keys contain 8\.5/)
})

const numpy = spawnSync('python3', ['-c', 'import numpy']).status === 0
const numpyTest = testIf(numpy, 'files as people save them: there is no python3 with numpy')

numpyTest('files as people save them: keys as a list, None, other names', async () => {
  const values = {
    list: "{'keys': [3, 14], 'attn_highres': m}",
    tuple: "{'keys': (3, 14), 'attn_highres': m}",
    numbers: "{'keys': [np.int64(3), np.int64(14)], 'attn_highres': m.astype(np.float64)}",
    floats: "{'keys': [3.0, 14.0], 'attn_highres': m.astype(np.float16)}",
    none: "{'keys': None, 'attn_highres': m}",
    nothing: "{'keys': [3], 'attn_highres': None}",
    lists: "{'keys': [3, 14], 'attn_highres': m.tolist()}",
    other: "{'keys': [3, 14], 'cam': m, 'high_res': m}",
    byclass: '{3: m[0], 14: m[1]}',
    alone: 'm',
    negative: "{'keys': [-3], 'attn_highres': m[:1]}",
    large: "{'keys': [-2**40], 'attn_highres': m[:1]}",
    empty: '{}',
    noneall: 'None',
  }
  const script = `import numpy as np
m = np.arange(12, dtype=np.float32).reshape(2, 2, 3) / 16
for name, value in {${Object.entries(values)
    .map(([name, value]) => `'${name}': ${value}`)
    .join(', ')}}.items(): np.save(name, value)`
  assert.is(spawnSync('python3', ['-c', script], { cwd: folder, encoding: 'utf8' }).stderr, '')
  const read = (name: keyof typeof values) => readCams(join(folder, `${name}.npy`))
  const expected = { keys: [3, 14], maps: Float32Array.from({ length: 12 }, (_, n) => n / 16), width: 3, height: 2 }
  assert.equal(await read('list'), expected)
  assert.equal(await read('tuple'), expected)
  assert.equal(await read('numbers'), expected)
  assert.equal(await read('floats'), expected)
  await rejected(read('none'), /^'keys' is None; an array or a list of numbers is expected$/)
  await rejected(read('nothing'), /^'attn_highres' is None; an array of numbers is expected$/)
  await rejected(read('lists'), /^'attn_highres' is a list; an array of numbers is expected$/)
  await rejected(
    read('other'),
    /^it has no array 'attn_highres' but keys, cam, high_res; save class ids as 'keys' \(K\) and their maps as 'attn_highres' \(K x height x width\)$/,
  )
  await rejected(read('byclass'), /it has no array 'keys' but 3, 14; save/)
  await rejected(
    read('alone'),
    /^it holds an array of the type <f4; a dictionary with keys and attn_highres is expected, as numpy\.save\(file, \{'keys': …, 'attn_highres': …\}\) writes it$/,
  )
  await rejected(read('negative'), /its keys contain -3/)
  await rejected(read('large'), /its keys contain -1099511627776/)
  await rejected(read('empty'), /it has no array 'keys' but nothing/)
  await rejected(read('noneall'), /^it does not hold a dictionary; one with keys and attn_highres is expected$/)
})

test('arrays of another shape or kind are refused with what is there and what is expected', async () => {
  const npz = async (arrays: Record<string, NpyFile>) => await readAs('shape.npz', encodeNpz(arrays))
  const array = (...shape: number[]) =>
    npyFile(
      '|u1',
      shape,
      shape.reduce((a, b) => a * b, 1),
      (data) => data.fill(0),
    )
  const whole = { keys: array(1), attn_highres: array(1, 2, 3) }
  assert.equal(await npz(whole), { keys: [0], maps: new Float32Array(6), width: 3, height: 2 })
  for (const [shape, keys] of [
    [[2, 2, 3], 1],
    [[1, 2], 1],
    [[1, 1, 2, 3], 1],
    [[1, 2, 3], 2],
  ] as const)
    await rejected(
      npz({ keys: array(keys), attn_highres: array(...shape) }),
      new RegExp(`^'attn_highres' has the shape ${shape.join(' x ')}; ${keys} keys need ${keys} x height x width$`),
    )
  const many = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, i) => [`n${i}`, array(1)]))
  await rejected(npz(many(12)), /^it has no array 'keys' but n0, .+, n11; save/)
  await rejected(npz(many(13)), /^it has no array 'keys' but n0, .+, n11, …; save/)
  await rejected(npz({}), /^it has no array 'keys' but nothing; save/)
})

test('arrays of numbers are read by their type', () => {
  const npy = (descr: string, shape: string, bytes: Buffer) => {
    const head = `{'descr': '${descr}', 'fortran_order': False, 'shape': ${shape}, }\n`
    const length = Buffer.alloc(2)
    length.writeUInt16LE(head.length)
    return Buffer.concat([Buffer.from('\x93NUMPY\x01\x00', 'latin1'), length, Buffer.from(head), bytes])
  }
  assert.equal([...readNpy(npy('<f4', '(2,)', Buffer.from(Float32Array.from([0.5, -2]).buffer))).values], [0.5, -2])
  assert.equal([...readNpy(npy('|u1', '(1, 3)', Buffer.from([1, 2, 255]))).values], [1, 2, 255])
  assert.throws(() => readNpy(npy('>f4', '(2,)', Buffer.alloc(8))), /type >f4, which is not read/)
  assert.throws(() => readNpy(npy('<c8', '(1,)', Buffer.alloc(8))), /type <c8/)
  assert.throws(() => readNpy(npy('<f4', '(3,)', Buffer.alloc(8))), /needs 12 bytes; there are 8/)
})

test.run()
