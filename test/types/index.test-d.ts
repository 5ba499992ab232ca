// The public types: what compiles, and what must not.
import { expectAssignable, expectError, expectNotAssignable, expectType } from 'tsd'
import {
  backgrounds,
  type ClassFile,
  ClassSet,
  type ClassSpec,
  ClipEsError,
  classSets,
  type Device,
  type EncodeClassesOptions,
  EncodedImage,
  type ErrorCode,
  type FailedItem,
  type Fusion,
  type ImageData,
  type LoadOptions,
  type ModelInfo,
  type Precision,
  type ResultPart,
  type SegmentedItem,
  Segmenter,
  type SegmentItem,
  type SegmentOptions,
  type SegmentResult,
  type Timings,
  templates,
  tokenize,
} from '../../dist/index.js'

const { signal } = new AbortController()

// load
expectType<Promise<Segmenter>>(Segmenter.load())
expectType<Promise<Segmenter>>(Segmenter.load('ViT-B-16.pt'))
expectType<Promise<Segmenter>>(Segmenter.load(undefined, {}))
expectType<Promise<Segmenter>>(
  Segmenter.load('ViT-B-16.pt', {
    device: 'cuda:1',
    precision: 'bfloat16',
    threads: 4,
    maxQueue: 8,
    maxPixels: 1e6,
    maxSide: Number.POSITIVE_INFINITY,
    signal,
  }),
)
expectNotAssignable<new () => Segmenter>(Segmenter) // made by load() alone
expectType<Promise<Segmenter>>(Segmenter.load(new URL('file:///ViT-B-16.pt'), { threads: 2 }))
expectType<Promise<Segmenter>>(Segmenter.load({ threads: 2 }))
expectType<Promise<Segmenter>>(Segmenter.load({ model: 'ViT-B-16.pt', signal }))
expectType<Promise<Segmenter>>(Segmenter.load({ model: new URL('file:///ViT-B-16.pt') }))
expectError(Segmenter.load({ model: 3 }))
expectError(Segmenter.load({ treads: 2 }))
expectError(Segmenter.load('ViT-B-16.pt', { model: 'ViT-L-14.pt' })) // given twice
expectError(Segmenter.load(null))
expectError(Segmenter.load('ViT-B-16.pt', { treads: 2 }))
expectError(Segmenter.load('ViT-B-16.pt', { threads: '2' }))
expectError(Segmenter.load('ViT-B-16.pt', { device: 'gpu' }))
expectError(Segmenter.load('ViT-B-16.pt', { precision: 'float16' }))
expectError(Segmenter.load('ViT-B-16.pt', { signal: new AbortController() }))
for (const device of ['auto', 'cpu', 'cuda', 'cuda:0'] as const) expectAssignable<Device>(device)
expectNotAssignable<Device>('cuda:first')
expectType<'auto' | 'float32' | 'bfloat16' | 'int8'>({} as Precision)
expectAssignable<LoadOptions>({})

// model
declare const segmenter: Segmenter
expectType<ModelInfo>(segmenter.model)
expectType<string>(segmenter.model.path)
expectType<boolean>(segmenter.model.demo)
expectType<number>(segmenter.model.patch)
expectType<number>(segmenter.model.width)
expectType<number>(segmenter.model.layers)
expectType<number>(segmenter.model.resolution)
expectType<number>(segmenter.model.embedding)
expectType<number>(segmenter.model.context)
expectType<string>(segmenter.model.device)
expectType<'float32' | 'bfloat16' | 'int8'>(segmenter.model.precision)
expectError(() => {
  segmenter.model = {} as ModelInfo
})
expectError(() => {
  segmenter.model.patch = 32
})

// classes
expectType<Promise<ClassSet>>(segmenter.encodeClasses(['cat', { name: 'person', synonyms: ['people', 'human'] }]))
expectType<Promise<ClassSet>>(
  segmenter.encodeClasses(['cat'] as const, { template: ['{}', 'a {}.'], background: ['sky'], fusion: 'cam', signal }),
)
expectType<Promise<ClassSet>>(segmenter.encodeClasses(['cat'], { template: 'a {}.', background: backgrounds.voc }))
expectType<Promise<ClassSet>>(segmenter.encodeClasses(classSets.voc.classes.map(({ name, synonyms }) => ({ name, synonyms }))))
expectError(segmenter.encodeClasses())
expectError(segmenter.encodeClasses('cat'))
expectError(segmenter.encodeClasses([1]))
expectError(segmenter.encodeClasses([{ synonyms: ['cat'] }]))
expectError(segmenter.encodeClasses([{ name: 'cat', synonyms: 'kitty' }]))
expectError(segmenter.encodeClasses(['cat'], { fusion: 'mean' }))
expectError(segmenter.encodeClasses(['cat'], { background: 'sky' }))
expectError(segmenter.encodeClasses(['cat'], { templates: '{}' }))
expectType<'sentence' | 'feature' | 'cam'>({} as Fusion)
expectAssignable<ClassSpec>('cat')
expectAssignable<EncodeClassesOptions>({})

