import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentOptions, SegmentResult } from '../../ts/index.js'
import { readMask } from '../../ts/photos/mask_png.js'
import { agreement, crop, largestDifference, load, reasonOf, rejects, root, type Scene, scene } from './support.js'

let segmenter: Segmenter
let photo: Scene
let classes: ClassSet // of the photo's labels, and one more
let small: ReturnType<typeof crop> // the photo's upper left corner, for what does not depend on the photo
let first: SegmentResult

const everything = { include: ['confidence', 'cams'] } as const

test.before(async () => {
  segmenter = await load()
  photo = await scene('scene01')
  classes = await segmenter.encodeClasses([...photo.labels, 'cat'], { background: photo.background })
  small = crop(photo, 80, 56)
  first = await segmenter.segment(small, classes, everything)
})

test.after(() => segmenter.close())

const withoutTimings = ({ timings, ...rest }: SegmentResult) => rest
const segment = (options?: SegmentOptions, image: ImageData = small) => segmenter.segment(image, classes, options)

/** Is refused, and the segmenter gives the answer afterwards that it gave at first. */
async function refused(image: unknown, options: unknown, ...parts: (string | RegExp)[]): Promise<void> {
  const promise = segmenter.segment(image as ImageData, classes, options as SegmentOptions)
  await rejects(promise, 'ERR_INVALID_ARG', 'segment(): ', ...parts)
  assert.equal(withoutTimings(await segment(everything)), withoutTimings(first))
}

test('a result has the size of the photo, its labels, their scores and a mask, and nothing that was not asked for', async () => {
  const result = await segmenter.segment(photo, classes)
  assert.equal(Object.keys(result).sort(), ['height', 'labels', 'mask', 'scores', 'timings', 'width'])
  assert.equal([result.width, result.height], [320, 240])
  assert.equal(result.labels, ['elephant', 'television', 'panda', 'cat'])
  assert.instance(result.scores, Float32Array)
  assert.is(result.scores.length, 4)
  assert.is(result.mask.constructor, Uint8Array)
  assert.is(result.mask.length, 320 * 240)
  assert.ok(result.mask.every((value) => value <= 4))
  assert.equal(Object.keys(result.timings), ['queue', 'preprocess', 'encode', 'gradcam', 'refine', 'mask', 'crf'])
  for (const milliseconds of Object.values(result.timings)) assert.ok(milliseconds >= 0 && milliseconds < 3_600_000)
})

test('timings are milliseconds: together they are most of the time that the call took', async () => {
  const begin = performance.now()
  const { timings } = await segmenter.segment(photo, classes)
  const elapsed = performance.now() - begin
  const sum = Object.values(timings).reduce((total, time) => total + time, 0)
  assert.ok(sum > elapsed / 4 && sum <= elapsed + 5, `${sum} of ${elapsed} ms`)
})

test('the masks of a scene are where its objects are', async () => {
  const { data: truth } = await readMask(readFileSync(join(root, 'models/scenes/scene01_mask.png')))
  const { mask } = await segmenter.segment(photo, classes, { labels: photo.labels })
  for (const [k, label] of photo.labels.entries()) {
    const both = mask.filter((value, i) => value === k + 1 && truth[i] === k + 1).length
    const either = mask.filter((value, i) => value === k + 1 || truth[i] === k + 1).length
    assert.ok(both / either > 0.4, `${label}: ${both} of ${either} pixels`)
  }
})

test('confidence and cams come when asked for, at the size of the photo', async () => {
  const { confidence, cams, mask } = await segment({ include: ['confidence', 'cams'] })
  assert.instance(confidence, Float32Array)
  assert.is(confidence?.length, 80 * 56)
  assert.instance(cams, Float32Array)
  assert.is(cams?.length, 4 * 80 * 56)
  assert.ok(cams?.every((value) => value >= 0 && value <= 1))
  assert.equal(mask, first.mask)
  assert.equal(
    Object.keys(await segment({ include: ['cams'] })).filter((key) => key === 'confidence'),
    [],
  )
  assert.equal((await segment({ include: [] })).mask, first.mask)
})

