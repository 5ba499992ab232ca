// Arguments of segment() that are refused.
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import type { ClassSet, ImageData, Segmenter, SegmentOptions, SegmentResult } from '../../ts/index.js'
import { everything, smallScene } from './small_scene.js'
import { rejects, root, withoutTimings } from './support.js'

let segmenter: Segmenter
let classes: ClassSet
let small: ImageData
let first: SegmentResult

test.before(async () => {
  ;({ segmenter, classes, small, first } = await smallScene())
})
test.after(() => segmenter.close())

const segment = (options?: SegmentOptions, image: ImageData = small) => segmenter.segment(image, classes, options)

/** The call is refused, and the next call gives the same result as before. */
async function refused(image: unknown, options: unknown, ...parts: (string | RegExp)[]): Promise<void> {
  const promise = segmenter.segment(image as ImageData, classes, options as SegmentOptions)
  await rejects(promise, 'ERR_INVALID_ARG', 'segment(): ', ...parts)
  assert.equal(withoutTimings(await segment(everything)), withoutTimings(first))
}

test('the error for a wrong image has its values and what was expected', async () => {
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

test('the error for a wrong option has its name, its value and what was expected', async () => {
  const table: [unknown, ...string[]][] = [
    [null, 'options is null', 'an object'],
    ['panda', "options is 'panda'", 'an object'],
    [['panda'], "options is [ 'panda' ]", 'an object'],
    [{ label: ['panda'] }, "unknown option 'label'", "did you mean 'labels'?"],
    [
      { threshold: 0.4 },
      "unknown option 'threshold'",
      'known: labels, labelThreshold, maps, scales, flip, refine, boxThreshold, minScore',
    ],
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

test('classes that were not made by encodeClasses() or loadClasses() are refused', async () => {
  for (const wrong of [undefined, null, ['cat'], { names: ['cat'], background: [] }, segmenter.encodeClasses(['cat'])])
    await rejects(
      segmenter.segment(small, wrong as unknown as ClassSet),
      'ERR_INVALID_ARG',
      'segment(): classes is',
      '; expected what encodeClasses() or loadClasses() gives',
    )
})

test('one label without background words is refused, because a softmax over one text is always 1', async () => {
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

test('an output array of the wrong length or type, or in memory that cannot be used, is refused', async () => {
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
  const next = await segment({ output: { mask: withImage.subarray(3 * pixels) } }, image)
  assert.equal(next.mask, first.mask)
})

test.run()
