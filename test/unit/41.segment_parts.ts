// The parts of clip-es segment that need no model: which classes are meant, what is checked and written, and what is printed.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { askedClasses, entriesOf } from '../../cli/src/segment/classes.js'
import { segmentCommand } from '../../cli/src/segment/command.js'
import type { SegmentArguments } from '../../cli/src/segment/options.js'
import { type Job, type PhotoResult, segmentStages } from '../../cli/src/segment/photo.js'
import { describe, failure } from '../../cli/src/segment/report.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { backgrounds, templates } from '../../ts/index.js'
import { encodeMask, readMask } from '../../ts/photos/mask_png.js'
import { photoOfMask } from '../../ts/support/index.js'
import { reasonOf, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const classFile = join(folder, 'classes.json')
const entries = [
  { name: 'cat', synonyms: ['cat', 'kitten'], colour: '#ff0000', labelThreshold: 0.3 },
  { name: 'dog' },
  { name: 'auto' },
]
const words = { template: 'the {}.', background: ['sky'], fusion: 'cam' as const }
writeFileSync(classFile, JSON.stringify({ ...words, boxThreshold: 0.25, classes: entries }))

/** What the command line gives, from its arguments. */
async function given(...args: string[]): Promise<SegmentArguments> {
  let found: SegmentArguments | undefined
  const command = segmentCommand().action((_, options: SegmentArguments) => {
    found = options
  })
  await command.parseAsync(['photo.jpg', ...args], { from: 'user' })
  return found as SegmentArguments
}
const asked = async (...args: string[]) => await askedClasses(await given(...args))

async function refused(args: string[], message: string): Promise<void> {
  const error = (await reasonOf(asked(...args))) as Error
  assert.ok(error instanceof UsageError, String(error))
  assert.is(error.message, message)
}

test('classes are words, or those of a class file; flags replace what the file says', async () => {
  assert.equal(await asked('--classes', 'cat,dog'), {
    classes: [{ name: 'cat' }, { name: 'dog' }],
    ...{ encoding: { template: templates.clip_es, background: backgrounds.voc, fusion: 'sentence' }, names: ['cat', 'dog'] },
    ...{ labels: undefined, boxThreshold: undefined, colours: [undefined, undefined] },
  })
  const [{ labelThreshold: _, ...cat }, dog] = entries as [(typeof entries)[0], { name: string }]
  assert.equal(await asked('--class-file', classFile, '--classes', 'dog,cat', '--labels', 'cat'), {
    ...{ classes: [dog, cat], encoding: words, names: ['dog', 'cat'], labels: ['cat'], boxThreshold: 0.25 },
    colours: [undefined, '#ff0000'],
  })
  const flags = ['--template', 'a {}.', '--background', 'sea,ice', '--fusion', 'feature', '--box-threshold', '0.5']
  const { encoding, boxThreshold } = await asked('--class-file', classFile, ...flags)
  assert.equal([encoding, boxThreshold], [{ template: ['a {}.'], background: ['sea', 'ice'], fusion: 'feature' }, 0.5])
  assert.equal(entriesOf(undefined, undefined, ''), [])
})

test("--labels auto asks CLIP with the class file's thresholds, unless a class is called so", async () => {
  const file = ['--class-file', classFile, '--classes', 'cat,dog']
  const auto = await asked(...file, '--labels', 'auto')
  assert.equal([auto.labels, auto.labelThreshold, auto.classes[0]?.labelThreshold], ['auto', 0.15, 0.3])
  const fixed = await asked(...file, '--labels', 'auto', '--label-threshold', '0.4')
  assert.equal([fixed.labelThreshold, fixed.classes[0]?.labelThreshold], [0.4, undefined])
  assert.equal((await asked('--class-file', classFile, '--labels', 'auto')).labels, ['auto'], 'the class')
  assert.equal((await asked(...file, '--labels', 'dog,cat')).labels, ['dog', 'cat'])
})

test('classes and labels that cannot be meant are refused with the remedy', async () => {
  const before = process.env.CLIP_ES_MODEL
  delete process.env.CLIP_ES_MODEL
  const start = [
    'no classes are given. Name them, or a class file with synonyms and background words:',
    '  clip-es segment photo.jpg --classes cat,dog',
    '  clip-es segment photo.jpg --class-file voc',
  ]
  const embedded = [
    'The embedded model knows only things drawn as emoji. The class file emoji has their names:',
    '  clip-es segment scene.png --class-file emoji --labels cat,pizza',
  ]
  await refused([], [...start, ...embedded].join('\n'))
  await refused(['--model', 'x.pt'], start.join('\n'))
  process.env.CLIP_ES_MODEL = 'x.pt'
  await refused([], start.join('\n'))
  if (before === undefined) delete process.env.CLIP_ES_MODEL
  else process.env.CLIP_ES_MODEL = before
  const file = ['--class-file', classFile]
  const known = "unknown class of FILE 'dgo'; did you mean 'dog'? known: cat, dog, auto".replace('FILE', classFile)
  await refused([...file, '--classes', 'dgo'], `--classes: ${known}`)
  await refused(['--classes', 'cat,dog', '--labels', 'dgo'], "--labels: unknown class 'dgo'; did you mean 'dog'? known: cat, dog")
  await refused(['--classes', 'cat,dog', '--labels', 'cat,dog,cat'], '--labels has cat twice; leave one out')
  await refused(['--classes', 'cat', '--label-threshold', '0.1'], '--label-threshold needs --labels auto')
  await refused(
    ['--classes', 'cat,auto', '--labels', 'auto,cat', '--label-threshold', '0'],
    '--label-threshold needs --labels auto',
  )
  await refused(
    ['--classes', 'cat,dog', '--labels', 'auto', '--background', ''],
    '--labels auto needs background words, which stand for everything that is not a class; give some with --background',
  )
  const alone =
    'there is one class and no background word, so nothing competes with the class; give --background words or more classes'
  await refused(['--classes', 'cat', '--background', ''], alone)
  await refused(['--classes', 'cat,dog', '--labels', 'dog', '--background', ''], alone)
  await asked('--classes', 'cat', '--background', 'sky')
  await asked('--classes', 'cat,dog', '--background', '')
})

// ---------------------------------------------------------------- what is printed
const figures = { ended: 3, total: 60, perSecond: 2.1, rate: '2.1/s', left: '27 s' }
const label = (name: string, share: number, score = 0.5) => ({ name, value: 1, score, share })
const result = (more: Partial<PhotoResult> = {}): PhotoResult => ({
  ...{ width: 4, height: 3, pages: 1, outputs: { mask: 'out/x\n.png' }, labels: [label('cat', 0.25)] },
  ...{ background: 0.5, ignored: 0, seconds: 1.236 },
  ...more,
})
const placed = { photo: { path: 'x\n.jpg', file: '/x.jpg' } } as never
const lineOf = (more?: Partial<PhotoResult>, total = 1) =>
  describe({ item: placed, summary: result(more) } as never).text({ ...figures, total })

test('a photo is a line with its labels, the largest first, the mask, the seconds, and how far the run is', () => {
  const start = 'x\\n.jpg: '
  const end = '; out/x\\n.png, 1.24 s'
  assert.is(lineOf(), `${start}cat 25.0 % (score 0.50)${end}`)
  assert.is(lineOf({}, 2), `${start}cat 25.0 % (score 0.50)${end} (3/2, 2.1/s, 27 s left)`)
  const labels = [label('cat', 0.125, 0.0099), label('gone', 0), label('dog', 0.25, 0.01)]
  assert.is(lineOf({ labels }), `${start}dog 25.0 % (score 0.01), cat 12.5 % (score < 0.01)${end}`)
  assert.is(lineOf({ labels: [label('gone', 0)] }), `${start}nothing found${end}`)
  assert.is(lineOf({ labels: [], ignored: 1 }), `${start}100 % ignored${end}`)
  assert.is(lineOf({ labels: [], ignored: 0.5 }), `${start}nothing found, 50.0 % ignored${end}`)
  assert.is(lineOf({ pages: 2, outputs: {} }), 'x\\n.jpg (the first of 2 pages): cat 25.0 % (score 0.50); , 1.24 s')
})

test('for programs a photo is an object whose numbers have six digits, and a failure has a code', () => {
  const json = (more: Partial<PhotoResult>) => describe({ item: placed, summary: result(more) } as never).json(figures)
  const third = 1 / 3
  const labels = [{ name: 'cat', value: 1, score: third, share: third }]
  assert.equal(json({ labels, background: third, ignored: 2 * third, seconds: third }), {
    ...{ path: 'x\n.jpg', width: 4, height: 3, outputs: { mask: 'out/x\n.png' } },
    labels: [{ name: 'cat', value: 1, score: 0.333333, share: 0.333333 }],
    ...{ background: 0.333333, ignored: 0.666667, seconds: 0.333333 },
  })
  assert.is((json({ pages: 2 }) as { pages: number }).pages, 2)
  const failed = (code?: string) => describe({ item: placed, error: Object.assign(new Error('no'), { code }) } as never)
  assert.is(failed('EIO').text(figures), 'clip-es: x\\n.jpg: no')
  assert.equal(failed('EIO').json(figures), { path: 'x\n.jpg', error: { code: 'EIO', message: 'no' } })
  assert.equal(failed().json(figures), { path: 'x\n.jpg', error: { code: 'ERR_FAILED', message: 'no' } })
  assert.equal(failure('a', 'ENOENT', 'b').json(figures), { path: 'a', error: { code: 'ENOENT', message: 'b' } })
})

// ---------------------------------------------------------------- the steps of a photo
const out = join(folder, 'out')
const photo = (name: string) => ({ path: name, file: join(folder, name) })
const at = (name: string) => ({
  photo: photo(`${name}.png`),
  places: {
    ...{ mask: join(out, `deep/${name}.png`), overlay: join(out, `deep/${name}_overlay.png`) },
    ...{ confidence: join(out, `deep/${name}_confidence.png`), cams: join(out, `deep/${name}.npz`) },
  },
})
const recorded: unknown[] = []
const calls: unknown[][] = []
const segmented = {
  ...{ width: 3, height: 2, mask: Uint8Array.of(0, 2, 2, 255, 2, 0), confidence: new Float32Array(6).fill(0.5) },
  ...{ labels: ['dog'], scores: Float32Array.of(0.75), timings: { queue: 900, image: 1500, masks: 500 } },
}
const job = (kinds: Job['kinds']): Job =>
  ({
    segmenter: {
      segment: async (...args: unknown[]) => {
        calls.push(args)
        return segmented
      },
    },
    ...{ classes: { names: ['cat', 'dog'] }, colours: [], options: { refine: false }, kinds },
    record: { out, add: (entry: unknown) => recorded.push(entry) },
  }) as unknown as Job

test('a photo gives its files, a line of the record, and its figures without the time in the queue', async () => {
  writeFileSync(join(folder, 'a.png'), await encodeMask(new Uint8Array(6), { width: 3, height: 2 }))
  const item = at('a')
  const stages = segmentStages(job(['confidence', 'mask']))
  const places = await stages.prepare(item)
  assert.equal(places, item.places)
  const made = await stages.segment(item, places)
  assert.equal((calls[0] as unknown[]).slice(1), [{ names: ['cat', 'dog'] }, { refine: false }])
  assert.equal([made.labels, made.photo.width], [[1], 3])
  const summary = await stages.save(await stages.encode(made, item), made, item, places)
  assert.equal(summary, {
    ...{ width: 3, height: 2, pages: 1 },
    outputs: { mask: item.places.mask, confidence: item.places.confidence },
    labels: [{ name: 'dog', value: 2, score: 0.75, share: 0.5 }],
    ...{ background: 1 / 3, ignored: 1 / 6, seconds: 2 },
  })
  assert.equal(Object.keys(summary.outputs), ['mask', 'confidence'])
  assert.equal(recorded, [{ id: 'deep/a', photo: item.photo.file, labels: [1], scores: [0.75] }])
  assert.equal(readdirSync(join(out, 'deep')), ['a.png', 'a_confidence.png'])
  assert.equal([...(await readMask(item.places.mask)).data], [...segmented.mask])
  assert.is(photoOfMask(item.places.mask), item.photo.file)
})

test("a photo whose results would replace those of another photo is refused, and one that was done before isn't", async () => {
  const { prepare } = segmentStages(job(['mask']))
  await prepare(at('a'))
  writeFileSync(join(folder, 'b.png'), '')
  await reasonOf((async () => prepare({ ...at('a'), photo: photo('b.png') }))()).then((reason) => {
    const { mask } = at('a').places
    const message = `its mask would overwrite ${mask}, the mask of ${join(folder, 'a.png')}; choose another folder with --out`
    assert.equal([(reason as { code: string }).code, (reason as Error).message], ['ERR_INVALID_ARG', message])
  })
  mkdirSync(join(out, 'moved'), { recursive: true })
  const places = { ...at('a').places, mask: join(out, 'moved/c.png') }
  const source = '../../gone.png'
  writeFileSync(places.mask, await encodeMask(new Uint8Array(6), { width: 3, height: 2, photo: source }))
  assert.not(existsSync(photoOfMask(places.mask) as string))
  await prepare({ photo: photo('b.png'), places })
  const taken = (await reasonOf((async () => prepare({ photo: photo('b.png'), takenBy: photo('a.png') }))())) as Error
  assert.is(taken.message, 'its results would overwrite those of a.png; give it another --out')
  assert.is((taken as NodeJS.ErrnoException).code, 'EEXIST')
  const long = at('x'.repeat(240))
  assert.match(
    (
      (await reasonOf(
        (async () => prepare({ ...long, places: { ...long.places, mask: join(out, `${'x'.repeat(256)}.png`) } }))(),
      )) as Error
    ).message,
    /name/,
  )
})

test.run()
