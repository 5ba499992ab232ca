import { readFileSync } from 'node:fs'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { demoClasses, demoScenes } from '../../cli/src/demo/scenes.js'
import { Confusion, meanOfNumbers } from '../../cli/src/metrics/confusion.js'
import type { SegmentResult } from '../../ts/index.js'
import { agreement, inChild, load, modelPath } from './support.js'

/** What loading gives in a process with CLIP_ES_CPU set to `level`: the precision or the error. */
const loadAt = (level: string) =>
  inChild(
    `const segmenter = await clip.Segmenter.load({ precision: 'auto' })
    await segmenter.close()
    return segmenter.model.precision`,
    { CLIP_ES_CPU: level },
  )

/** Whether Linux lists the extensions with which the best level multiplies bfloat16. */
function listsBfloat16(): boolean {
  const [, list = ''] = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8')) ?? []
  const needed = process.arch === 'x64' ? ['avx512_bf16', 'avx512_vnni'] : ['bf16', 'i8mm']
  return needed.every((name) => list.split(' ').includes(name))
}

test("precision 'auto' is bfloat16 on CPUs that multiply it and float32 on others, and segmenter.model says which", () => {
  assert.is(loadAt('').result, listsBfloat16() ? 'bfloat16' : 'float32')
  assert.is(loadAt('baseline').result, 'float32')
  assert.match(loadAt('sse9').error?.message as string, /CLIP_ES_CPU is 'sse9', which is not a level of this CPU/)
})

test("masks in bfloat16 and int8 equal those in float32 on 99 % and 98 % of the scenes' pixels, with an mIoU within 0.3 and 1 points", async () => {
  const specs = demoClasses()
  const names = specs.classes.map((spec) => (typeof spec === 'string' ? spec : spec.name))
  const scenes = await demoScenes(names)
  const run = async (precision: 'float32' | 'bfloat16' | 'int8') => {
    const segmenter = await load(modelPath, { precision })
    assert.is(segmenter.model.precision, precision)
    const { template, fusion, background, boxThreshold } = specs
    const classes = await segmenter.encodeClasses(specs.classes, { template, fusion, background })
    const results: SegmentResult[] = []
    for (const { image, labels } of scenes) results.push(await segmenter.segment(image, classes, { labels, boxThreshold }))
    await segmenter.close()
    const confusion = new Confusion(names.length + 1)
    for (const [i, { truth }] of scenes.entries()) confusion.add((results[i] as SegmentResult).mask, truth)
    const miou = 100 * meanOfNumbers(confusion.classes().map(({ iou }) => iou))
    return { miou, masks: results.map(({ mask }) => mask), scores: results.map(({ scores }) => scores) }
  }
  const exact = await run('float32')
  for (const [precision, share, limit] of [
    ['bfloat16', 0.99, 0.3],
    ['int8', 0.98, 1],
  ] as const) {
    const rounded = await run(precision)
    assert.not.equal(rounded.scores, exact.scores, `${precision} gives other scores than float32`)
    const shares = rounded.masks.map((mask, i) => agreement(mask, exact.masks[i] as Uint8Array))
    const mean = shares.reduce((sum, one) => sum + one, 0) / shares.length
    assert.ok(mean >= share, `${precision}: ${mean} of the pixels agree`)
    assert.ok(Math.abs(rounded.miou - exact.miou) <= limit, `${precision}: mIoU ${rounded.miou} and ${exact.miou}`)
  }
})

test.run()
