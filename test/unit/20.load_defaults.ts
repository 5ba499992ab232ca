// What load() does when it is told nothing. Needs no add-on.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { resolveLoadOptions } from '../../ts/engine/load_options.js'
import { outsideAsar } from '../../ts/engine/model_path.js'

test('queue, pixels and side have their documented defaults', () => {
  const { maxQueue, maxPixels, maxSide } = resolveLoadOptions({})
  assert.equal([maxQueue, maxPixels, maxSide], [256, 100e6, 1024])
})

test('four photos run at the same time, or as many as there are threads', () => {
  for (const [threads, concurrency] of [
    [1, 1],
    [3, 3],
    [4, 4],
    [16, 4],
  ] as const)
    assert.is(resolveLoadOptions({ threads, device: 'cpu' }).concurrency, concurrency, `${threads} threads`)
})

test('in an asar archive, the embedded model is the unpacked file, which native code can open', () => {
  for (const [path, expected] of [
    [
      '/opt/App/resources/app.asar/node_modules/clip-es/models/m.pt',
      '/opt/App/resources/app.asar.unpacked/node_modules/clip-es/models/m.pt',
    ],
    ['C:\\App\\app.asar\\node_modules\\m.pt', 'C:\\App\\app.asar.unpacked\\node_modules\\m.pt'],
    ['/home/app.asar.unpacked/m.pt', '/home/app.asar.unpacked/m.pt'],
    ['/home/me/node_modules/clip-es/models/m.pt', '/home/me/node_modules/clip-es/models/m.pt'],
  ] as const)
    assert.is(outsideAsar(path), expected)
})

test.run()