test('RGB, RGBA, and views anywhere in memory give the same answer', async () => {
  const { data, width, height } = small
  const pixels = width * height
  const rgba = Uint8Array.from({ length: 4 * pixels }, (_, i) => (i % 4 === 3 ? i * 7 : (data[(i >> 2) * 3 + (i % 4)] as number)))
  const around = new Uint8Array(data.length + 100).fill(99)
  around.set(data, 37)
  const forms: [string, ImageData['data']][] = [
    ['RGBA, whatever the alpha', rgba],
    ['Uint8ClampedArray', new Uint8ClampedArray(data)],
    ['Buffer', Buffer.from(data)],
    ['a Buffer in a pool', Buffer.concat([Buffer.from('some'), data]).subarray(4)],
    ['a part of an array', around.subarray(37, 37 + data.length)],
    ['a clamped part', new Uint8ClampedArray(around.buffer, 37, data.length)],
  ]
  for (const [name, form] of forms)
    assert.equal(withoutTimings(await segment(everything, { data: form, width, height })), withoutTimings(first), name)
})

test('grey bytes give the answer of the same grey in three channels', async () => {
  const { width, height } = small
  const grey = Uint8Array.from({ length: width * height }, (_, i) => small.data[3 * i] as number)
  const rgb = Uint8Array.from({ length: 3 * grey.length }, (_, i) => grey[Math.floor(i / 3)] as number)
  const [one, three] = [await segment(everything, { ...small, data: grey }), await segment(everything, { ...small, data: rgb })]
  assert.equal(withoutTimings(one), withoutTimings(three))
  assert.not.equal(one.scores, first.scores)
})

/** The same pixels in another order of bytes, each row padded with noise. */
function laidOut(order: readonly number[], padding: number) {
  const { data, width, height } = small
  const rowBytes = width * order.length + padding
  const bytes = Uint8Array.from({ length: rowBytes * height }, (_, i) => i * 7)
  for (let y = 0; y < height; y++)
    for (let x = 0; x < width; x++)
      for (const [i, c] of order.entries())
        if (c < 3) bytes[y * rowBytes + x * order.length + i] = data[3 * (y * width + x) + c] as number
  return { data: bytes, width, height, rowBytes }
}

test('BGRA and padded rows give the answer of packed RGB, also for an encoded photo and a CRF', async () => {
  const options = { ...everything, crf: true }
  const plain = withoutTimings(await segment(options))
  const forms: ImageData[] = [
    { ...laidOut([0, 1, 2], 5), channels: 'rgb' },
    { ...laidOut([0, 1, 2, 3], 16), channels: 4 },
    { ...laidOut([2, 1, 0, 3], 0), channels: 'bgra' },
    { ...laidOut([2, 1, 0, 3], 64), channels: 'bgra' },
  ]
  for (const form of forms) {
    const cut = form.data.subarray(
      0,
      form.data.length - (form.rowBytes as number) + small.width * (form.channels === 'rgb' ? 3 : 4),
    )
    for (const image of [form, { ...form, data: cut }]) {
      assert.equal(withoutTimings(await segment(options, image)), plain, String(form.channels))
      using encoded = await segmenter.encode(image)
      assert.equal(withoutTimings(await encoded.segment(classes, options)), plain, String(form.channels))
    }
  }
})

test("sharp's result with info is an image as it is", async () => {
  const raw = { width: small.width, height: small.height, channels: 3 } as const
  const image = await sharp(Buffer.from(small.data), { raw }).ensureAlpha().raw().toBuffer({ resolveWithObject: true })
  assert.equal(withoutTimings(await segmenter.segment(image, classes, everything)), withoutTimings(first))
})

test('labels by name and by index are the same, and the mask keeps the numbers of the class set', async () => {
  const byName = await segment({ labels: ['panda', 'elephant'], ...everything })
  assert.equal(byName.labels, ['panda', 'elephant'])
  assert.is(byName.scores.length, 2)
  assert.is(byName.cams?.length, 2 * 80 * 56)
  assert.ok(byName.mask.every((value) => [0, 1, 3].includes(value)) && byName.mask.includes(1))
  for (const labels of [
    [2, 0],
    ['panda', 0],
    [2, 'elephant'],
  ])
    assert.equal(withoutTimings(await segment({ labels, ...everything })), withoutTimings(byName))
})

