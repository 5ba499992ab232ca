// The file of a class set. Needs no model.
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { ClassSet } from '../../ts/classes/class_set.js'
import { readClassSet, writeClassSet } from '../../ts/classes/class_set_file.js'
import { smallSet } from './class_set_support.js'
import { reasonOf, rejects, temporaryFolder } from './support.js'

const file = join(temporaryFolder(), 'classes.safetensors')

/** The file's header and arrays, to be changed, and what reading the changed file says. */
function saved() {
  writeClassSet(file, smallSet)
  const bytes = readFileSync(file)
  const end = 8 + Number(bytes.readBigUInt64LE())
  const header = JSON.parse(bytes.toString('utf8', 8, end))
  const body = Buffer.from(bytes.subarray(end))
  const read = () => {
    const text = Buffer.from(JSON.stringify(header))
    const length = Buffer.alloc(8)
    length.writeBigUInt64LE(BigInt(text.length))
    writeFileSync(file, Buffer.concat([length, text, body]))
    return readClassSet(file)
  }
  return { bytes, end, header, body, read }
}

test('the file has all of a class set, and its arrays begin at a multiple of eight bytes', async () => {
  const { bytes, end, header } = saved()
  assert.equal(await readClassSet(file), smallSet)
  assert.is(end % 8, 0)
  assert.ok(bytes.subarray(8, end).toString().trimEnd().length > end - 8 - 8, 'with fewer than eight spaces')
  assert.equal(header, {
    __metadata__: {
      ...{ format: 'clip-es class set 1', model: 'f', fusion: 'cam', names: '["a","b","c"]', background: '["sky"]' },
      ...{ dropped_background: '["B"]', templates: '["{}","a {}"]', label_thresholds: '[null,0,1]' },
    },
    rows: { dtype: 'F32', shape: [4, 2], data_offsets: [0, 32] },
    first_row: { dtype: 'I32', shape: [4], data_offsets: [32, 48] },
    background: { dtype: 'F32', shape: [1, 2], data_offsets: [48, 56] },
  })
  assert.equal(
    bytes.subarray(end),
    Buffer.concat([smallSet.rows, smallSet.firstRow, smallSet.backgroundRows].map((a) => Buffer.from(a.buffer))),
  )
  for (const length of [1, 2, 3, 4, 5, 6, 7, 8]) {
    const longer = { ...smallSet, fingerprint: 'f'.repeat(length), labelThresholds: [undefined, undefined, undefined] }
    writeClassSet(file, longer)
    assert.is(Number(readFileSync(file).readBigUInt64LE()) % 8, 0)
    assert.not.match(readFileSync(file, 'latin1'), 'label_thresholds')
    assert.equal(await readClassSet(file), longer)
  }
  const alone = { ...smallSet, background: [], backgroundRows: new Float32Array() }
  writeClassSet(file, alone)
  assert.equal(await readClassSet(file), alone)
})

