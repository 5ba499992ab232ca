import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClassSet, ClipEsError } from '../../ts/index.js'
import { bytes, classes, encode, file, folder, prepareFile, results } from './class_file_support.js'
import { photo, segmenter } from './classes_support.js'
import { SavedClasses } from './saved_classes.js'
import { load, otherModelPath, rejects } from './support.js'

test.before(prepareFile)
test.after(() => segmenter.close())

/** A file in the temporary folder. */
function write(name: string, content: string | Buffer): string {
  writeFileSync(join(folder, name), content)
  return join(folder, name)
}

test('classes of another model are refused, from a file and from its segmenter', async () => {
  const other = await load(otherModelPath)
  const foreign = await encode(other)
  const path = join(folder, 'foreign.safetensors')
  await foreign.save(path)
  const message = `these classes were encoded by another model; encode them with this segmenter (${segmenter.model.path})`
  await rejects(segmenter.loadClasses(path), 'ERR_INVALID_ARG', `loadClasses(): ${message}`)
  await rejects(segmenter.segment(photo, foreign), 'ERR_INVALID_ARG', `segment(): ${message}`)
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
  const half = write('half.safetensors', changed)
  const message = `${half} is damaged: its embeddings have ${embedding / 2} numbers, the model's ${embedding}; save the classes again`
  await rejects(segmenter.loadClasses(half), 'ERR_MODEL_FORMAT', message)
  await rejects(
    segmenter.loadClasses(file, { x: 1 } as never),
    'ERR_INVALID_ARG',
    "loadClasses(): unknown option 'x'; known: signal",
  )
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

test.run()
