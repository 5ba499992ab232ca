import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { competingTexts, textProbabilities } from '../../ts/classes/text_scores.js'
import type { Fusion } from '../../ts/index.js'
import { load, scene } from './support.js'

const near = (a: number, b: number, by: number) => assert.ok(Math.abs(a - b) <= by, `${a} against ${b}`)

test('the probabilities are the scores of segment(), however synonyms are fused', async () => {
  const segmenter = await load()
  const photo = await scene('scene01')
  const encoded = await segmenter.encode(photo)
  const { image, logitScale } = await encoded.embeddings()
  for (const fusion of ['sentence', 'feature', 'cam'] as Fusion[]) {
    const specs = [{ name: 'elephant', synonyms: ['elephant', 'grey thing', 'cow'] }, 'television', 'panda']
    const classes = await segmenter.encodeClasses(specs, { fusion, background: photo.background })
    const { scores } = await encoded.segment(classes)
    const found = textProbabilities(image, competingTexts(classes, 'with background'), logitScale)
    for (const [k, score] of scores.entries()) near(found[k] as number, score, 1e-5)
    const alone = textProbabilities(image, competingTexts(classes, 'classes alone'), logitScale)
    near(
      alone.reduce((a, b) => a + b),
      1,
      1e-12,
    )
    assert.is(alone.length, 3)
    near((alone[0] as number) / (alone[1] as number), (found[0] as number) / (found[1] as number), 1e-9)
  }
  await segmenter.close()
})

test.run()
