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
import { ClassSet, type ClipEsError } from '../../ts/index.js'
import { canMakeDevices, isDevice, makeDevice } from '../device.js'
import { testIf } from '../test_if.js'
import { bytes, classes, file, folder, prepareFile, results, specs } from './class_file_support.js'
import { segmenter } from './classes_support.js'
import { SavedClasses } from './saved_classes.js'
import { load, reasonOf, rejects } from './support.js'

test.before(prepareFile)
test.after(() => segmenter.close())

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
