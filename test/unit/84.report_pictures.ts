// The pictures of clip-es report: which labels they show.
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { Evaluation } from '../../cli/src/eval/evaluation.js'
import { drawExample } from '../../cli/src/report/pictures.js'
import { encodeMask } from '../../ts/photos/mask_png.js'
import { temporaryFolder } from './support.js'

const folder = temporaryFolder()
const labels = ['background', 'cat', 'dog', 'person'].map((name) => ({ name }))
const evaluation = { results: folder, labels } as unknown as Evaluation
const figures = { id: 'x', miou: 0.5, pixelAccuracy: 0.5 }
const truth = { read: async () => ({ file: 'truth/x.png', data: Uint8Array.of(0, 3, 255, 1), width: 2, height: 2 }) }

test('a picture shows the labels of truth and mask in the order of their numbers, without background and ignored pixels', async () => {
  writeFileSync(join(folder, 'x.png'), await encodeMask(Uint8Array.of(0, 2, 255, 3), { width: 2, height: 2 }))
  const example = await drawExample(evaluation, truth, figures, () => undefined)
  assert.equal(
    example.labels.map(({ name }) => name),
    ['cat', 'dog', 'person'],
  )
  assert.is(new Set(example.labels.map(({ colour }) => colour)).size, 3)
  assert.is(example.photo, undefined)
  for (const url of [example.truth, example.found]) assert.match(url, /^data:image\/webp;base64,/)
  assert.not.equal(example.truth, example.found)
})

test('a label that the evaluation does not name is shown by its number', async () => {
  writeFileSync(join(folder, 'x.png'), await encodeMask(Uint8Array.of(0, 9, 255, 3), { width: 2, height: 2 }))
  const { labels: shown } = await drawExample(evaluation, truth, figures, () => join(folder, 'none.jpg'))
  assert.equal(
    shown.map(({ name }) => name),
    ['cat', 'person', '9'],
  )
})

test.run()
