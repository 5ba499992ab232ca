import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { decodeBrush, encodeBrush } from '../../ts/formats/brush_rle.js'
import { type LabelStudioTool, labelStudioPrediction, labelStudioRegions } from '../../ts/formats/label_studio.js'
import { mapOf, randomMap } from './masks.js'
import { refusal } from './support.js'

/** The algorithm of label-studio-converter, as its documentation says it: a text of bits, and all values of all channels. */
function decodeAll(bytes: readonly number[]): number[] {
  const bits = bytes.map((byte) => byte.toString(2).padStart(8, '0')).join('')
  let at = 0
  const read = (count: number): number => {
    at += count
    return Number.parseInt(bits.slice(at - count, at), 2)
  }
  const count = read(32)
  const wordSize = read(5) + 1
  const sizes = [read(4) + 1, read(4) + 1, read(4) + 1, read(4) + 1]
  const values: number[] = []
  while (values.length < count) {
    const isRun = read(1)
    const length = read(sizes[read(2)] as number) + 1
    const word = isRun ? read(wordSize) : 0
    for (let i = 0; i < length; i++) values.push(isRun ? word : read(wordSize))
  }
  assert.is(values.length, count)
  assert.ok(bits.length - at < 8, 'nothing follows the last run')
  return values
}

test('the brush has the bytes of label-studio-converter, and all its lengths of runs are read back', () => {
  const { data } = mapOf('.##.#.', '######')
  assert.equal(encodeBrush(data), [0, 0, 0, 48, 57, 27, 252, 96, 19, 255, 198, 1, 31, 252, 96, 24, 95, 252])
  for (const runs of [[1], [2], [3, 4, 5], [64, 65], [16384, 1], [3, 16385], [40000]]) {
    const inside = runs.flatMap((count, i) => Array.from<number>({ length: count }).fill(i % 2))
    const channels = inside.flatMap((value) => [value, value, value, value].map((one) => 255 * one))
    assert.equal(decodeAll(encodeBrush(inside)), channels, runs.join(', '))
    assert.equal([...decodeBrush(encodeBrush(inside), inside.length)], inside, runs.join(', '))
  }
})

test('a brush with values that are not repeated, of other channels, and a damaged one', () => {
  // 8 values of 8 bits, lengths 3, 4, 8 and 16: two words that are not a run, then a run of 6.
  const bits = [`${(8).toString(2).padStart(32, '0')}00111`, '0010', '0011', '0111', '1111', '0', '00', '111']
  for (const value of [0, 0, 0, 255, 7, 7, 7, 0]) bits.push(value.toString(2).padStart(8, '0'))
  const text = bits.join('')
  const bytes = Array.from({ length: Math.ceil(text.length / 8) }, (_, i) =>
    Number.parseInt(text.slice(8 * i, 8 * i + 8).padEnd(8, '0'), 2),
  )
  assert.equal([...decodeBrush(bytes, 2)], [1, 0])
  assert.throws(() => decodeBrush(bytes, 3), /has 8 values; expected 12, 4 for each pixel/)
  assert.throws(() => decodeBrush(bytes.slice(0, 10), 2), /ends early/)
  assert.throws(() => decodeBrush([], 0), /ends early/)
})

const tool = (name: LabelStudioTool['tool'], regions = false): LabelStudioTool => ({
  ...{ tool: name, regions, fromName: 'tag', toName: 'photo' },
})

test('a rectangle is the box of a label, or of each of its regions, in percent', () => {
  const mask = mapOf('.1..', '....', '..11', '..1.')
  const boxes = (regions: boolean) =>
    labelStudioRegions(mask, { name: 'cat', value: 1, score: 0.5 }, tool('rectangle', regions)).map(({ value }) => value)
  assert.equal(boxes(false), [{ x: 25, y: 0, width: 75, height: 100, rotation: 0, rectanglelabels: ['cat'] }])
  assert.equal(boxes(true), [
    { x: 25, y: 0, width: 25, height: 25, rotation: 0, rectanglelabels: ['cat'] },
    { x: 50, y: 50, width: 50, height: 50, rotation: 0, rectanglelabels: ['cat'] },
  ])
})

test('a label without pixels has no region, whatever the tool', () => {
  for (const name of ['brush', 'polygon', 'rectangle'] as const)
    for (const regions of [false, true])
      assert.equal(labelStudioRegions(mapOf('..', '.2'), { name: 'cat', value: 1 }, tool(name, regions)), [])
})

