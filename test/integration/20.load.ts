import { copyFileSync, writeFileSync } from 'node:fs'
import { join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { demoClasses, demoScenes } from '../../cli/src/demo/scenes.js'
import { Confusion, meanOfNumbers } from '../../cli/src/metrics/confusion.js'
import { autoPrecision } from '../../ts/auto_precision.js'
import { type LoadOptions, Segmenter, type SegmentResult } from '../../ts/index.js'
import { Archive } from './archive.js'
import {
  agreement,
  crop,
  inChild,
  load,
  modelPath,
  otherModelPath,
  reasonOf,
  rejects,
  root,
  type Scene,
  scene,
  temporaryFolder,
} from './support.js'

const folder = temporaryFolder()

/** A file in the temporary folder. */
function write(name: string, content: string | Buffer): string {
  const file = join(folder, name)
  writeFileSync(file, content)
  return file
}

const spoiled = (name: string, spoil: (archive: Archive) => void): string => {
  const archive = new Archive()
  spoil(archive)
  return write(name, archive.bytes())
}

let photo: Scene
test.before(async () => {
  photo = await scene('scene01')
})

/** What a segmenter says of a corner of a photo, to compare models by; closes it. */
async function answers(segmenter: Segmenter) {
  const classes = await segmenter.encodeClasses(photo.labels.slice(0, 2), { background: photo.background })
  const { mask, scores, cams } = await segmenter.segment(crop(photo, 64, 48), classes, { include: ['cams'] })
  await segmenter.close()
  return { mask, scores, cams: cams as Float32Array }
}

test('the embedded model says what it is, and cannot be told otherwise', async () => {
  const segmenter = await load()
  const { fingerprint, ...model } = segmenter.model
  assert.match(fingerprint, /^[0-9a-f]+$/)
  assert.equal(model, {
    path: modelPath,
    demo: true,
    patch: 16,
    width: 128,
    layers: 6,
    resolution: 128,
    embedding: 128,
    context: 77,
    device: 'cpu',
    precision: 'float32',
    photosAtATime: 2,
    heads: 2,
    activation: 'quickgelu',
    assumed: [],
  })
  assert.ok(Object.isFrozen(segmenter.model))
  await segmenter.close()
})

test("precision 'auto' is bfloat16 on processors that multiply it and float32 on others, and the model says which", async () => {
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

test('a path is taken from the working directory, and its model is no demo', async () => {
  const segmenter = await load(relative(process.cwd(), otherModelPath))
  const { path, demo, embedding } = segmenter.model
  assert.equal({ path, demo, embedding }, { path: otherModelPath, demo: false, embedding: 64 })
  await segmenter.close()
})

test('an archive keeps its answers when it is written anew', async () => {
  assert.equal(await answers(await load(spoiled('same.pt', () => {}))), await answers(await load()))
})

test('two loads of one archive, and one thread or three, give the same answers', async () => {
  const [two, one, three] = await Promise.all([load(), load(modelPath, { threads: 1 }), load(modelPath, { threads: 3 })])
  const expected = await answers(two)
  assert.equal(await answers(one), expected)
  assert.equal(await answers(three), expected)
})

const loadTwice = (path: string) => `
  const first = await clip.Segmenter.load(${path})
  const second = await clip.Segmenter.load(${path}, { threads: 1 })
  await Promise.all([first.close(), second.close()])
  return second.model.path`

test('the embedded model gives one process warning, and only when nothing else was named', () => {
  const withWarnings = `
    const warnings = []
    process.on('warning', ({ name, code, message }) => warnings.push({ name, code, message }))
    const path = await (async () => { ${loadTwice('undefined')} })()
    return { path, warnings }`
  type Warned = { path: string; warnings: { name: string; code: string; message: string }[] }
  for (const unnamed of [undefined, '']) {
    const { result, stderr } = inChild(withWarnings, { CLIP_ES_MODEL: unnamed })
    const { path, warnings } = result as Warned
    assert.is(path, modelPath)
    assert.equal(
      warnings.map(({ name, code }) => [name, code]),
      [['Warning', 'CLIP_ES_DEMO_MODEL']],
    )
    assert.match(warnings[0]?.message ?? '', /^clip-es: using the embedded demo model, .*not photographs/)
    assert.match(stderr, /^\(node:\d+\) \[CLIP_ES_DEMO_MODEL\] Warning: clip-es: using the embedded demo model/)
  }
  assert.equal(inChild(loadTwice('undefined'), { CLIP_ES_MODEL: undefined, NODE_NO_WARNINGS: '1' }), {
    result: modelPath,
    stderr: '',
  })
  const named = inChild(loadTwice(JSON.stringify(modelPath)), { CLIP_ES_MODEL: undefined })
  assert.equal(named, { result: modelPath, stderr: '' })
})

test('worker threads and the main thread announce it once between them', () => {
  const body = `
    const { Worker } = require('node:worker_threads')
    const source = 'require(${JSON.stringify(join(root, 'dist/index.js'))}).Segmenter.load(undefined, { threads: 1 }).then((one) => one.close())'
    const work = () => new Promise((done, failed) => new Worker(source, { eval: true }).on('error', failed).on('exit', done))
    const ended = await Promise.all([work(), work()])
    await clip.Segmenter.load().then((one) => one.close())
    return [...ended, await work()]`
  const { result, stderr } = inChild(body, { CLIP_ES_MODEL: undefined })
  assert.equal(result, [0, 0, 0])
  assert.is(stderr.match(/using the embedded demo model/g)?.length, 1, stderr)
})

test('$CLIP_ES_MODEL stands in for a path that is not given, and for no other', () => {
  const environment = { CLIP_ES_MODEL: otherModelPath }
  assert.equal(inChild(loadTwice('undefined'), environment), { result: otherModelPath, stderr: '' })
  assert.equal(inChild(loadTwice(JSON.stringify(modelPath)), environment), { result: modelPath, stderr: '' })
  const { error } = inChild(loadTwice('undefined'), { CLIP_ES_MODEL: join(folder, 'nothing.pt') })
  assert.is(error?.code, 'ERR_MODEL_READ')
  assert.match(error?.message ?? '', join(folder, 'nothing.pt'))
})

test('an option that is wrong is named with its value and with what it takes', async () => {
  const whole = 'a whole number from 1 to'
  const table: [unknown, ...string[]][] = [
    [null, 'options is null', 'an object'],
    ['cpu', "options is 'cpu'", 'an object'],
    [[], 'options is []', 'an object'],
    [() => {}, 'options is [Function', 'an object'],
    [{ treads: 2 }, "unknown option 'treads'", "did you mean 'threads'?"],
    [{ maxside: 2 }, "unknown option 'maxside'", "did you mean 'maxSide'?"],
    [
      { gpu: true },
      "unknown option 'gpu'",
      'known: model, device, precision, threads, concurrency, maxBatch, maxDelay, maxQueue, maxPixels, maxSide, signal',
    ],
    [{ device: 'gpu' }, "device is 'gpu'", "'auto', 'cpu', 'cuda' or 'cuda:N'"],
    [{ device: 'CPU' }, "device is 'CPU'", "'cpu'"],
    [{ device: 'cuda:' }, "device is 'cuda:'", "'cuda:N'"],
    [{ device: 'cuda:-1' }, "device is 'cuda:-1'", "'cuda:N'"],
    [{ device: 0 }, 'device is 0', "'cuda:N'"],
    [{ device: null }, 'device is null', "'cuda:N'"],
    [{ precision: 'float16' }, "unknown precision 'float16'", "did you mean 'bfloat16'?"],
    [
      { precision: 'int8', device: 'cuda' },
      "precision 'int8' is for processors, and device is 'cuda'",
      "'bfloat16' or 'float32'",
    ],
    [{ precision: 32 }, 'precision is 32', "'auto' or 'float32' or 'bfloat16'"],
    [{ signal: null }, 'signal is null', 'an AbortSignal'],
    [{ signal: new AbortController() }, 'signal is AbortController', 'an AbortSignal'],
    ...[0, -1, 1.5, 1025, Number.NaN, Number.POSITIVE_INFINITY].map((threads): [unknown, string, string] => [
      { threads },
      `threads is ${threads};`,
      `${whole} 1024`,
    ]),
    [{ threads: '2' }, "threads is '2'", `${whole} 1024`],
    [{ threads: 2n }, 'threads is 2n', `${whole} 1024`],
    [{ threads: null }, 'threads is null', `${whole} 1024`],
    ...[0, -1, 1.5, 65, Number.NaN].map((concurrency): [unknown, string, string] => [
      { concurrency },
      `concurrency is ${concurrency};`,
      `${whole} 64`,
    ]),
    ...[0, -1, 1.5, 257, Number.NaN].map((maxBatch): [unknown, string, string] => [
      { maxBatch },
      `maxBatch is ${maxBatch};`,
      `${whole} 256`,
    ]),
    ...[-1, 60_001, Number.NaN].map((maxDelay): [unknown, string, string] => [
      { maxDelay },
      `maxDelay is ${maxDelay};`,
      'a number from 0 to 60000',
    ]),
    ...[0, -1, 1.5, 1e7, Number.NaN, Number.POSITIVE_INFINITY].map((maxQueue): [unknown, string, string] => [
      { maxQueue },
      `maxQueue is ${maxQueue};`,
      `${whole} 1000000`,
    ]),
    ...[0, -1, 1e10, Number.NaN, Number.POSITIVE_INFINITY].map((maxPixels): [unknown, string, string] => [
      { maxPixels },
      `maxPixels is ${maxPixels};`,
      'a number from 1 to 2147483648',
    ]),
    [{ maxPixels: '1e6' }, "maxPixels is '1e6'", 'a number from 1'],
    ...[0, -1, 0.5, 1e10, Number.NaN, Number.NEGATIVE_INFINITY].map((maxSide): [unknown, string, string] => [
      { maxSide },
      `maxSide is ${maxSide};`,
      `${whole} 2147483647`,
    ]),
    [{ maxSide: '1024' }, "maxSide is '1024'", `${whole} 2147483647`],
  ]
  for (const [options, ...parts] of table)
    await rejects(Segmenter.load(modelPath, options as LoadOptions), 'ERR_INVALID_ARG', 'load(): ', ...parts)
})

test('the model is a path or a file URL, by itself or among the options', async () => {
  const url = pathToFileURL(otherModelPath)
  const options = { threads: 1, precision: 'float32' } as const
  const segmenters = await Promise.all([
    Segmenter.load({ model: otherModelPath, ...options }),
    Segmenter.load({ model: url, ...options }),
    Segmenter.load(url, options),
    Segmenter.load(undefined, { model: url, ...options } as LoadOptions),
  ])
  for (const segmenter of segmenters) {
    assert.is(segmenter.model.path, otherModelPath)
    assert.is(segmenter.model.photosAtATime, 1)
    await segmenter.close()
  }
})

test('one object with options and no model loads the default model, as no argument does', async () => {
  const own = await Segmenter.load({ threads: 1, model: undefined })
  assert.is(own.model.path, process.env.CLIP_ES_MODEL ?? modelPath)
  assert.is(own.model.photosAtATime, 1)
  await own.close()
})

test('a file URL with escaped characters names the file', async () => {
  const path = join(folder, 'with space # and %.pt')
  copyFileSync(otherModelPath, path)
  const segmenter = await Segmenter.load({ model: pathToFileURL(path), threads: 1 })
  assert.is(segmenter.model.path, path)
  await segmenter.close()
})

test('a model that is neither a path nor a file URL is refused with the value and the remedy', async () => {
  const table: [unknown, ...string[]][] = [
    ['', "model is ''", 'a text that is not empty'],
    [' ', "model is ' '", 'a text that is not empty'],
    [3, 'model is 3', 'a path or a file URL'],
    [true, 'model is true', 'a path or a file URL'],
    [null, 'model is null', 'a path or a file URL'],
    [`${modelPath}\0.png`, '\\x00', 'a path without a zero byte'],
    [new URL('file:///model%00.pt'), 'a path without a zero byte'],
    [new URL('https://example.org/a.pt'), "model is 'https://example.org/a.pt'", "scheme 'https'", 'download the file'],
    ['HTTPS://example.org/a.pt', "scheme 'HTTPS'", 'download the file'],
    ['file:///a.pt', "model is the text 'file:///a.pt'", 'new URL('],
    [new URL('file://server/a.pt'), "model is 'file://server/a.pt', which names no local file", 'write file:///path'],
    [new URL('data:,a'), "scheme 'data'", 'download the file'],
  ]
  for (const [model, ...parts] of table) {
    await rejects(Segmenter.load(model as string, {}), 'ERR_INVALID_ARG', 'load(): ', ...parts)
    await rejects(Segmenter.load({ model: model as string }), 'ERR_INVALID_ARG', 'load(): ', ...parts)
  }
  const cases: [unknown, unknown, string][] = [
    [{ threads: 1 }, {}, 'model is { threads: 1 }; expected a path or a file URL before the options, or one object'],
    [[], undefined, 'model is []; expected a path or a file URL'],
    [modelPath, { model: modelPath }, 'model is given twice'],
    [{ modle: modelPath }, undefined, "unknown option 'modle'; did you mean 'model'?"],
  ]
  for (const [first, second, part] of cases)
    await rejects(Segmenter.load(first as string, second as LoadOptions), 'ERR_INVALID_ARG', 'load(): ', part)
})

test("device 'auto' is the CPU, and the model says so", async () => {
  const segmenter = await load(modelPath, { device: 'auto' })
  assert.is(segmenter.model.device, 'cpu')
  await segmenter.close()
})

test("the masks of bfloat16 and int8 are those of float32 on 99 and 98 % of the scenes' pixels, their mIoU within 0.3 and 1 %", async () => {
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
    assert.not.equal(rounded.scores, exact.scores, `${precision} is arithmetic of its own`)
    const shares = rounded.masks.map((mask, i) => agreement(mask, exact.masks[i] as Uint8Array))
    const mean = shares.reduce((sum, one) => sum + one, 0) / shares.length
    assert.ok(mean >= share, `${precision}: ${mean} of the pixels agree`)
    assert.ok(Math.abs(rounded.miou - exact.miou) <= limit, `${precision}: mIoU ${rounded.miou} and ${exact.miou}`)
  }
})

test('clip-es.json in the archive changes what the model computes', async () => {
  const gelu = spoiled('gelu.pt', (archive) => archive.add('extra/clip-es.json', '{"activation": "gelu"}'))
  const same = spoiled('quick.pt', (archive) => archive.add('extra/clip-es.json', '{"activation": "quick_gelu"}'))
  const expected = await answers(await load())
  assert.not.equal((await answers(await load(gelu))).scores, expected.scores)
  assert.equal(await answers(await load(same)), expected)
})

test('an aborted signal rejects before anything is read, with its reason', async () => {
  const reason = new Error('not needed any more')
  assert.is(await reasonOf(load(join(folder, 'nothing.pt'), { signal: AbortSignal.abort(reason) })), reason)
  assert.is(await reasonOf(load(modelPath, { signal: AbortSignal.abort('why not') })), 'why not')
})

test('an abort while the model is read rejects with its reason, and the next load is none the worse', async () => {
  const expected = await answers(await load())
  const controller = new AbortController()
  const reason = { any: 'value' }
  const loading = load(modelPath, { signal: controller.signal })
  setImmediate(() => controller.abort(reason))
  assert.is(await reasonOf(loading), reason)
  assert.equal(await answers(await load()), expected)
})

test('an abort after the load does nothing', async () => {
  const controller = new AbortController()
  const segmenter = await load(modelPath, { signal: controller.signal })
  controller.abort()
  assert.equal(await answers(segmenter), await answers(await load()))
})

test.run()
