import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { Evaluator } from '../../cli/src/eval/evaluation.js'
import { takenTable } from '../../cli/src/eval/table.js'
import { takenPixels } from '../../cli/src/eval/taken.js'

const map = (text: string): Uint8Array => Uint8Array.from(text, Number)

function figures(mask: string, truth: string) {
  const evaluator = new Evaluator(['background', 'cat', 'dog', 'bus'], 0.02)
  evaluator.add('photo', map(mask), map(truth), 4, 3)
  return evaluator.figures()
}

test('pixels that one class takes from another are listed, most first; background does not count', () => {
  const evaluation = figures('022201230303', '011112230300')
  assert.equal(takenPixels(evaluation), [
    { from: 'cat', by: 'dog', pixels: 3, share: 3 / 4 },
    { from: 'dog', by: 'cat', pixels: 1, share: 1 / 2 },
  ])
  const text = takenTable(evaluation)
  assert.match(text, /dog took 75\.00 % of cat/)
})

test('nothing is listed where no class takes pixels of another', () => {
  const evaluation = figures('000011110000', '000011100000')
  assert.equal(takenPixels(evaluation), [])
  assert.is(takenTable(evaluation), '')
})

test.run()
