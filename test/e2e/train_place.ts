// What the tests of `clip-es train` and `predict` share: photos with pseudo masks, and a stand-in for the training program.
import { join } from 'node:path'
import * as assert from 'uvu/assert'
import { makeDemoSet } from './demo_set.js'
import { root, Workplace } from './support.js'

export const fakeProgram = join(root, 'test/fake_train_program.cjs')

/** A folder with `demo` (photos, truth, labels.csv) and `masks`, their pseudo masks with confidences. */
export async function trainPlace(count: number): Promise<Workplace> {
  process.env.CLIP_ES_TRAIN_PROGRAM = fakeProgram
  const place = new Workplace()
  await makeDemoSet(place.path('demo'), count)
  const args = ['dataset', '--folder', 'demo/photos', '--labels', 'demo/labels.csv', '--confidence', '--threads', '1']
  const { status, stderr } = place.run([...args, '-o', 'masks'])
  assert.is(status, 0, stderr)
  return place
}

export const validation = ['--validation', 'demo/truth', '--validation-photos', 'demo/photos']
