import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClassSet, type ClassSpec, ClipEsError, type Segmenter } from '../../ts/index.js'
import { canMakeDevices, isDevice, makeDevice } from '../device.js'
import { testIf } from '../test_if.js'
import { SavedClasses } from './saved_classes.js'
import { crop, load, otherModelPath, reasonOf, rejects, type Scene, scene, temporaryFolder } from './support.js'

const folder = temporaryFolder()
const file = join(folder, 'classes.safetensors')
let segmenter: Segmenter
let photo: Scene
let classes: ClassSet
let bytes: Buffer

const specs: ClassSpec[] = ['television', { name: 'elephant', synonyms: ['elephant', 'mammoth'] }, 'panda']
const encode = (by: Segmenter) => by.encodeClasses(specs, { fusion: 'cam', background: ['sky', 'panda', 'wall'] })

test.before(async () => {
  segmenter = await load()
  photo = await scene('scene01')
  classes = await encode(segmenter)
  await classes.save(file)
  bytes = readFileSync(file)
})

test.after(() => segmenter.close())

async function results(of: ClassSet, by = segmenter) {
  const { labels, scores, mask, confidence, cams } = await by.segment(crop(photo, 96, 64), of, {
    include: ['confidence', 'cams'],
  })
  return { labels, scores, mask, confidence, cams }
}

