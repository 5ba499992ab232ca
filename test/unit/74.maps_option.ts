import { Command } from 'commander'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { mapsOf, mapsOption } from '../../cli/src/shared/maps_option.js'
import { similarityPresets } from '../../ts/segment/similarity_presets.js'

const parse = (...args: string[]) =>
  new Command()
    .exitOverride()
    .configureOutput({ writeErr() {} })
    .addOption(mapsOption())
    .parse(args, { from: 'user' })
    .opts().maps

test('--maps takes the two methods and each preset, and GradCAM without it', () => {
  assert.is(parse(), 'gradcam')
  for (const name of ['gradcam', 'similarity', ...Object.keys(similarityPresets)]) assert.is(parse('--maps', name), name)
  assert.throws(() => parse('--maps', 'depth'), /Allowed choices are gradcam, similarity/)
})

test('GradCAM is left out, similarity is the default of the library, a preset is named', () => {
  assert.equal(mapsOf('gradcam'), {})
  assert.equal(mapsOf('similarity'), { maps: 'similarity' })
  assert.equal(mapsOf('sc-clip'), { maps: { preset: 'sc-clip' } })
})

test.run()
