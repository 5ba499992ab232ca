// Settings of the dense CRF. Needs no add-on.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClipEsError } from '../../ts/core/errors.js'
import { denseCrf } from '../../ts/dense_crf.js'
import { resolveCrf, resolveCrfOptions } from '../../ts/engine/crf_options.js'
import { reasonOf, refusal, rejects } from './support.js'

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

test('the limits of settings are accepted, and the next values are refused with the whole range', () => {
  const refused = (options: object) => refusal(() => resolveCrfOptions('x', options))
  for (const [name, lowest] of [
    ['positionSigma', 0.001],
    ['positionWeight', 0],
    ['bilateralPositionSigma', 0.001],
    ['bilateralColourSigma', 0.001],
    ['bilateralWeight', 0],
  ] as const) {
    for (const value of [lowest, 1e6]) assert.is(resolveCrfOptions('x', { [name]: value })[name], value)
    for (const value of [lowest - 0.0005, 1e6 + 1])
      assert.is(refused({ [name]: value }), `x: ${name} is ${value}; expected a number from ${lowest} to 1000000`)
  }
  assert.is(resolveCrfOptions('x', { released: true }).released, true)
  for (const [options, message] of [
    [{ released: 1 }, 'released is 1; expected true or false'],
    [{ rounds: -1 }, 'rounds is -1; expected a whole number from 0 to 1000'],
    [{ rounds: undefined }, 'rounds is undefined; expected a value, or nothing for the default'],
    [
      { x: 1 },
      "unknown option 'x'; known: rounds, positionSigma, positionWeight, bilateralPositionSigma, bilateralColourSigma, bilateralWeight, released",
    ],
  ] as const)
    assert.is(refused(options), `x: ${message}`)
  assert.is(resolveCrf('x', undefined), undefined)
  assert.is(
    refusal(() => resolveCrf('x', { rounds: 1.5 })),
    'x: crf: rounds is 1.5; expected a whole number from 0 to 1000',
  )
})

test('wrong input of denseCrf() is refused before the add-on is asked for', async () => {
  const input = { rgb: new Uint8Array(6), width: 2, height: 1, scores: new Float32Array(6), labels: 3 }
  const array = 'expected a Float32Array of labels * height * width'
  for (const [change, options, message] of [
    [{ rgb: new Uint8Array(8) }, {}, 'rgb has 8 bytes; 2 x 1 needs 6 (RGB)'],
    [{ width: 0 }, {}, 'image.width is 0; expected a whole number from 1 to 2147483647'],
    [{ labels: 0 }, {}, 'labels is 0; expected a whole number from 1 to 255'],
    [{ labels: 256 }, {}, 'labels is 256; expected a whole number from 1 to 255'],
    [{ scores: [1] }, {}, `scores is [ 1 ]; ${array}`],
    [{ labels: 2 }, {}, 'scores has 6 elements; 2 labels of 2 x 1 need 4'],
    [
      { scores: new Float32Array(new SharedArrayBuffer(24)) },
      {},
      'scores lies in a SharedArrayBuffer, which other threads may change; copy it first',
    ],
    [{}, { rounds: -1 }, 'rounds is -1; expected a whole number from 0 to 1000'],
    [{}, { signal: 1 }, 'signal is 1; expected an AbortSignal'],
    [{}, { threads: 0 }, 'threads is 0; expected a whole number from 1 to 1024'],
    [{}, { threads: 1025 }, 'threads is 1025; expected a whole number from 1 to 1024'],
    [
      {},
      { x: 1 },
      "unknown option 'x'; known: rounds, positionSigma, positionWeight, bilateralPositionSigma, bilateralColourSigma, bilateralWeight, released, threads, signal",
    ],
  ] as const) {
    const error = (await reasonOf(denseCrf({ ...input, ...change } as never, options as never))) as ClipEsError
    assert.is(error.message, `denseCrf(): ${message}`)
    assert.is(error.code, 'ERR_INVALID_ARG')
  }
  for (const wrong of [null, 'x'])
    await rejects(
      denseCrf(wrong as never),
      'ERR_INVALID_ARG',
      /^denseCrf\(\): input is .+; expected \{ rgb, width, height, scores, labels \}$/,
    )
  for (const threads of [1, 1024]) await rejects(denseCrf(input, { threads }), 'ERR_LIBTORCH', 'native add-on')
})

test('rounds are whole numbers from 0 to 1000', () => {
  for (const rounds of [0, 1000]) assert.is(resolveCrfOptions('x', { rounds }).rounds, rounds)
  for (const rounds of [-1, 1.5, 1001])
    assert.throws(() => resolveCrfOptions('x', { rounds }), /rounds is .*; expected a whole number/)
})

test.run()