test('a damaged file is refused with what is wrong', async () => {
  type Saved = ReturnType<typeof saved>
  const array = (name: string) => `array ${name} is missing or does not fit the file`
  const rows = 'its classes and rows do not agree'
  const thresholds = 'its label_thresholds are not a number from 0 to 1, or null, for each class'
  const metadata = (key: string, value: unknown) => (s: Saved) => Object.assign(s.header.__metadata__, { [key]: value })
  const entry = (name: string, change: object) => (s: Saved) => Object.assign(s.header[name], change)
  for (const [change, message] of [
    [metadata('format', 'x'), "its format is 'x', expected 'clip-es class set 1'"],
    [(s: Saved) => Reflect.deleteProperty(s.header, '__metadata__'), "its format is 'undefined', expected 'clip-es class set 1'"],
    [(s: Saved) => Reflect.deleteProperty(s.header, 'rows'), array('rows')],
    [entry('rows', { dtype: 'F16' }), array('rows')],
    [entry('rows', { shape: [8] }), array('rows')],
    [entry('rows', { shape: [4, 3] }), array('rows')],
    [entry('rows', { data_offsets: [-4, 28] }), array('rows')],
    [entry('background', { data_offsets: [52, 60] }), array('background')],
    [entry('first_row', { dtype: 'F32' }), array('first_row')],
    [metadata('names', '["a","b",1]'), 'its names is not a list of texts'],
    [metadata('names', undefined), 'its names is not a list of texts'],
    [metadata('templates', '"x"'), 'its templates is not a list of texts'],
    [metadata('dropped_background', 'null'), 'its dropped_background is not a list of texts'],
    [metadata('names', '["a","b","a"]'), 'its names are too many, or one stands twice'],
    [
      metadata('names', JSON.stringify(Array.from({ length: 255 }, (_, i) => `${i}`))),
      'its names are too many, or one stands twice',
    ],
    [metadata('names', '["a","b"]'), rows],
    [metadata('names', '[]'), rows],
    [
      (s: Saved) => {
        metadata('names', '[]')(s)
        entry('rows', { shape: [0, 2], data_offsets: [0, 0] })(s)
        entry('first_row', { shape: [1], data_offsets: [32, 36] })(s)
      },
      rows,
    ],
    [(s: Saved) => s.body.writeInt32LE(1, 32), rows],
    [(s: Saved) => s.body.writeInt32LE(3, 36), rows],
    [(s: Saved) => s.body.writeInt32LE(5, 44), rows],
    [metadata('background', '["sky","sea"]'), 'its background does not agree'],
    [entry('background', { shape: [2, 1] }), 'its background does not agree'],
    [
      (s: Saved) => [metadata('background', '["sky","sea"]')(s), entry('background', { shape: [2, 1] })(s)],
      'its background does not agree',
    ],
    [(s: Saved) => s.body.writeFloatLE(Number.NaN, 0), 'an embedding is not finite'],
    [(s: Saved) => s.body.writeFloatLE(Number.POSITIVE_INFINITY, 52), 'an embedding is not finite'],
    [metadata('fusion', 'mean'), "its fusion is 'mean'"],
    [metadata('label_thresholds', '[null,0,1.1]'), thresholds],
    [metadata('label_thresholds', '[null,-0.1,1]'), thresholds],
    [metadata('label_thresholds', '[null,"0",1]'), thresholds],
    [metadata('label_thresholds', '[null,0]'), thresholds],
    [metadata('label_thresholds', '1'), thresholds],
  ] as const) {
    const changed = saved()
    change(changed)
    const error = (await reasonOf(changed.read())) as { code: string; message: string }
    assert.is(error.message, `${file} is not a class set of save(), or is damaged: ${message}`)
    assert.is(error.code, 'ERR_MODEL_FORMAT')
  }
  const without = saved()
  Reflect.deleteProperty(without.header.__metadata__, 'model')
  assert.is((await without.read()).fingerprint, '')
  const short = (length: number) => writeFileSync(file, saved().bytes.subarray(0, length))
  short(7)
  await rejects(readClassSet(file), 'ERR_MODEL_FORMAT', /damaged: it has 7 bytes$/)
  for (const length of [8, saved().end - 1]) {
    short(length)
    await rejects(readClassSet(file), 'ERR_MODEL_FORMAT', /damaged: its header is cut off$/)
  }
  short(saved().end)
  await rejects(readClassSet(file), 'ERR_MODEL_FORMAT', array('rows'))
})

test('save() takes a path or a file URL, and an abort before it writes nothing', async () => {
  const classes = ClassSet.create(smallSet)
  const path = join(temporaryFolder(), 'a b.safetensors')
  await rejects(classes.save(path, { x: 1 } as never), 'ERR_INVALID_ARG', /^save\(\): unknown option 'x'; known: signal$/)
  await rejects(classes.save(path, { signal: 1 } as never), 'ERR_INVALID_ARG', /^save\(\): signal is 1; expected an AbortSignal$/)
  await rejects(classes.save(7 as never), 'ERR_INVALID_ARG', /^save\(\): file is 7; expected a path or a file URL$/)
  assert.is(await reasonOf(classes.save(path, { signal: AbortSignal.abort('stop') })), 'stop')
  assert.not(existsSync(path))
  await classes.save(pathToFileURL(path), { signal: new AbortController().signal })
  assert.equal(await readClassSet(path), smallSet)
})

test('a file that cannot be read or written is an error with its path and the remedy, and an abort with its reason', async () => {
  const none = join(file, 'none')
  writeClassSet(file, smallSet)
  const error = (await reasonOf(readClassSet(none))) as Error
  await rejects(
    Promise.reject(error),
    'ERR_MODEL_READ',
    `loadClasses(): cannot read ${none}: `,
    /ENOTDIR.*; check the path and the permissions$/,
  )
  assert.is((error.cause as NodeJS.ErrnoException).code, 'ENOTDIR')
  const reason = new Error('stop')
  for (const path of [file, none]) assert.is(await reasonOf(readClassSet(path, AbortSignal.abort(reason))), reason)
  const controller = new AbortController()
  const reading = readClassSet(none, controller.signal)
  controller.abort(reason)
  assert.is(await reasonOf(reading), reason)
  const remedy = /; check that its folder exists, that you may write there, and that the disk has room$/
  await rejects((async () => writeClassSet(none, smallSet))(), 'ERR_IO', `save(): cannot write ${none}: `, remedy)
})

test.run()
