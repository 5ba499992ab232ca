// The photos and masks that `clip-es train` finds, and what it refuses.
import { mkdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import sharp from 'sharp'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { resultFile } from '../../cli/src/results/store.js'
import { UsageError } from '../../cli/src/shared/usage.js'
import { preparePictures } from '../../cli/src/train/pictures.js'
import { type Data, findData } from '../../cli/src/train/samples.js'
import { at, classes, makeResults, options, picture, prepare, results, sample, writeMask } from './train_results.js'

prepare(test)
const never = new AbortController().signal

const confide = (results: string, ...ids: string[]) => {
  for (const id of ids) {
    const file = resultFile(results, 'confidence', id)
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, '')
  }
}

/** The error of a call: its kind and message. */
async function refusal(call: () => unknown): Promise<string> {
  try {
    await call()
  } catch (error) {
    const { code, message } = error as { code?: string; message: string }
    return `${error instanceof UsageError ? 'usage' : code} ${message}`
  }
  throw new Error('the call was not refused')
}

test('samples have their masks and confidences, and a note says so where there are none', async () => {
  const remedy = 'start the command that made the masks again with --confidence'
  const none = `${results} has no confidences: only the pixels that its masks ignore (255) are left out. For the confidence-guided loss ${remedy}`
  const data = { classes, crf: true, samples: [sample('a'), sample('b')], validation: [], notes: [none] }
  assert.equal(findData(results, options, 'hard'), data)
  assert.equal(findData(results, options, 'off'), { ...data, notes: [] })
  for (const given of [{ confidence: 'hard' }, { threshold: 0.5 }] as const)
    assert.is(
      await refusal(() => findData(results, { ...options, ...given }, 'hard')),
      `usage train: ${results} has no confidences, which the confidence-guided loss needs; ${remedy}`,
    )
  confide(results, 'a')
  const missing = resultFile(results, 'confidence', 'b')
  assert.is(
    await refusal(() => findData(results, options, 'soft')),
    `ERR_INVALID_ARG train: 1 confidence of ${results} missing, such as ${missing}; ${remedy}`,
  )
  confide(results, 'b')
  const samples = ['a', 'b'].map((id) => sample(id, { confidence: resultFile(results, 'confidence', id) }))
  assert.equal(findData(results, options, 'soft'), { ...data, samples, notes: [] })
})

test('other masks have the same names, and validation may be results or a folder of ground truth', async () => {
  await writeMask(at('own/a.png'))
  const own = { ...options, masks: at('own') }
  assert.is(
    await refusal(() => findData(results, own, 'hard')),
    `ERR_INVALID_ARG train: there is no mask ${at('own/b.png')}; --masks needs one for every photo of the results`,
  )
  await writeMask(at('own/b.png'))
  const { samples, notes } = findData(results, own, 'hard')
  assert.equal([samples.map(({ mask }) => mask), notes], [[at('own/a.png'), at('own/b.png')], []])
  assert.is(
    await refusal(() => findData(results, { ...options, masks: at('none') }, 'hard')),
    `usage train: there is no folder ${at('none')}; name a folder of masks with --masks`,
  )
  const find = (more: object) => findData(results, { ...options, ...more }, 'off')
  assert.is(
    await refusal(() => find({ validation: at('none') })),
    `usage train: there is no folder ${at('none')}; name results or a folder of ground truth with --validation`,
  )
  assert.is(
    await refusal(() => find({ validation: at('own') })),
    `usage train: ${at('own')} does not say which photos its masks are of; name their folder with --validation-photos`,
  )
  const truth = { validation: at('own'), validationPhotos: at('photos') }
  const { confidence: _, ...a } = sample('a', { mask: at('own/a.png') })
  const found = find(truth)
  assert.equal(found.validation, [a, { ...a, name: 'b', photo: at('photos/b.png'), mask: at('own/b.png') }])
  assert.equal(found.notes, [`2 validation photos also in ${results}: the network learns from what it is validated with`])
  writeFileSync(at('list.txt'), 'b\n')
  const list = { validationList: at('list.txt') }
  assert.equal(
    find({ ...truth, ...list }).validation.map(({ name }) => name),
    ['b'],
  )
  assert.equal(find({ ...truth, ...list }).notes, [
    `1 validation photo also in ${results}: the network learns from what it is validated with`,
  ])
  writeFileSync(at('list.txt'), 'c\n')
  assert.match(await refusal(() => find({ ...truth, ...list })), /^(ERR_INVALID_ARG|usage) .*\bc\b/)
  mkdirSync(at('empty'))
  assert.is(
    await refusal(() => find({ ...truth, validation: at('empty') })),
    `usage train: there is no mask (.png) in ${at('empty')}; name a folder of ground truth with --validation`,
  )
  const other = await makeResults('other', ['c', 'd'])
  assert.equal(
    find({ validation: other }).validation,
    ['c', 'd'].map((id) => ({ name: id, photo: at('photos', `${id}.png`), mask: join(other, 'masks', `${id}.png`) })),
  )
  assert.equal(find({ validation: other }).notes, [])
  writeFileSync(at('list.txt'), 'd\n')
  assert.equal(
    find({ validation: other, ...list }).validation.map(({ name }) => name),
    ['d'],
  )
})