test('the order of labels is the order of scores and cams, and leaves the mask as it is', async () => {
  const forth = await segment({ labels: [0, 1, 2, 3], ...everything })
  const back = await segment({ labels: [3, 2, 1, 0], ...everything })
  assert.equal(withoutTimings(forth), withoutTimings(first))
  assert.equal(back.labels, [...forth.labels].reverse())
  assert.ok(largestDifference(back.scores.slice().reverse(), forth.scores) < 1e-6)
  const pixels = 80 * 56
  for (let k = 0; k < 4; k++) {
    const [a, b] = [forth.cams?.subarray(k * pixels, (k + 1) * pixels), back.cams?.subarray((3 - k) * pixels, (4 - k) * pixels)]
    assert.ok(largestDifference(a as Float32Array, b as Float32Array) < 1e-4)
  }
  assert.ok(agreement(forth.mask, back.mask) > 0.999)
})

test('scores are a softmax over labels and background: under one together, and fewer labels leave more to each', async () => {
  const sum = first.scores.reduce((a, b) => a + b)
  assert.ok(first.scores.every((score) => score > 0) && sum < 1)
  const { scores } = await segment({ labels: [0, 1] })
  assert.ok((scores[0] as number) > (first.scores[0] as number) && (scores[1] as number) > (first.scores[1] as number))
  const ratio = (values: Float32Array) => (values[0] as number) / (values[1] as number)
  assert.ok(Math.abs(ratio(scores) / ratio(first.scores) - 1) < 1e-5)
})

/** The mask and confidence that these maps mean, as the documentation says it. */
function maskOf(cams: Float32Array, power: number, ignoreBelow: number) {
  const pixels = 80 * 56
  const mask = new Uint8Array(pixels)
  const confidence = new Float32Array(pixels)
  for (let i = 0; i < pixels; i++) {
    const maps = [0, 1, 2, 3].map((k) => cams[k * pixels + i] as number)
    const most = Math.max(...maps)
    const background = Math.fround(1 - most) ** power
    confidence[i] = Math.max(background, most)
    mask[i] = background >= most ? 0 : maps.indexOf(most) + 1
    if ((confidence[i] as number) < Math.fround(ignoreBelow)) mask[i] = 255
  }
  return { mask, confidence }
}

test('mask and confidence follow from the cams by backgroundPower and ignoreBelow', async () => {
  for (const refine of [true, false])
    for (const backgroundPower of [0, 0.5, 1, 3, 100])
      for (const ignoreBelow of [0, 0.6, 0.9, 1]) {
        const options = { refine, backgroundPower, ignoreBelow, ...everything }
        const { mask, confidence, cams } = await segment(options)
        const expected = maskOf(cams as Float32Array, backgroundPower, ignoreBelow)
        const what = JSON.stringify(options)
        assert.ok(largestDifference(confidence as Float32Array, expected.confidence) < 1e-6, what)
        if (backgroundPower === 1) assert.equal(mask, expected.mask, what)
        assert.ok(agreement(mask, expected.mask) > 0.999, what)
      }
})

test('a power of nought leaves background alone, a large one next to none', async () => {
  assert.ok((await segment({ backgroundPower: 0 })).mask.every((value) => value === 0))
  const rest = (await segment({ backgroundPower: 1e6 })).mask.filter((value) => value === 0).length
  assert.ok(rest < first.mask.filter((value) => value === 0).length / 2)
})

test('ignoreBelow ignores more the higher it is, and only what is less confident', async () => {
  const ignored = async (ignoreBelow: number) => (await segment({ ignoreBelow })).mask.filter((value) => value === 255).length
  const counts = [await ignored(0), await ignored(0.5), await ignored(0.7), await ignored(0.9), await ignored(1)]
  assert.is(counts[0], 0)
  assert.is(counts[1], 0) // of two numbers that add up to one, the larger is at least a half
  assert.equal(
    counts,
    [...counts].sort((a, b) => a - b),
  )
  assert.ok((counts[4] as number) > (counts[2] as number))
})

test('refine and boxThreshold change the maps and not the scores', async () => {
  const plain = await segment({ refine: false, ...everything })
  assert.not.equal(plain.cams, first.cams)
  assert.equal(plain.scores, first.scores)
  const [low, high] = [await segment({ boxThreshold: 0.1, ...everything }), await segment({ boxThreshold: 0.9, ...everything })]
  assert.not.equal(low.cams, high.cams)
  assert.equal(high.scores, first.scores)
  assert.equal((await segment({ boxThreshold: 0.4, ...everything })).cams, first.cams)
  for (const boxThreshold of [0, 1]) {
    const { cams, confidence } = await segment({ boxThreshold, ...everything })
    assert.ok(cams?.every((value) => value >= 0 && value <= 1) && confidence?.every((value) => value >= 0.5 && value <= 1))
  }
})

