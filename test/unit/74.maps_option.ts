import { Command } from 'commander'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { addMapOptions, type MapArguments, mapOptions, mapSettings } from '../../cli/src/shared/maps_option.js'
import { similarityPresets } from '../../ts/segment/similarity_presets.js'

const parse = (...args: string[]) =>
  addMapOptions(new Command().exitOverride().configureOutput({ writeErr() {} }))
    .parse(args, { from: 'user' })
    .opts<MapArguments>()

test('--maps takes the two methods and each preset, and GradCAM without it', () => {
  assert.is(parse().maps, 'gradcam')
  for (const name of ['gradcam', 'similarity', ...Object.keys(similarityPresets)]) assert.is(parse('--maps', name).maps, name)
  assert.throws(() => parse('--maps', 'depth'), /Allowed choices are gradcam, similarity/)
})

test('--scales takes numbers between commas, --flip none, --min-score one', () => {
  assert.equal(parse('--scales', '0.75,1,1.25', '--flip', '--min-score', '0.5', '--background-below', '0.6'), {
    ...{ maps: 'gradcam', scales: [0.75, 1, 1.25], flip: true, minScore: 0.5, backgroundBelow: 0.6 },
  })
  for (const wrong of ['', '1,', '0', '5', '1;2']) assert.throws(() => parse('--scales', wrong), /a number from 0.25 to 4/)
  for (const option of ['--min-score', '--background-below']) assert.throws(() => parse(option, '2'), /a number from 0 to 1/)
})

test('the settings of a run leave out what is the default', () => {
  assert.equal(mapSettings(parse()), {})
  assert.equal(mapSettings(parse('--maps', 'gradcam', '--scales', '1', '--min-score', '0', '--background-below', '0')), {})
  for (const scales of [[1, 2], [1, 1], [2]]) assert.equal(mapSettings({ scales }), { scales })
  for (const one of [{ minScore: 0.5 }, { backgroundBelow: 0.5 }]) assert.equal(mapSettings(one), one)
  const args = ['--maps', 'naclip', '--scales', '0.5', '--flip', '--min-score', '0.4', '--background-below', '0.3']
  assert.equal(mapSettings(parse(...args)), { maps: 'naclip', scales: [0.5], flip: true, minScore: 0.4, backgroundBelow: 0.3 })
})

test('the options of the library: GradCAM is left out, a preset is an object', () => {
  assert.equal(mapOptions(mapSettings(parse())), {})
  assert.equal(mapOptions({ maps: 'similarity', flip: true }), { maps: 'similarity', flip: true })
  assert.equal(mapOptions({ maps: 'sc-clip', scales: [1, 2] }), { maps: { preset: 'sc-clip' }, scales: [1, 2] })
  assert.equal(mapOptions({ maps: { preset: 'clip', mix: 0.2 } }), { maps: { preset: 'clip', mix: 0.2 } })
})

test.run()
