// Settings of the dense CRF. Needs no add-on.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { resolveCrf, resolveCrfOptions } from '../../ts/engine/crf_options.js'

/** Of CLIP-ES's code: ten rounds, a smoothness kernel of 1 pixel, an appearance kernel of 67 pixels and 3 levels. */
const published = {
  rounds: 10,
  positionSigma: 1,
  positionWeight: 3,
  bilateralPositionSigma: 67,
  bilateralColourSigma: 3,
  bilateralWeight: 4,
  released: false,
}

test('the defaults are the published settings', () => {
  assert.equal(resolveCrfOptions('x', undefined), published)
  assert.equal(resolveCrf('x', true), published)
  assert.is(resolveCrf('x', false), undefined)
  assert.equal(resolveCrf('x', { rounds: 3 }), { ...published, rounds: 3 })
})

test('a weight can be 0, which leaves out its kernel, but a sigma cannot', () => {
  for (const name of ['positionWeight', 'bilateralWeight'] as const) {
    assert.is(resolveCrfOptions('x', { [name]: 0 })[name], 0)
    assert.throws(() => resolveCrfOptions('x', { [name]: -1 }), new RegExp(`${name} is -1; expected a number from 0 to`))
  }
  for (const name of ['positionSigma', 'bilateralPositionSigma', 'bilateralColourSigma'] as const)
    assert.throws(() => resolveCrfOptions('x', { [name]: 0 }), new RegExp(`${name} is 0; expected a number from 0\\.001 to`))
})

test('rounds are whole numbers from 0 to 1000', () => {
  for (const rounds of [0, 1000]) assert.is(resolveCrfOptions('x', { rounds }).rounds, rounds)
  for (const rounds of [-1, 1.5, 1001])
    assert.throws(() => resolveCrfOptions('x', { rounds }), /rounds is .*; expected a whole number/)
})

test.run()
