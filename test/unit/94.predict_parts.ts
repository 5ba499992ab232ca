// Parts of `clip-es predict`: the reader of the program's answers, and masks from probabilities.
import { Readable } from 'node:stream'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ByteReader } from '../../cli/src/predict/byte_reader.js'
import { maskOf } from '../../cli/src/predict/mask.js'

const reader = (...chunks: string[]) => new ByteReader(Readable.from(chunks.map((chunk) => Buffer.from(chunk))))

test('lines and blocks are read in turns, however the bytes arrive', async () => {
  for (const chunks of [['{"a":1}\nxyz{"b":2}\nuv'], ['{"a"', ':1}\nx', 'y', 'z{"b":2}', '\nu', 'v']]) {
    const read = reader(...chunks)
    assert.is(await read.line(), '{"a":1}')
    assert.is((await read.fill(Buffer.alloc(3)))?.toString(), 'xyz')
    assert.is(await read.line(), '{"b":2}')
    assert.is((await read.fill(Buffer.alloc(2)))?.toString(), 'uv')
    assert.is(await read.line(), undefined)
  }
})

test('a stream that ends early gives nothing instead of a part', async () => {
  assert.is(await reader('half a line').line(), undefined)
  assert.is(await reader('ab').fill(Buffer.alloc(3)), undefined)
})

const photo = { data: Buffer.alloc(9), width: 3, height: 1, pages: 1 }
/** Background, cat, dog for three pixels. */
const probabilities = { labels: 3, values: Float32Array.from([0.5, 0.2, 0.3, 0.25, 0.2, 0.1, 0.25, 0.6, 0.6]) }
const options = { crf: false, ignoreBelow: 0, threads: 1, signal: new AbortController().signal }

test('without the CRF the most probable label wins, the lower one of equals', async () => {
  const { mask, confidence } = await maskOf(photo, probabilities, undefined, options)
  assert.equal([...mask], [0, 2, 2])
  assert.equal(
    [...confidence].map((value) => Number(value.toFixed(4))),
    [0.5, 0.6, 0.6],
  )
})

test('with known labels only these can win, and the confidence is their share', async () => {
  const { mask, confidence } = await maskOf(photo, probabilities, [0], options)
  assert.equal([...mask], [0, 0, 0])
  assert.equal(
    [...confidence].map((value) => Number(value.toFixed(4))),
    [0.6667, 0.5, 0.75],
  )
})

test('pixels of a lower confidence are ignored', async () => {
  const { mask } = await maskOf(photo, probabilities, undefined, { ...options, ignoreBelow: 0.55 })
  assert.equal([...mask], [255, 2, 2])
})

test.run()