test('memory of the caller is filled in place and given back', async () => {
  const pixels = 80 * 56
  const around = new ArrayBuffer(8 * pixels)
  const output = {
    mask: new Uint8Array(pixels).fill(7),
    confidence: new Float32Array(around, 16, pixels).fill(7),
    cams: new Float32Array(4 * pixels).fill(7),
  }
  const result = await segment({ output })
  for (const part of ['mask', 'confidence', 'cams'] as const) assert.is(result[part], output[part])
  assert.equal(withoutTimings(result), withoutTimings(first))
  assert.ok(new Uint8Array(around, 0, 16).every((byte) => byte === 0))
  assert.ok(new Uint8Array(around, 16 + 4 * pixels).every((byte) => byte === 0))
  const buffer = Buffer.alloc(pixels)
  assert.is((await segment({ output: { mask: buffer } })).mask, buffer)
  assert.equal(new Uint8Array(buffer), first.mask)
})

test('output of another length or type, or where it must not lie, is refused', async () => {
  const pixels = 80 * 56
  const shared = new SharedArrayBuffer(4 * pixels)
  const resizable = Reflect.construct(ArrayBuffer, [pixels, { maxByteLength: 2 * pixels }]) as ArrayBuffer
  const one = new ArrayBuffer(8 * pixels)
  const detached = new Uint8Array(pixels)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  const withImage = new Uint8Array(4 * pixels)
  const table: [unknown, ...string[]][] = [
    [{ mask: new Uint8Array(pixels - 1) }, 'output.mask has 4479 elements; this image and these labels need 4480'],
    [{ mask: new Uint8Array(pixels + 1) }, 'output.mask has 4481 elements', 'need 4480'],
    [{ mask: new Uint8ClampedArray(pixels) }, 'output.mask is Uint8ClampedArray', 'expected a Uint8Array'],
    [{ mask: new Array(pixels).fill(0) }, 'output.mask is [', 'expected a Uint8Array'],
    [{ mask: null }, 'output.mask is null', 'expected a Uint8Array'],
    [{ mask: new Uint8Array(shared, 0, pixels) }, 'output.mask lies in a SharedArrayBuffer', 'copy it first'],
    [{ mask: new Uint8Array(resizable) }, 'output.mask lies in a resizable ArrayBuffer', 'copy it first'],
    [{ mask: detached }, 'output.mask has 0 elements'],
    [{ confidence: new Float64Array(pixels) }, 'output.confidence is Float64Array', 'expected a Float32Array'],
    [{ confidence: new Float32Array(1) }, 'output.confidence has 1 elements', 'need 4480'],
    [{ confidence: new Float32Array(shared, 0, pixels) }, 'output.confidence lies in a SharedArrayBuffer'],
    [{ cams: new Float32Array(pixels) }, 'output.cams has 4480 elements', 'need 17920'],
    [{ cam: new Float32Array(pixels) }, "unknown option 'cam'", "did you mean 'cams'?"],
    [{ scores: new Float32Array(4) }, "unknown option 'scores'", 'known: mask, confidence, cams'],
    [new Uint8Array(pixels), 'unknown option'],
    [null, 'options is null'],
    [{ mask: new Uint8Array(one, 4 * pixels - 1, pixels), confidence: new Float32Array(one, 0, pixels) }, 'overlap in memory'],
  ]
  for (const [output, ...parts] of table) await refused(small, { output }, ...parts)
  withImage.set(small.data)
  const image = { ...small, data: withImage.subarray(0, 3 * pixels) }
  await refused(image, { output: { mask: withImage.subarray(0, pixels) } }, 'image.data', 'output.mask', 'overlap in memory')
  await refused(image, { output: { mask: withImage.subarray(3 * pixels - 1, 4 * pixels - 1) } }, 'overlap in memory')
  const beside = await segment({ output: { mask: withImage.subarray(3 * pixels) } }, image)
  assert.equal(beside.mask, first.mask)
})