test('photos that the program does not read become PNG files once, and sizes must fit', async () => {
  const formats = {
    'grey.png': picture().toColourspace('b-w').png(),
    'plain.jpg': picture().jpeg(),
    'deep.png': picture().toColourspace('rgb16').png(),
    'clear.png': picture().ensureAlpha(0.5).png(),
    'web.webp': picture().webp(),
    'profile.jpg': picture().withIccProfile('p3').jpeg(),
    'srgb.jpg': picture().withIccProfile('srgb').jpeg(),
    'cmyk.jpg': picture().toColourspace('cmyk').jpeg(),
  }
  const samples: Data['samples'] = []
  for (const [file, made] of Object.entries(formats)) {
    const name = `sub/${file.split('.')[0]}`
    mkdirSync(at('mixed'), { recursive: true })
    await made.toFile(at('mixed', file))
    await writeMask(at('m', `${name}.png`))
    samples.push({ name, photo: at('mixed', file), mask: at('m', `${name}.png`), confidence: null })
  }
  const data: Data = { classes, crf: false, samples, validation: samples.slice(0, 3), notes: ['n'] }
  const prepared = await preparePictures(data, at('run'), never)
  const kept = new Set(['sub/grey', 'sub/plain', 'sub/srgb'])
  const expected = samples.map((one) => (kept.has(one.name) ? one : { ...one, photo: at('run/photos', `${one.name}.png`) }))
  assert.equal(prepared, { ...data, samples: expected, validation: expected.slice(0, 3) })
  const { format, channels, depth } = await sharp(at('run/photos/sub/clear.png')).metadata()
  assert.equal([format, channels, depth], ['png', 3, 'uchar'])
  const web = at('run/photos/sub/web.png')
  const before = readFileSync(web)
  writeFileSync(web, 'made before')
  await preparePictures(data, at('run'), never)
  assert.is(readFileSync(web, 'utf8'), 'made before', 'a newer file is not made again')
  const later = new Date(Date.now() + 60_000)
  utimesSync(at('mixed/web.webp'), later, later)
  await preparePictures(data, at('run'), never)
  assert.equal(readFileSync(web), before)
  const one = samples[0] as Data['samples'][number]
  const prepareOne = (more: object) =>
    refusal(() => preparePictures({ ...data, samples: [{ ...one, ...more }], validation: [] }, at('run'), never))
  assert.is(
    await prepareOne({ photo: at('none.png') }),
    `ERR_INVALID_ARG train: the photo ${at('none.png')} cannot be used: it is not there`,
  )
  writeFileSync(at('text.png'), 'text')
  assert.match(await prepareOne({ photo: at('text.png') }), /^ERR_INVALID_ARG train: the photo \S+text\.png cannot be used: ./)
  assert.match(
    await prepareOne({ mask: at('text.png') }),
    /^ERR_INVALID_ARG train: the mask \S+text\.png cannot be read \(.+\); make it again$/,
  )
  for (const [width, height] of [
    [4, 2],
    [3, 3],
  ] as const) {
    await writeMask(at('size.png'), width, height)
    assert.is(
      await prepareOne({ mask: at('size.png') }),
      `ERR_INVALID_ARG train: the mask ${at('size.png')} is ${width} x ${height}, but its photo ${one.photo} is 3 x 2; make the mask again from this photo`,
    )
  }
})

test.run()