declare const classes: ClassSet
expectType<readonly string[]>(classes.names)
expectType<readonly string[]>(classes.background)
expectType<readonly string[]>(classes.droppedBackground)
expectType<Promise<void>>(classes.save('classes.safetensors'))
expectType<Promise<ClassSet>>(segmenter.loadClasses('classes.safetensors'))
expectType<Promise<ClassSet>>(segmenter.loadClasses(new URL('file:///classes.safetensors'), { signal }))
expectType<Promise<void>>(classes.save(new URL('file:///classes.safetensors'), { signal }))
expectError(classes.names.push('cat'))
expectError(() => {
  classes.names = []
})
expectError(classes.save())
expectNotAssignable<new () => ClassSet>(ClassSet) // made by encodeClasses() alone
expectError(ClassSet.create) // internal
expectError(ClassSet.texts) // internal
expectError(segmenter.loadClasses())
expectNotAssignable<ClassSet>({ names: ['cat'], background: [], droppedBackground: [], save: async () => {} }) // made by encodeClasses() alone

// images
const image = { data: new Uint8Array(12), width: 2, height: 2 }
expectAssignable<ImageData>(image)
expectAssignable<ImageData>({ ...image, data: new Uint8ClampedArray(12) })
expectAssignable<ImageData>({ ...image, data: Buffer.alloc(12) })
expectNotAssignable<ImageData>({ ...image, data: new Float32Array(12) })
expectNotAssignable<ImageData>({ ...image, data: [0, 0, 0] })
expectNotAssignable<ImageData>({ ...image, data: new ArrayBuffer(12) })
expectNotAssignable<ImageData>({ data: image.data, width: 2 })
expectNotAssignable<ImageData>('photo.jpg')
expectAssignable<ImageData>({ ...image, channels: 'bgra' as const, rowBytes: 8 })
expectAssignable<ImageData>({ ...image, channels: 3 as const })
expectNotAssignable<ImageData>({ ...image, channels: 'bgr' })
expectNotAssignable<ImageData>({ ...image, channels: 2 })
expectType<Promise<SegmentResult>>(segmenter.segment({ data: image.data, info: { width: 2, height: 2, channels: 3 } }, classes))

// segment
expectType<Promise<SegmentResult>>(segmenter.segment(image, classes))
expectType<Promise<SegmentResult>>(
  segmenter.segment(image, classes, {
    labels: ['cat', 1],
    refine: false,
    boxThreshold: 0.7,
    scales: [0.75, 1],
    flip: true,
    minScore: 0.5,
    backgroundBelow: 0.5,
    backgroundPower: 2,
    crf: false,
    ignoreBelow: 0.5,
    include: ['confidence', 'cams'],
    output: { mask: Buffer.alloc(4), confidence: new Float32Array(4), cams: new Float32Array(8) },
    signal,
  }),
)
expectError(segmenter.segment(image))
expectError(segmenter.segment(image, ['cat']))
expectError(segmenter.segment('photo.jpg', classes))
expectError(segmenter.segment(image, segmenter.encodeClasses(['cat']))) // a promise: await is missing
expectType<Promise<SegmentResult>>(segmenter.segment(image, classes, { labels: 'auto', labelThreshold: 0.2 }))
expectError(segmenter.segment(image, classes, { labels: 'cat' }))
expectError(segmenter.segment(image, classes, { labels: 'auto', labelThreshold: '0.2' }))
expectError(segmenter.segment(image, classes, { refine: 'yes' }))
expectError(segmenter.segment(image, classes, { include: ['scores'] }))
expectError(segmenter.segment(image, classes, { include: ['mask'] })) // always there
expectError(segmenter.segment(image, classes, { output: { mask: new Float32Array(4) } }))
expectError(segmenter.segment(image, classes, { output: { confidence: new Uint8Array(4) } }))
expectError(segmenter.segment(image, classes, { threshold: 0.4 }))
expectType<'confidence' | 'cams'>({} as ResultPart)
expectAssignable<SegmentOptions>({})