/** A file in the temporary folder. */
function write(name: string, content: string | Buffer): string {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

test('a loaded class set has the names that were saved and gives the same results, in every fusion', async () => {
  for (const fusion of ['sentence', 'feature', 'cam'] as const) {
    const saved = await segmenter.encodeClasses(specs, { fusion, background: ['sky', 'panda', 'wall'] })
    const path = join(folder, `${fusion}.safetensors`)
    assert.is(await saved.save(path), undefined)
    const loaded = await segmenter.loadClasses(path)
    assert.instance(loaded, ClassSet)
    assert.equal(loaded.names, ['television', 'elephant', 'panda'])
    assert.equal(loaded.background, ['sky', 'wall'])
    assert.equal(loaded.droppedBackground, ['panda'])
    assert.ok(Object.isFrozen(loaded) && Object.isFrozen(loaded.names))
    assert.equal(await results(loaded), await results(saved))
  }
})

test('a class set without background and names in any script are saved and loaded', async () => {
  const names = ['猫', 'chat "noir"', '\\', '🐘 elephant', 'Füchse']
  const saved = await segmenter.encodeClasses(names, { background: [] })
  const path = join(folder, 'Wörter 犬.safetensors')
  await saved.save(path)
  const loaded = await segmenter.loadClasses(path)
  assert.equal(loaded.names, names)
  assert.equal(loaded.background, [])
  assert.equal(await results(loaded), await results(saved))
})

test('a loaded class set is saved to the same bytes', async () => {
  const again = join(folder, 'again.safetensors')
  await (await segmenter.loadClasses(file)).save(again)
  assert.equal(readFileSync(again), bytes)
})

test('the file is safetensors: a header with the position of each array, and aligned arrays', () => {
  const { header } = new SavedClasses(file)
  const size = Number(bytes.readBigUInt64LE())
  assert.is(size % 8, 0)
  assert.equal(Object.keys(header), ['__metadata__', 'rows', 'first_row', 'background'])
  const embedding = segmenter.model.embedding
  assert.equal(header.rows, { dtype: 'F32', shape: [4, embedding], data_offsets: [0, 16 * embedding] })
  assert.equal(header.first_row, { dtype: 'I32', shape: [4], data_offsets: [16 * embedding, 16 * embedding + 16] })
  const end = 24 * embedding + 16
  assert.equal(header.background, { dtype: 'F32', shape: [2, embedding], data_offsets: [16 * embedding + 16, end] })
  assert.is(bytes.length, 8 + size + end)
})

test('another segmenter of the same model accepts the file and the class set itself', async () => {
  const twin = await load()
  assert.equal(await results(await twin.loadClasses(file), twin), await results(classes))
  assert.equal(await results(classes, twin), await results(classes))
  await twin.close()
})

test('classes of another model are refused, from a file and from its segmenter', async () => {
  const other = await load(otherModelPath)
  const foreign = await encode(other)
  const path = join(folder, 'foreign.safetensors')
  await foreign.save(path)
  const message = ['encoded by another model', segmenter.model.path]
  await rejects(segmenter.loadClasses(path), 'ERR_INVALID_ARG', 'loadClasses(): ', ...message)
  await rejects(segmenter.segment(photo, foreign), 'ERR_INVALID_ARG', 'segment(): ', ...message)
  await rejects(other.loadClasses(file), 'ERR_INVALID_ARG', 'another model', other.model.path)
  await other.close()
  assert.equal(await results(await segmenter.loadClasses(file)), await results(classes))
})

test('a file that cannot be read is ERR_MODEL_READ, a file that is not a class set ERR_MODEL_FORMAT, both with its path', async () => {
  const nothing = join(folder, 'nothing.safetensors')
  await rejects(segmenter.loadClasses(nothing), 'ERR_MODEL_READ', nothing, 'ENOENT')
  await rejects(segmenter.loadClasses(folder), 'ERR_MODEL_READ', folder, 'it is a folder')
  const table: [string, string | Buffer][] = [
    ['empty.safetensors', ''],
    ['text.safetensors', 'cat\ndog\n'],
    ['json.safetensors', JSON.stringify({ classes: [{ name: 'cat' }] })],
    ['model.pt', readFileSync(segmenter.model.path).subarray(0, 100_000)],
    ['huge.safetensors', Buffer.alloc(64, 0xff)],
    ['list.safetensors', Buffer.from('\x02\0\0\0\0\0\0\0[]', 'latin1')],
    ['null.safetensors', Buffer.from('\x04\0\0\0\0\0\0\0null', 'latin1')],
    ['other.safetensors', Buffer.from('\x25\0\0\0\0\0\0\0{"__metadata__":{"format":"pt"}      }', 'latin1')],
  ]
  for (const [name, content] of table)
    await rejects(segmenter.loadClasses(write(name, content)), 'ERR_MODEL_FORMAT', join(folder, name), 'class set')
  for (const path of ['', 3, null, undefined, {}])
    await rejects(segmenter.loadClasses(path as string), 'ERR_INVALID_ARG', 'loadClasses(): file is')
})

test('file URLs name files, and other URLs are refused', async () => {
  const url = pathToFileURL(join(folder, 'a name # with %.safetensors'))
  await classes.save(url)
  assert.equal(readFileSync(url), bytes)
  assert.equal(await results(await segmenter.loadClasses(url)), await results(classes))
  const remote = new URL('https://example.org/classes.safetensors')
  await rejects(segmenter.loadClasses(remote), 'ERR_INVALID_ARG', 'loadClasses(): file is', "scheme 'https'", 'download the file')
  await rejects(classes.save(remote), 'ERR_INVALID_ARG', 'save(): file is', "scheme 'https'")
})

test('an abort rejects with its reason, and nothing is written', async () => {
  const reason = new Error('enough')
  const signal = AbortSignal.abort(reason)
  const path = join(folder, 'never.safetensors')
  assert.is(await reasonOf(classes.save(path, { signal })), reason)
  assert.not(existsSync(path))
  assert.is(await reasonOf(segmenter.loadClasses(file, { signal })), reason)
  const controller = new AbortController()
  const loading = segmenter.loadClasses(file, { signal: controller.signal })
  controller.abort(reason)
  assert.is(await reasonOf(loading), reason)
  await rejects(segmenter.loadClasses(file, { signal: 3 } as never), 'ERR_INVALID_ARG', 'loadClasses(): signal is 3')
  await rejects(classes.save(path, { signal: 3 } as never), 'ERR_INVALID_ARG', 'save(): signal is 3')
  await rejects(classes.save(path, { sginal: signal } as never), 'ERR_INVALID_ARG', "did you mean 'signal'?")
})

test('a file cut off at any place is ERR_MODEL_FORMAT', async () => {
  for (let length = bytes.length - 1; length >= 0; length -= length > bytes.length - 16 ? 1 : 16) {
    const path = write('cut.safetensors', bytes.subarray(0, length))
    await rejects(segmenter.loadClasses(path), 'ERR_MODEL_FORMAT', path)
  }
})

test('a header that does not fit the arrays is refused', async () => {
  const embedding = segmenter.model.embedding
  const table: [(header: SavedClasses['header']) => void, string][] = [
    [(h) => Object.assign(h.rows as object, { dtype: 'F16' }), 'rows'],
    [(h) => Object.assign(h.rows as object, { shape: [4, embedding + 1] }), 'rows'],
    [(h) => Object.assign(h.rows as object, { shape: [4 * embedding] }), 'rows'],
    [(h) => Object.assign(h.rows as object, { data_offsets: [-4, 16 * embedding - 4] }), 'rows'],
    [(h) => Object.assign(h.background as object, { data_offsets: [1e9, 1e9 + 8 * embedding] }), 'background'],
    [(h) => Object.assign(h.background as object, { shape: [embedding, 2] }), 'background'],
    [(h) => Reflect.deleteProperty(h, 'first_row'), 'first_row'],
    [(h) => Object.assign(h.__metadata__, { names: '["television","elephant"]' }), 'classes and rows'],
    [(h) => Object.assign(h.__metadata__, { names: '[]' }), 'classes and rows'],
    [(h) => Object.assign(h.__metadata__, { names: '[1,2,3]' }), 'names'],
    [(h) => Object.assign(h.__metadata__, { names: '{"length":3}' }), 'names'],
    [(h) => Object.assign(h.__metadata__, { background: '["sky"]' }), 'background'],
    [(h) => Object.assign(h.__metadata__, { fusion: 'mean' }), "'mean'"],
    [(h) => Object.assign(h.__metadata__, { label_thresholds: '[0.2,null]' }), 'label_thresholds'],
    [(h) => Object.assign(h.__metadata__, { label_thresholds: '[0.2,null,1.5]' }), 'label_thresholds'],
    [(h) => Object.assign(h.__metadata__, { label_thresholds: '0.2' }), 'label_thresholds'],
    [(h) => Object.assign(h.__metadata__, { format: 'clip-es class set 2' }), "'clip-es class set 2'"],
    [(h) => Reflect.deleteProperty(h, '__metadata__'), 'format'],
  ]
  for (const [change, part] of table) {
    const saved = new SavedClasses(file)
    change(saved.header)
    await rejects(segmenter.loadClasses(write('header.safetensors', saved.bytes())), 'ERR_MODEL_FORMAT', part)
  }
})

test("embeddings of another length than the model's are refused, even with its fingerprint", async () => {
  const { embedding } = segmenter.model
  const saved = new SavedClasses(file)
  // The same numbers read as twice the rows of half the length: rows and background, each with its names.
  saved.header.rows = { ...saved.header.rows, shape: [8, embedding / 2] } as never
  saved.header.background = { ...saved.header.background, shape: [4, embedding / 2] } as never
  saved.header.__metadata__.background = '["a","b","c","d"]'
  const changed = saved.bytes()
  const body = changed.length - (24 * embedding + 16)
  for (const [i, row] of [0, 1, 7, 8].entries()) changed.writeInt32LE(row, body + 16 * embedding + 4 * i)
  await rejects(segmenter.loadClasses(write('half.safetensors', changed)), 'ERR_MODEL_FORMAT', `${embedding / 2}`, `${embedding}`)
})

test('numbers that are not finite are refused', async () => {
  const body = bytes.length - (24 * segmenter.model.embedding + 16)
  for (const at of [body, bytes.length - 4]) {
    const changed = Buffer.from(bytes)
    changed.writeFloatLE(Number.NaN, at)
    await rejects(segmenter.loadClasses(write('nan.safetensors', changed)), 'ERR_MODEL_FORMAT', 'not finite')
  }
})

test('a flipped bit in the header gives an error with a code, or a class set that works', async () => {
  const end = 8 + Number(bytes.readBigUInt64LE())
  let refused = 0
  for (let at = 0; at < end; at++) {
    const changed = Buffer.from(bytes)
    changed[at] = (changed[at] as number) ^ (1 << (at % 8))
    const outcome = await segmenter.loadClasses(write('flipped.safetensors', changed)).catch((error: unknown) => error)
    if (outcome instanceof ClassSet) {
      const { scores } = await results(outcome)
      assert.ok(scores.length === 3 && scores.every((score) => score > 0 && score < 1), `byte ${at}`)
    } else {
      assert.instance(outcome, ClipEsError, `byte ${at}: ${outcome}`)
      assert.match((outcome as ClipEsError).code, /^ERR_(MODEL_FORMAT|INVALID_ARG)$/)
      refused++
    }
  }
  assert.ok(refused > end / 2 && refused < end, `${refused} of ${end} refused`)
})

test('a file that cannot be written is an error with its path, and no temporary file is left', async () => {
  const own = join(folder, 'own')
  const taken = join(own, 'taken')
  mkdirSync(taken, { recursive: true })
  const text = join(own, 'text')
  writeFileSync(text, 'kept')
  for (const path of [taken, join(own, 'nothing/classes'), join(text, 'classes')]) {
    const error = await classes.save(path).catch((reason: unknown) => reason)
    assert.is((error as ClipEsError).code, 'ERR_IO')
    assert.ok((error as ClipEsError).message.startsWith(`save(): cannot write ${path}: `))
    assert.type(((error as ClipEsError).cause as NodeJS.ErrnoException).code, 'string')
  }
  for (const path of ['', 3, null, undefined]) await rejects(classes.save(path as string), 'ERR_INVALID_ARG', 'save(): file is')
  assert.equal(readdirSync(own).sort(), ['taken', 'text'])
  assert.equal(readdirSync(taken), [])
  assert.is(readFileSync(text, 'utf8'), 'kept')
})

test('a file is replaced, not overwritten: an open reader reads the old one to its end', async () => {
  const own = join(folder, 'replaced')
  mkdirSync(own)
  const path = join(own, 'classes.safetensors')
  await classes.save(path)
  const descriptor = openSync(path, 'r')
  await (await segmenter.encodeClasses(['cat'])).save(path)
  assert.equal(readFileSync(descriptor), bytes)
  closeSync(descriptor)
  assert.equal((await segmenter.loadClasses(path)).names, ['cat'])
  assert.equal(readdirSync(own), ['classes.safetensors'])
})

test('many simultaneous writers and readers of one file always find a whole file', async () => {
  const own = join(folder, 'busy')
  mkdirSync(own)
  const path = join(own, 'classes.safetensors')
  const names = Array.from({ length: 254 }, (_, i) => `thing ${i}`)
  const sets = [await segmenter.encodeClasses(names), await segmenter.encodeClasses(names.slice(1))] as const
  await sets[0].save(path)
  const found = new Set<number>()
  const read = async () => found.add((await segmenter.loadClasses(path)).names.length)
  await Promise.all(Array.from({ length: 100 }, (_, i) => (i % 4 ? read() : sets[(i >> 2) % 2 ? 1 : 0].save(path))))
  assert.equal(
    [...found].filter((count) => count !== 254 && count !== 253),
    [],
  )
  assert.equal(readdirSync(own), ['classes.safetensors'])
})

test('a class without a row of its own is refused', async () => {
  const path = join(folder, 'empty-class.safetensors')
  const saved = new SavedClasses(file)
  const bytes = saved.bytes()
  const body = 8 + Number(bytes.readBigUInt64LE())
  const at = body + (saved.header.first_row as { data_offsets: [number, number] }).data_offsets[0]
  assert.is(bytes.readInt32LE(at), 0)
  bytes.writeInt32LE(bytes.readInt32LE(at + 8), at + 4) // two equal entries
  writeFileSync(path, bytes)
  await rejects(segmenter.loadClasses(path), 'ERR_MODEL_FORMAT', path, 'its classes and rows do not agree')
})

test('a class set is written through a link', async () => {
  const link = join(folder, 'link.safetensors')
  symlinkSync('behind.safetensors', link)
  await classes.save(link)
  assert.ok(lstatSync(link).isSymbolicLink())
  assert.equal(readFileSync(join(folder, 'behind.safetensors')), bytes)
})

const deviceTest = testIf(canMakeDevices(), 'class sets and devices: this user may not make a device')

deviceTest('a class set is never written onto a device', async () => {
  const device = join(folder, 'null')
  assert.ok(makeDevice(device))
  await rejects(classes.save(device), 'ERR_IO', `${device} is a device; only regular files are replaced`)
  assert.ok(isDevice(device))
})

test.run()