test('an image that is wrong is refused with its numbers', async () => {
  const shared = new Uint8Array(new SharedArrayBuffer(12))
  const resizable = new Uint8Array(Reflect.construct(ArrayBuffer, [12, { maxByteLength: 24 }]) as ArrayBuffer)
  const detached = new Uint8Array(12)
  structuredClone(detached.buffer, { transfer: [detached.buffer] })
  const image = (data: unknown, width: unknown = 2, height: unknown = 2) => ({ data, width, height })
  const bytes = new Uint8Array(12)
  const whole = 'a whole number from 1 to 2147483647'
  const table: [unknown, ...string[]][] = [
    [undefined, 'image is undefined', '{ data, width, height }'],
    [null, 'image is null', '{ data, width, height }'],
    ['photo.jpg', "image is 'photo.jpg'", '{ data, width, height }'],
    [{}, 'image.width is undefined', whole],
    [bytes, 'image.width is undefined', whole],
    [
      image(new Uint8Array(562499), 500, 375),
      'image.data has 562499 bytes; 500 x 375 needs 187500 (grey), 562500 (RGB) or 750000 (RGBA)',
    ],
    [image(new Uint8Array(8)), 'image.data has 8 bytes; 2 x 2 needs 4 (grey), 12 (RGB) or 16 (RGBA)'],
    [image(new Uint8Array(0)), 'image.data has 0 bytes'],
    [image(readFileSync(join(root, 'models/scenes/scene01.png')), 320, 240), '320 x 240 needs 76800 (grey), 230400 (RGB)'],
    [{ ...image(bytes), channels: 'bgr' }, "image.channels is 'bgr'", "'grey', 'rgb', 'rgba' or 'bgra', or 1, 3 or 4"],
    [{ data: new Uint8Array(8), info: { width: 2, height: 2, channels: 2 } }, 'image.channels is 2', 'removeAlpha()'],
    [{ ...image(bytes), channels: 'bgra' }, 'image.data has 12 bytes; 2 x 2 BGRA needs 16', 'check width, height'],
    [{ ...image(bytes), rowBytes: 6 }, 'image.rowBytes is 6 without image.channels'],
    [{ ...image(bytes), channels: 'rgb', rowBytes: 5 }, 'image.rowBytes is 5', 'a whole number from 6 to 2147483647'],
    [{ ...image(bytes), channels: 3, rowBytes: 8 }, 'RGB with rows of 8 bytes needs 16, or 14 without the padding'],
    [{ ...image(new Uint8Array(17)), channels: 3, rowBytes: 8 }, 'image.data has 17 bytes'],
    [image([0, 0, 0, 0]), 'image.data is [', 'decode files first'],
    [image(undefined), 'image.data is undefined', 'a Uint8Array, Uint8ClampedArray or Buffer'],
    [image('photo.jpg'), "image.data is 'photo.jpg'", 'decode files first, for example with sharp'],
    [image(bytes.buffer), 'image.data is ArrayBuffer', 'a Uint8Array'],
    [image(new Uint16Array(12)), 'image.data is Uint16Array', 'a Uint8Array'],
    [image(new Int8Array(12)), 'image.data is Int8Array', 'a Uint8Array'],
    [image(new DataView(bytes.buffer)), 'image.data is DataView', 'a Uint8Array'],
    [image(shared), 'image.data lies in a SharedArrayBuffer', 'copy it first'],
    [image(resizable), 'image.data lies in a resizable ArrayBuffer', 'copy it first'],
    [image(bytes, 0), 'image.width is 0', whole],
    [image(bytes, 2, -2), 'image.height is -2', whole],
    [image(bytes, 1.5), 'image.width is 1.5', whole],
    [image(bytes, Number.NaN), 'image.width is NaN', whole],
    [image(bytes, Number.POSITIVE_INFINITY), 'image.width is Infinity', whole],
    [image(bytes, '2'), "image.width is '2'", whole],
    [image(bytes, 2, null), 'image.height is null', whole],
    [image(bytes, 2 ** 31), 'image.width is 2147483648', whole],
    [image(bytes, 2 ** 31 - 1, 2 ** 31 - 1), 'image of 2147483647 x 2147483647 pixels', 'from 1 to 100000000'],
  ]
  for (const [wrong, ...parts] of table) await refused(wrong, {}, ...parts)
  await refused(image(detached), {}, /image\.data (has 0 bytes|lies in a detached ArrayBuffer)/)
})