test('brushes of labels that touch have the pixels of a mask and no others', () => {
  const mask = randomMap(17, 13, [0.2, 0.4, 0.4], 3)
  const painted = new Uint8Array(mask.data.length)
  for (const value of [1, 2]) {
    const [region, ...others] = labelStudioRegions(mask, { name: `class ${value}`, value, score: 0.5 }, tool('brush'))
    assert.equal(others, [])
    assert.equal([region?.from_name, region?.to_name, region?.original_width, region?.original_height], ['tag', 'photo', 17, 13])
    for (const [i, inside] of decodeBrush(region?.value.rle as number[], painted.length).entries())
      if (inside) {
        assert.is(painted[i], 0)
        painted[i] = value
      }
  }
  assert.equal(painted, mask.data)
})

test('the score of a prediction is the mean of its labels, not of its regions', () => {
  const mask = mapOf('1.1', '...', '222')
  const regions = [1, 2].flatMap((value) =>
    labelStudioRegions(mask, { name: `class ${value}`, value, score: value / 4 }, tool('polygon')),
  )
  assert.is(regions.length, 3)
  const { score, result, model_version } = labelStudioPrediction(regions, 'v1')
  assert.equal([score, model_version], [0.375, 'v1'])
  assert.equal(
    result.map(({ id }) => id),
    ['1', '2', '3'],
  )
  assert.equal(labelStudioPrediction([], 'v1'), { model_version: 'v1', result: [] })
})

test('a region has all keys of Label Studio, for each tool', () => {
  const mask = mapOf('11.', '1.1', '...')
  const tool = (name: 'brush' | 'polygon' | 'rectangle', regions = false) => ({ tool: name, regions, fromName: 'f', toName: 't' })
  const rest = { from_name: 'f', to_name: 't', original_width: 3, original_height: 3, image_rotation: 0 }
  const label = { name: 'cat', value: 1, score: 0.123456789 }
  assert.equal(labelStudioRegions(mask, label, tool('rectangle')), [
    {
      ...{ type: 'rectanglelabels', ...rest, score: 0.123457 },
      value: { x: 0, y: 0, width: 100, height: 66.666667, rotation: 0, rectanglelabels: ['cat'] },
    },
  ])
  const points = [
    [0, 0],
    [66.666667, 0],
    [66.666667, 33.333333],
    [33.333333, 33.333333],
    [33.333333, 66.666667],
    [0, 66.666667],
  ]
  const { score: _, ...plain } = label
  const polygons = labelStudioRegions(mask, plain, tool('polygon'))
  assert.equal(polygons.length, 2)
  const [first = [0, 0], ...others] = (polygons[0]?.value.points as number[][]) ?? []
  const turned = [...points.slice(points.findIndex(([x, y]) => x === first[0] && y === first[1])), ...points].slice(0, 6)
  assert.equal(polygons[0], {
    type: 'polygonlabels',
    ...rest,
    value: { points: turned, closed: true, polygonlabels: ['cat'] },
  } as never)
  assert.equal([first, ...others].length, 6)
  const brush = (...inside: number[]) => ({
    ...{ type: 'brushlabels', ...rest, score: 0.123457 },
    value: { format: 'rle', rle: encodeBrush(inside), brushlabels: ['cat'] },
  })
  assert.equal(labelStudioRegions(mask, label, tool('brush')), [brush(1, 1, 0, 1, 0, 1, 0, 0, 0)])
  assert.equal(labelStudioRegions(mask, label, tool('brush', true)), [
    brush(1, 1, 0, 1, 0, 0, 0, 0, 0),
    brush(0, 0, 0, 0, 0, 1, 0, 0, 0),
  ])
  const scored = polygons.map((region, i) => ({
    ...region,
    value: { ...region.value, polygonlabels: [`c${i}`] },
    score: [0.1, 0.2000001][i],
  }))
  assert.equal(labelStudioPrediction([...scored, ...polygons.slice(0, 1)], 'v'), {
    model_version: 'v',
    score: 0.15,
    result: [...scored, polygons[0]].map((region, i) => ({ id: `${i + 1}`, ...region })) as never,
  })
  assert.not('score' in labelStudioPrediction(polygons, 'v'))
})

test('a brush that ends early or has another size is refused', () => {
  const code = encodeBrush([1, 0, 1])
  assert.equal([...decodeBrush(code, 3)], [1, 0, 1])
  assert.is(
    refusal(() => decodeBrush(code, 2)),
    'the run-length code of a brush has 12 values; expected 8, 4 for each pixel',
  )
  for (let length = 0; length < code.length; length++)
    assert.is(
      refusal(() => decodeBrush(code.slice(0, length), 3)),
      'the run-length code of a brush ends early',
    )
})

test.run()
