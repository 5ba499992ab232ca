import {
  closeSync,
  copyFileSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { demoClasses, demoScenes } from '../../cli/src/demo/scenes.js'
import { Confusion, meanOfNumbers } from '../../cli/src/metrics/confusion.js'
import { autoPrecision } from '../../ts/auto_precision.js'
import { ClipEsError, type LoadOptions, Segmenter, type SegmentResult } from '../../ts/index.js'
import { installedLibTorch } from '../../ts/libtorch/find.js'
import { hasAmx } from '../../ts/native.js'
import {
  Archive,
  agreement,
  crop,
  inChild,
  load,
  modelPath,
  otherModelPath,
  pickled,
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
  })
  assert.ok(Object.isFrozen(segmenter.model))
  await segmenter.close()
})

test("precision 'auto' is bfloat16 on processors that multiply it and float32 on others, and the model says which", async () => {
  const info = (flags: string): string => `processor\t: 0\nmodel name\t: avx512_bf16\nflags\t\t: ${flags}\nbugs\t\t: \n`
  assert.is(autoPrecision(info('fpu avx2 avx512f avx512_bf16')), 'bfloat16')
  assert.is(autoPrecision(info('fpu amx_bf16 amx_tile avx2')), 'bfloat16')
  assert.is(autoPrecision(info('fpu avx2 avx512f avx512_vnni')), 'float32')
  assert.is(autoPrecision(''), 'float32')
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

test("device 'cuda' without CUDA is refused with the reason and the remedy, and the CPU is there as before", async () => {
  // tools/gpu_check.sh tests machines with a GPU.
  if (existsSync('/dev/nvidiactl')) return
  const [code, reason] = installedLibTorch()
    ? (['ERR_DEVICE_UNAVAILABLE', 'cannot be used'] as const)
    : (['ERR_LIBTORCH', 'needs a CUDA build of LibTorch'] as const)
  for (const [device, name] of [
    ['cuda', 'cuda:0'],
    ['cuda:0', 'cuda:0'],
    ['cuda:17', 'cuda:17'],
  ] as const)
    await rejects(
      load(modelPath, { device }),
      code,
      `device '${installedLibTorch() ? name : device}' ${reason}`,
      "or use device 'cpu'",
    )
  const again = await load(modelPath, { device: 'cpu' })
  assert.is(again.model.device, 'cpu')
  await again.close()
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

test('what cannot be opened is ERR_MODEL_READ with its path', async () => {
  const table: [string, string][] = [
    [join(folder, 'nothing.pt'), 'No such file'],
    [folder, 'Is a directory'],
    [join(modelPath, 'below.pt'), 'Not a directory'],
    ['/dev/null', 'not a regular file'],
    [write('empty.pt', ''), 'it is empty'],
  ]
  for (const [path, why] of table) await rejects(load(path), 'ERR_MODEL_READ', path, why)
})

test('a file of another kind is ERR_MODEL_FORMAT, and one that people do hand over is known by name', async () => {
  const table: [string, string | Buffer, string][] = [
    ['text.pt', 'This is a text.\n'.repeat(100), 'not a TorchScript archive'],
    ['byte.pt', 'P', 'not a TorchScript archive'],
    ['photo.pt', readFileSync(join(root, 'models/scenes/scene01.png')), 'not a TorchScript archive'],
    [
      'legacy.pt',
      Buffer.from(`8002 8a0a 6cfc 9c46 f920 6aa8 5019${'00'.repeat(200)}`.replaceAll(' ', ''), 'hex'),
      'before PyTorch 1.6',
    ],
    ['pickle.pt', Buffer.from(`8004${'95'.repeat(99)}`, 'hex'), 'bare Python pickle'],
    ['weights.pt', Buffer.from('\x40\0\0\0\0\0\0\0{"__metadata__":{}}', 'latin1'), 'safetensors'],
    ['pointer.pt', 'version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n', 'git lfs pull'],
    ['page.pt', '<!DOCTYPE html><html><body>Not found</body></html>', 'web page'],
    ['zip.pt', Buffer.from(`504b0506${'00'.repeat(18)}`, 'hex'), 'without data.pkl'],
  ]
  for (const [name, content, why] of table) await rejects(load(write(name, content)), 'ERR_MODEL_FORMAT', join(folder, name), why)
})

test('a damaged archive is ERR_MODEL_FORMAT and names what is wrong with which tensor', async () => {
  const shape = (rows: number, columns: number) => Buffer.from([0x28, 0x4b, rows, 0x4b, columns, 0x74])
  const reshape = (rows: number, columns: number) => (archive: Archive) => {
    const pickle = archive.record('data.pkl')
    const at = pickle.indexOf(shape(64, 128), pickle.indexOf('text_projection'))
    shape(rows, columns).copy(pickle, at)
  }
  const rename = (from: string, to: string) => (archive: Archive) => archive.patchPickle(pickled(from), pickled(to))
  const table: [string, (archive: Archive) => void, ...string[]][] = [
    ['nan.pt', (a) => a.record('data/0').writeFloatLE(Number.NaN, 4 * 99), 'tensor positional_embedding', 'not finite (nan)'],
    ['infinite.pt', (a) => a.record('data/86').writeUInt16LE(0xfc00, 6e6), 'tensor token_embedding.weight', 'not finite (-inf)'],
    ['rows.pt', reshape(32, 128), 'tensor text_projection is (32, 128)', '(64, 128)'],
    ['columns.pt', reshape(64, 64), 'tensor visual.proj is (128, 128)', 'the embedding is 64'],
    ['reach.pt', reshape(65, 128), 'tensor text_projection', 'of a storage that has 8192'],
    ['missing.pt', rename('ln_post', 'ln_last'), 'tensor visual.ln_post.weight is missing'],
    ['text.pt', rename('token_embedding', 'words'), 'tensor token_embedding.weight is missing'],
    ['resnet.pt', rename('conv1', 'layer1.0.conv1'), 'ResNet', 'ViT-B-16.pt'],
    ['config.pt', (a) => a.add('extra/clip-es.json', '{"activation": "relu"}'), 'clip-es.json: activation is "relu"'],
    ['heads.pt', (a) => a.add('extra/clip-es.json', '{"heads": {"image": 3}}'), 'width 128', '3 heads'],
    ['json.pt', (a) => a.add('extra/clip-es.json', '{"heads"'), 'clip-es.json'],
  ]
  for (const [name, spoil, ...parts] of table) {
    const file = spoiled(name, spoil)
    await rejects(load(file), 'ERR_MODEL_FORMAT', file, ...parts)
  }
})

test('clip-es.json in the archive changes what the model computes', async () => {
  const gelu = spoiled('gelu.pt', (archive) => archive.add('extra/clip-es.json', '{"activation": "gelu"}'))
  const same = spoiled('quick.pt', (archive) => archive.add('extra/clip-es.json', '{"activation": "quick_gelu"}'))
  const expected = await answers(await load())
  assert.not.equal((await answers(await load(gelu))).scores, expected.scores)
  assert.equal(await answers(await load(same)), expected)
})

test('an archive cut off anywhere is an error with its path', async () => {
  const file = join(folder, 'cut.pt')
  copyFileSync(modelPath, file)
  const size = statSync(file).size
  const descriptor = openSync(file, 'r+')
  const lengths = [
    ...Array.from({ length: 150 }, (_, i) => size - 1 - i),
    ...Array.from({ length: 100 }, (_, i) => size - 151 - i * 151),
    ...Array.from({ length: 60 }, (_, i) => Math.round((size * (60 - i)) / 61)),
    ...[100, 31, 30, 22, 21, 4, 3, 1],
  ].sort((a, b) => b - a)
  for (const length of lengths) {
    ftruncateSync(descriptor, length)
    await rejects(load(file, { threads: 1 }), 'ERR_MODEL_FORMAT', file, /directory|cut short|TorchScript|download/)
  }
  closeSync(descriptor)
})

/** The same numbers in every run. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return Math.floor((state / 2 ** 32) * below)
  }
}

interface Damage {
  at: number
  bit: number
}

/** Bits to flip: in the directory, in headers and pickles, and in the weights. */
function damages(bytes: Buffer): Damage[] {
  const random = randomNumbers(1)
  const directory = bytes.readUInt32LE(bytes.lastIndexOf('PK\x05\x06', undefined, 'latin1') + 16)
  const pickle = bytes.indexOf('data.pkl')
  const headers: number[] = []
  for (let at = 0; at >= 0 && at < directory; at = bytes.indexOf('PK\x03\x04', at + 1, 'latin1')) headers.push(at)
  const spread = (count: number, place: () => number) => Array.from({ length: count }, () => ({ at: place(), bit: random(8) }))
  return [
    ...spread(120, () => directory + random(bytes.length - directory)),
    ...spread(30, () => bytes.length - 1 - random(98)), // the zip's end records
    ...spread(80, () => (headers[random(headers.length)] as number) + random(30)),
    ...spread(80, () => pickle + random(8500)),
    ...spread(90, () => random(directory)),
  ]
}

test('a bit flipped anywhere gives an error with a code, or the same answers as before', async () => {
  const bytes = readFileSync(modelPath)
  const expected = await answers(await load())
  const file = write('flipped.pt', bytes)
  const descriptor = openSync(file, 'r+')
  const outcomes = { refused: 0, same: 0 }
  for (const { at, bit } of damages(bytes)) {
    const original = bytes[at] as number
    writeSync(descriptor, Buffer.of(original ^ (1 << bit)), 0, 1, at)
    const segmenter = await load(file, { threads: 1 }).catch((error: unknown) => error)
    writeSync(descriptor, Buffer.of(original), 0, 1, at)
    if (segmenter instanceof Segmenter) {
      assert.equal(await answers(segmenter), expected, `bit ${bit} of byte ${at}`)
      outcomes.same++
    } else {
      assert.instance(segmenter, ClipEsError, `bit ${bit} of byte ${at}: ${segmenter}`)
      assert.is((segmenter as ClipEsError).code, 'ERR_MODEL_FORMAT')
      outcomes.refused++
    }
  }
  closeSync(descriptor)
  assert.is(outcomes.same + outcomes.refused, 400)
  assert.ok(outcomes.refused > 200 && outcomes.same > 10, JSON.stringify(outcomes))
})

test('a bit flipped in the pickle under a right checksum gives an error with a code, or a model with finite answers', async () => {
  const random = randomNumbers(2)
  const outcomes = { refused: 0, loaded: 0 }
  for (let i = 0; i < 60; i++) {
    const file = spoiled('pickle.pt', (archive) => {
      const pickle = archive.record('data.pkl')
      const at = random(pickle.length)
      pickle[at] = (pickle[at] as number) ^ (1 << random(8))
    })
    const segmenter = await load(file, { threads: 1 }).catch((error: unknown) => error)
    if (segmenter instanceof Segmenter) {
      const { scores, cams } = await answers(segmenter)
      assert.ok(scores.every(Number.isFinite) && cams.every(Number.isFinite), `flip ${i}`)
      outcomes.loaded++
    } else {
      assert.instance(segmenter, ClipEsError, `flip ${i}: ${segmenter}`)
      assert.is((segmenter as ClipEsError).code, 'ERR_MODEL_FORMAT')
      outcomes.refused++
    }
  }
  assert.ok(outcomes.refused > 20 && outcomes.loaded > 3, JSON.stringify(outcomes))
})

const loadCuda = "return (await clip.Segmenter.load(undefined, { device: 'cuda' })).close()"

/** A folder that looks like a LibTorch to a finder. */
function folderWithLibrary(name: string, place: (file: string) => void): string {
  const file = join(folder, name, 'lib/libtorch_cpu.so')
  mkdirSync(dirname(file), { recursive: true })
  place(file)
  return join(folder, name)
}

test("device 'cuda' with a $CLIP_ES_LIBTORCH that cannot be loaded is ERR_LIBTORCH with its path and the remedy", () => {
  const report = process.report?.getReport() as unknown as { sharedObjects: string[] }
  const mathematics = report.sharedObjects.find((path) => path.includes('/libm.so')) as string
  const table: [string, string][] = [
    [join(folder, 'nothing'), 'neither lib/libtorch_cpu.so nor libtorch_cpu.so is there'],
    [folderWithLibrary('text', (file) => writeFileSync(file, 'no library')), 'does not load'],
    [folderWithLibrary('other', (file) => symlinkSync(mathematics, file)), /lacks \d+ functions/.source],
  ]
  for (const [path, why] of table) {
    const { error } = inChild(loadCuda, { CLIP_ES_LIBTORCH: path })
    assert.is(error?.code, 'ERR_LIBTORCH')
    for (const part of [path, new RegExp(why), 'npx clip-es setup --cuda']) assert.match(error?.message ?? '', part)
  }
})

test("device 'cuda' without a LibTorch: the error names the command that fetches one", () => {
  const { error } = inChild(loadCuda, { CLIP_ES_LIBTORCH: undefined, CLIP_ES_CACHE: join(folder, 'cache') })
  assert.is(error?.code, 'ERR_LIBTORCH')
  assert.match(error?.message ?? '', "device 'cuda' needs a CUDA build of LibTorch")
  assert.match(error?.message ?? '', 'npx clip-es setup --cuda')
})

const segmentOnce = `
  const segmenter = await clip.Segmenter.load(undefined, { precision: PRECISION })
  const classes = await segmenter.encodeClasses(['cat', 'dog'])
  const { mask } = await segmenter.segment({ data: new Uint8Array(3 * 48 * 32).fill(99), width: 48, height: 32 }, classes)
  await segmenter.close()
  return [mask.length, /libtorch/.test(require('node:fs').readFileSync('/proc/self/maps', 'utf8'))]`

test('a CPU without AMX segments without loading LibTorch, whatever $CLIP_ES_LIBTORCH says', () => {
  const libtorch = installedLibTorch()?.folder
  if (hasAmx()) return console.log('skipped: a CPU without AMX: this one has AMX')
  for (const precision of ['float32', 'bfloat16', 'int8'])
    for (const path of libtorch ? [libtorch, '/nowhere'] : ['/nowhere']) {
      const { result, error } = inChild(segmentOnce.replace('PRECISION', `'${precision}'`), { CLIP_ES_LIBTORCH: path })
      assert.equal([result, error], [[48 * 32, false], undefined])
    }
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