test('an option that is wrong is named with its value and with what it takes', async () => {
  const table: [unknown, ...string[]][] = [
    [null, 'options is null', 'an object'],
    ['panda', "options is 'panda'", 'an object'],
    [['panda'], "options is [ 'panda' ]", 'an object'],
    [{ label: ['panda'] }, "unknown option 'label'", "did you mean 'labels'?"],
    [{ threshold: 0.4 }, "unknown option 'threshold'", 'known: labels, labelThreshold, refine, boxThreshold'],
    [{ labels: 'panda' }, "labels is 'panda'", 'an array'],
    [{ labels: [] }, 'labels has 0 elements; expected 1 or more'],
    [{ labels: ['pandas'] }, "unknown label 'pandas'", "did you mean 'panda'?", 'known: elephant, television, panda, cat'],
    [{ labels: ['sky'] }, "unknown label 'sky'", 'known: elephant'],
    [{ labels: [4] }, 'labels[0] is 4', 'a whole number from 0 to 3'],
    [{ labels: [0, -1] }, 'labels[1] is -1', 'a whole number from 0 to 3'],
    [{ labels: [0.5] }, 'labels[0] is 0.5', 'a whole number from 0 to 3'],
    [{ labels: [Number.NaN] }, 'labels[0] is NaN', 'a whole number from 0 to 3'],
    [{ labels: [null] }, 'labels[0] is null', 'the name of a class, or its index'],
    [{ labels: new Array(1) }, 'labels[0] is undefined', 'the name of a class, or its index'],
    [{ labels: ['panda', 'panda'] }, "labels has 'panda' twice"],
    [{ labels: ['panda', 2] }, "labels has 'panda' twice"],
    [{ refine: 1 }, 'refine is 1', 'true or false'],
    [{ refine: null }, 'refine is null', 'true or false'],
    ...['boxThreshold', 'ignoreBelow'].flatMap((name): [unknown, string, string][] =>
      [-0.1, 1.1, Number.NaN, Number.POSITIVE_INFINITY, '0.4', null].map((value) => [
        { [name]: value },
        `${name} is ${value === '0.4' ? "'0.4'" : value}`,
        'a number from 0 to 1',
      ]),
    ),
    ...[-1, Number.NaN, Number.POSITIVE_INFINITY, 1e7].map((value): [unknown, string, string] => [
      { backgroundPower: value },
      `backgroundPower is ${value}`,
      'a number from 0 to 1000000',
    ]),
    [{ crf: 'yes' }, "options is 'yes'; expected an object"],
    [{ include: 'cams' }, "include is 'cams'", 'an array'],
    [{ include: ['cam'] }, "unknown include 'cam'", "did you mean 'cams'?"],
    [{ include: ['scores'] }, "unknown include 'scores'", 'known: confidence, cams'],
    [{ include: ['mask'] }, "include has 'mask', but a result always has the mask; leave it out"],
    [{ include: [1] }, 'include is 1', "'confidence' or 'cams'"],
    [{ signal: new AbortController() }, 'signal is AbortController', 'an AbortSignal'],
  ]
  for (const [options, ...parts] of table) await refused(small, options, ...parts)
})

test('classes that encodeClasses() did not make are refused', async () => {
  for (const wrong of [undefined, null, ['cat'], { names: ['cat'], background: [] }, segmenter.encodeClasses(['cat'])])
    await rejects(
      segmenter.segment(small, wrong as unknown as ClassSet),
      'ERR_INVALID_ARG',
      'classes is',
      'encodeClasses() or loadClasses()',
    )
})

test('one label without background words is refused with what a softmax of one says', async () => {
  const alone = await segmenter.encodeClasses(['elephant', 'panda'], { background: [] })
  const message = ['one label and no background', 'pass background words or more labels']
  await rejects(segmenter.segment(small, alone, { labels: ['panda'] }), 'ERR_INVALID_ARG', ...message)
  await rejects(
    segmenter.segment(small, await segmenter.encodeClasses(['panda'], { background: [] })),
    'ERR_INVALID_ARG',
    ...message,
  )
  assert.is((await segmenter.segment(small, alone)).scores.length, 2)
  assert.equal(withoutTimings(await segment(everything)), withoutTimings(first))
})

test('an abort before the call rejects with its reason and writes nothing', async () => {
  const mask = new Uint8Array(80 * 56).fill(7)
  const reason = Symbol('reason')
  assert.is(await reasonOf(segment({ signal: AbortSignal.abort(reason), output: { mask } })), reason)
  assert.ok(mask.every((value) => value === 7))
})

