import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { demoClasses, demoScenes } from '../../cli/src/demo/scenes.js'
import { Confusion, meanOfNumbers } from '../../cli/src/metrics/confusion.js'
import { autoPrecision } from '../../ts/engine/auto_precision.js'
import type { SegmentResult } from '../../ts/index.js'
import { agreement, load, modelPath } from './support.js'

test("precision 'auto' is bfloat16 on CPUs that multiply it and float32 on others, and segmenter.model says which", async () => {
  const info = (flags: string): string => `processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: ${flags}\nbugs\t\t: \n`
  assert.is(autoPrecision(info('fpu avx2 avx512f avx512_bf16'), 'x64'), 'bfloat16')
  assert.is(autoPrecision(info('fpu amx_bf16 amx_tile avx2'), 'x64'), 'bfloat16')
  assert.is(autoPrecision(info('fpu avx2 avx512f avx512_vnni'), 'x64'), 'float32')
  const arm64 = (features: string): string => `processor\t: 0\nFeatures\t: ${features}\nCPU part\t: 0xd40\n`
  assert.is(autoPrecision(arm64('fp asimd asimddp i8mm bf16'), 'arm64'), 'bfloat16')
  assert.is(autoPrecision(arm64('fp asimd asimddp bf16'), 'arm64'), 'float32')
  assert.is(autoPrecision(arm64('fp asimd svebf16 svei8mm'), 'arm64'), 'float32')
  assert.is(autoPrecision(info('avx512_bf16'), 'arm64'), 'float32') // an emulator may show the file of the machine that it runs on
  assert.is(autoPrecision('', 'x64'), 'float32')
  assert.is(autoPrecision(info('avx512_bf16'), 'riscv64'), 'float32')
  const segmenter = await load(modelPath, { precision: 'auto' })
  assert.is(segmenter.model.precision, autoPrecision())
  await segmenter.close()
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