declare const result: SegmentResult
expectType<number>(result.width)
expectType<number>(result.height)
expectType<string[]>(result.labels)
expectType<Float32Array>(result.scores)
expectType<Uint8Array>(result.mask)
expectType<Float32Array | undefined>(result.confidence)
expectType<Float32Array | undefined>(result.cams)
expectType<Float32Array | undefined>(result.presence)
expectType<Timings>(result.timings)
expectType<Record<'queue' | 'preprocess' | 'encode' | 'gradcam' | 'refine' | 'mask' | 'crf', number>>({ ...result.timings })
expectError(result.logits)

// encode
expectType<Promise<EncodedImage>>(segmenter.encode(image))
expectType<Promise<EncodedImage>>(segmenter.encode(image, { signal }))
expectError(segmenter.encode(image, { labels: ['cat'] }))
declare const encoded: EncodedImage
expectNotAssignable<new () => EncodedImage>(EncodedImage) // made by encode() alone
expectType<Readonly<Timings>>(encoded.timings)
expectType<number>(encoded.width)
expectType<number>(encoded.height)
expectType<Promise<SegmentResult>>(encoded.segment(classes, { labels: ['cat'] }))
expectType<void>(encoded.dispose())
expectAssignable<Disposable>(encoded)
expectError(encoded.segment(image, classes))
expectError(() => {
  encoded.width = 3
})

// segmentAll
type Results<Key> = AsyncGenerator<SegmentedItem<Key>, void, undefined>
expectType<Results<number>>(segmenter.segmentAll([image], classes))
expectType<Results<number>>(segmenter.segmentAll(new Set([image]), classes, { labels: [0], signal }))
async function* photos() {
  yield image
}
expectType<Results<number>>(segmenter.segmentAll(photos(), classes))
expectType<Results<number>>(segmenter.segmentAll([{ image, labels: ['cat'] }], classes, { onError: 'throw' }))
expectType<Results<string>>(segmenter.segmentAll([{ image, key: 'photo.jpg' }], classes, { labels: 'auto', labelThreshold: 0.2 }))
declare const named: { image: ImageData; key?: string }[]
expectType<Results<string | number>>(segmenter.segmentAll(named, classes))
export async function told() {
  for await (const result of segmenter.segmentAll([{ image, key: 'photo.jpg' }], classes, { onError: 'yield' })) {
    expectType<string>(result.key)
    expectError(result.mask) // perhaps it failed
    if ('error' in result) expectType<ClipEsError>(result.error)
    else expectType<Uint8Array>(result.mask)
  }
}
expectAssignable<SegmentItem>(image)
expectAssignable<SegmentItem>({ image, labels: 'auto' as const, key: 7 })
expectAssignable<SegmentResult>({} as SegmentedItem)
expectNotAssignable<SegmentResult>({} as FailedItem)
expectError(segmenter.segmentAll(image, classes))
expectError(segmenter.segmentAll(['photo.jpg'], classes))
expectError(segmenter.segmentAll([{ image: 'photo.jpg' }], classes))
expectError(segmenter.segmentAll([image], classes, { output: { mask: new Uint8Array(4) } }))
expectError(segmenter.segmentAll([image], classes, { onError: 'skip' }))

// close
expectType<Promise<void>>(segmenter.close())
expectAssignable<AsyncDisposable>(segmenter)

// errors
const error = new ClipEsError('ERR_CLOSED', 'closed')
expectAssignable<Error>(error)
expectType<ErrorCode>(error.code)
expectType<
  | 'ERR_INVALID_ARG'
  | 'ERR_MODEL_READ'
  | 'ERR_MODEL_FORMAT'
  | 'ERR_LIBTORCH'
  | 'ERR_DEVICE_UNAVAILABLE'
  | 'ERR_OUT_OF_MEMORY'
  | 'ERR_QUEUE_FULL'
  | 'ERR_CLOSED'
  | 'ERR_IO'
  | 'ERR_INTERNAL'
>({} as ErrorCode)
expectError(new ClipEsError('ERR_SOMETHING', 'unknown'))

// words
expectType<number[]>(tokenize('a cat'))
expectError(tokenize(3))
expectType<string>(templates.clip_es)
expectType<readonly string[]>(templates.imagenet)
expectType<readonly string[]>(backgrounds.voc)
expectType<readonly string[]>(backgrounds.coco)
expectType<Required<ClassFile>>(classSets.voc)
expectError(() => {
  templates.clip_es = ''
})
expectError(backgrounds.voc.push('sand'))
expectError(classSets.coco.classes.pop())