test('photos of one pixel, one row, one column and odd sizes have masks of their size and finite maps', async () => {
  for (const [width, height] of [
    [1, 1],
    [1, 40],
    [40, 1],
    [300, 1],
    [1, 240],
    [15, 17],
    [33, 7],
  ] as const) {
    const result = await segment(everything, crop(photo, width, height))
    const pixels = width * height
    assert.is(result.mask.length, pixels)
    assert.is(result.cams?.length, 4 * pixels)
    assert.ok(
      result.cams?.every((value) => value >= 0 && value <= 1),
      `${width} x ${height}`,
    )
    assert.ok(
      result.confidence?.every((value) => value >= 0.5 && value <= 1),
      `${width} x ${height}`,
    )
    assert.ok(result.scores.every((value) => value > 0 && value < 1))
  }
})

test('a photo of one colour has finite maps', async () => {
  for (const level of [0, 128, 255]) {
    const { cams, confidence } = await segment(everything, { ...small, data: new Uint8Array(small.data.length).fill(level) })
    assert.ok(cams?.every((value) => value >= 0 && value <= 1) && confidence?.every((value) => value >= 0 && value <= 1))
  }
})

test('254 classes have 254 maps, and the last one its own number in the mask', async () => {
  const many = await segmenter.encodeClasses(Array.from({ length: 254 }, (_, i) => `thing ${i}`))
  const { cams, scores, mask } = await segmenter.segment(small, many, { ...everything, backgroundPower: 1000 })
  assert.is(cams?.length, 254 * 80 * 56)
  assert.is(scores.length, 254)
  assert.ok(cams?.every((value) => value >= 0 && value <= 1))
  assert.ok(mask.every((value) => value < 255) && new Set(mask).size > 1)
  const last = await segmenter.segment(small, many, { labels: [253] })
  assert.equal([...new Set(last.mask)].sort(), [0, 254])
})

test('maxPixels is how many pixels a photo may have', async () => {
  const strict = await load(undefined, { maxPixels: 80 * 56 })
  const own = await strict.encodeClasses(['panda'])
  assert.is((await strict.segment(small, own)).mask.length, 80 * 56)
  const message = ['image of 80 x 57 pixels: their number is 4560; expected a number from 1 to 4480']
  await rejects(strict.segment(crop(photo, 80, 57), own), 'ERR_INVALID_ARG', ...message)
  await rejects(strict.encode(crop(photo, 80, 57)), 'ERR_INVALID_ARG', 'encode(): ', ...message)
  await strict.close()
})

test('maxSide is the longest side that enters the network; masks keep the size of the photo', async () => {
  const withSide = async (maxSide: number, image: ImageData = photo) => {
    const own = await load(undefined, { maxSide })
    const set = await own.encodeClasses(photo.labels, { background: photo.background })
    const result = await own.segment(image, set, everything)
    await own.close()
    return withoutTimings(result)
  }
  const whole = await withSide(Number.POSITIVE_INFINITY)
  assert.equal(await withSide(320), whole)
  assert.not.equal((await withSide(319)).scores, whole.scores)
  const half = await withSide(160)
  assert.equal([half.width, half.height, half.mask.length, half.cams?.length], [320, 240, 320 * 240, 3 * 320 * 240])
  assert.ok(agreement(half.mask, whole.mask) < 0.9)
  // As of the photo that another library makes half as large, its mask twice as large.
  const raw = { width: 320, height: 240, channels: 3 } as const
  const data = await sharp(Buffer.from(photo.data), { raw }).resize(160, 120, { kernel: 'cubic' }).raw().toBuffer()
  const reduced = await withSide(Number.POSITIVE_INFINITY, { data, width: 160, height: 120 })
  for (const [k, score] of reduced.scores.entries()) assert.ok(Math.abs((half.scores[k] as number) / score - 1) < 0.03)
  const doubled = half.mask.map((_, i) => reduced.mask[Math.floor(i / 640) * 160 + Math.floor((i % 320) / 2)] as number)
  assert.ok(agreement(half.mask, doubled) > 0.97, `${agreement(half.mask, doubled)} agree`)
})

test('maxSide 1 leaves one patch, and the mask still has the size of the photo', async () => {
  const own = await load(undefined, { maxSide: 1 })
  const { mask, cams } = await own.segment(photo, await own.encodeClasses(photo.labels), everything)
  assert.is(mask.length, 320 * 240)
  assert.ok(cams?.every((value) => value >= 0 && value <= 1))
  await own.close()
})

test.run()
