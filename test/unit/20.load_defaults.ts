// The options of load(): what they default to, and the last values that are accepted and the first that are refused. Needs no add-on.
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { resolveLoadArguments, resolveLoadOptions } from '../../ts/engine/load_options.js'
import type { LoadOptions } from '../../ts/index.js'
import { refusal } from './support.js'

const onCpu = {
  device: 'cpu',
  precision: 'float32', // without an add-on, which would say whether the CPU multiplies bfloat16
  threads: 3,
  concurrency: 3,
  maxBatch: 1,
  maxDelay: 0,
  maxQueue: 256,
  maxPixels: 100e6,
  maxSide: 1024,
  weightsFolder: '',
  priority: 'low',
  signal: undefined,
}
const resolve = (given: object) => resolveLoadOptions(given as LoadOptions, () => 3)

test('every option has its documented default, on the CPU and on a GPU', () => {
  assert.equal(resolve({}), onCpu)
  assert.equal(resolve({ device: 'auto', precision: 'auto' }), onCpu)
  for (const device of ['cuda', 'cuda:0', 'cuda:12'])
    assert.equal(resolve({ device }), { ...onCpu, device, precision: 'bfloat16', concurrency: 2, maxBatch: 16 })
})

test('options are kept as they are given', () => {
  const { signal } = new AbortController()
  const given = {
    ...{ device: 'cuda:1', precision: 'float32', threads: 5, concurrency: 6, maxBatch: 7, maxDelay: 8.5, maxQueue: 9 },
    ...{ maxPixels: 10.5, maxSide: Number.POSITIVE_INFINITY, weightsFolder: '/weights', priority: 'normal', signal },
  }
  assert.equal(resolve(given), given)
  assert.equal(
    resolveLoadArguments({ model: 'm.pt', ...given }, undefined, () => 3),
    { path: 'm.pt', options: given },
  )
  assert.is(resolve({ weightsFolder: pathToFileURL('/a b') }).weightsFolder, '/a b')
  for (const precision of ['float32', 'bfloat16', 'int8'] as const) assert.is(resolve({ precision }).precision, precision)
})

test('four photos run at the same time, or as many as there are threads', () => {
  for (const [threads, concurrency] of [
    [1, 1],
    [3, 3],
    [4, 4],
    [16, 4],
  ] as const)
    assert.is(resolve({ threads, device: 'cpu' }).concurrency, concurrency, `${threads} threads`)
})

test('the limits of numbers are accepted, and the next values are refused with the whole range', () => {
  for (const [name, lowest, highest, range] of [
    ['threads', 1, 1024, 'a whole number from 1 to 1024'],
    ['concurrency', 1, 64, 'a whole number from 1 to 64'],
    ['maxBatch', 1, 256, 'a whole number from 1 to 256'],
    ['maxDelay', 0, 60_000, 'a number from 0 to 60000'],
    ['maxQueue', 1, 1_000_000, 'a whole number from 1 to 1000000'],
    ['maxPixels', 1, 2_147_483_648, 'a number from 1 to 2147483648'],
    ['maxSide', 1, 2_147_483_647, 'a whole number from 1 to 2147483647'],
  ] as const) {
    for (const value of [lowest, highest]) assert.is(resolve({ [name]: value })[name], value)
    for (const value of [lowest - 1, highest + 1])
      assert.is(
        refusal(() => resolve({ [name]: value })),
        `load(): ${name} is ${value}; expected ${range}`,
      )
  }
})

test('a wrong device, precision or priority is refused with what can be given', () => {
  const devices = "expected 'auto', 'cpu', 'cuda' or 'cuda:N'"
  for (const device of ['gpu', 'cuda:', 'cuda:x', 'a cuda:1', 'cuda:1 ', 1])
    assert.is(
      refusal(() => resolve({ device })),
      `load(): device is ${typeof device === 'string' ? `'${device}'` : device}; ${devices}`,
    )
  assert.is(
    refusal(() => resolve({ precision: 'int8', device: 'cuda:1' })),
    "load(): precision 'int8' is for CPUs, and device is 'cuda:1'; a GPU computes in 'bfloat16' or 'float32'",
  )
  assert.is(
    refusal(() => resolve({ precision: 'half' })),
    "load(): unknown precision 'half'; known: auto, float32, bfloat16, int8",
  )
  assert.is(
    refusal(() => resolve({ priority: 'lo' })),
    "load(): unknown priority 'lo'; did you mean 'low'? known: low, normal",
  )
})

test('the model stands before the options, among them, or nowhere', () => {
  const load = (first?: unknown, second?: unknown) => resolveLoadArguments(first, second, () => 3)
  const url = pathToFileURL('/m.pt')
  assert.equal(load(), { path: undefined, options: onCpu })
  assert.equal(load('m.pt'), { path: 'm.pt', options: onCpu })
  assert.equal(load(url, {}), { path: '/m.pt', options: onCpu })
  assert.equal(load({ model: url }), { path: '/m.pt', options: onCpu })
  assert.equal(load({ threads: 2 }), { path: undefined, options: { ...onCpu, threads: 2, concurrency: 2 } })
  assert.equal(load('m.pt', { threads: 2 }).options.threads, 2)
  assert.equal(load(undefined, { model: 'm.pt' }).path, 'm.pt')
  assert.is(
    refusal(() => load('a.pt', { model: 'b.pt' })),
    'load(): model is given twice, by itself and among the options; leave one out',
  )
  assert.is(
    refusal(() => load({ threads: 1 }, {})),
    'load(): model is { threads: 1 }; expected a path or a file URL before the options, or one object with all options: load({ model, … })',
  )
  assert.is(
    refusal(() => load([])),
    'load(): model is []; expected a path or a file URL',
  )
  assert.is(
    refusal(() => load(null)),
    'load(): model is null; expected a path or a file URL',
  )
  assert.is(
    refusal(() => load({ weightsFolder: 7 })),
    'load(): weightsFolder is 7; expected a path or a file URL',
  )
  assert.is(
    refusal(() => load({ modl: 'a' })),
    "load(): unknown option 'modl'; did you mean 'model'? known: model, device, precision, threads, concurrency, maxBatch, maxDelay, maxQueue, maxPixels, maxSide, weightsFolder, priority, …",
  )
})

test.run()
