// Pickles of numpy, instruction by instruction.
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { readNumpyPickle } from '../../cli/src/formats/pickle.js'

type Piece = string | number[]

/** A pickle of instructions as text in latin1 or as bytes, with its end. */
const pickle = (...pieces: Piece[]): Buffer =>
  Buffer.concat([...pieces, '.'].map((piece) => (typeof piece === 'string' ? Buffer.from(piece, 'latin1') : Buffer.from(piece))))
const read = (...pieces: Piece[]): unknown => readNumpyPickle(pickle(...pieces))

function refused(message: RegExp, ...pieces: Piece[]): void {
  assert.throws(
    () => read(...pieces),
    (error: { code: string; message: string }) => {
      assert.is(error.code, 'ERR_INVALID_ARG')
      assert.match(error.message, message)
      return true
    },
  )
}

const double = Buffer.alloc(8)
double.writeDoubleBE(-0.15625)

test('numbers, texts and bytes', () => {
  assert.is(read('J', [0xfe, 0xff, 0xff, 0xff]), -2)
  assert.is(read('K', [200]), 200)
  assert.is(read('M', [0x34, 0x12]), 0x1234)
  assert.is(read('G', [...double]), -0.15625)
  for (const [bytes, value] of [
    [[], 0],
    [[0x7f], 127],
    [[0x80], -128],
    [[0xff], -1],
    [[0x00, 0x80], -32768],
    [[0xff, 0x7f], 32767],
    [[0, 0, 0, 0, 1], 2 ** 32],
  ] as const)
    assert.is(read([0x8a, bytes.length, ...bytes]), value, `LONG1 ${bytes}`)
  assert.equal([read('N'), read([0x88]), read([0x89])], [null, true, false])
  assert.is(read('X', [3, 0, 0, 0], 'abc'), 'abc')
  assert.is(read([0x8c, 2], [0xc3, 0xa9]), 'é')
  for (const bytes of [read('C', [2], 'ab'), read('B', [2, 0, 0, 0], 'ab'), read([0x8e, 2, 0, 0, 0, 0, 0, 0, 0], 'ab')])
    assert.equal(bytes, Buffer.from('ab'))
})

test('lists, tuples and dictionaries', () => {
  assert.equal([read(')'), read(']'), read('}')], [[], [], new Map()])
  assert.equal(read('K', [1], [0x85]), [1])
  assert.equal(read('K', [1], 'K', [2], [0x86]), [1, 2])
  assert.equal(read('K', [1], 'K', [2], 'K', [3], [0x87]), [1, 2, 3])
  assert.equal(read('(', 'K', [1], 'K', [2], 'K', [3], 'K', [4], 't'), [1, 2, 3, 4])
  assert.equal(read(']', 'K', [1], 'a', '(', 'K', [2], 'K', [3], 'e'), [1, 2, 3])
  assert.equal(
    read('}', 'K', [1], 'K', [2], 's', '(', 'K', [3], 'K', [4], 'K', [5], 'K', [6], 'u'),
    new Map([
      [1, 2],
      [3, 4],
      [5, 6],
    ]),
  )
})

test('what is remembered can be used again, by each of the instructions for it', () => {
  assert.equal(
    read([0x80, 4, 0x95], [9, 0, 0, 0, 0, 0, 0, 0], 'K', [7], [0x94], 'K', [8], [0x94], 'h', [0], 'h', [1], [0x87]),
    [8, 7, 8],
  )
  assert.equal(read('K', [7], 'q', [5], 'h', [5], [0x86]), [7, 7])
  assert.equal(read('K', [7], 'r', [0, 1, 0, 0], 'j', [0, 1, 0, 0], [0x86]), [7, 7])
})

const dtype = (code: string, order = '<'): Piece[] => [
  ...['cnumpy\ndtype\n', 'X', [code.length, 0, 0, 0], code, [0x89, 0x88, 0x87], 'R'],
  ...['(', 'K', [3], 'X', [1, 0, 0, 0], order, 'N', 't', 'b'],
]
const array = (module: string, state: Piece[]): Piece[] => [
  ...[`c${module}.multiarray\n_reconstruct\n`, 'cnumpy\nndarray\n', 'K', [0], [0x85], 'C', [1], 'b', [0x87], 'R'],
  ...['(', 'K', [1], ...state, 't', 'b'],
]

test('arrays and numbers of numpy, by the names of old and new versions', () => {
  const state: Piece[] = ['K', [2], 'K', [1], [0x86], ...dtype('u2'), [0x89], 'C', [4], [1, 0, 2, 1]]
  for (const module of ['numpy.core', 'numpy._core'])
    assert.equal(read(...array(module, state)), { type: 'u2', shape: [2, 1], values: Float64Array.of(1, 258) })
  for (const module of ['numpy.core', 'numpy._core'])
    assert.is(read(`c${module}.multiarray\nscalar\n`, ...dtype('i2'), 'C', [2], [0xfe, 0xff], [0x86], 'R'), -2)
  const stacked = ['X', [22, 0, 0, 0], 'numpy._core.multiarray', 'X', [6, 0, 0, 0], 'scalar', [0x93]] as Piece[]
  assert.is(read(...stacked, ...dtype('u1', '|'), 'C', [1], [9], [0x86], 'R'), 9)
  const objects: Piece[] = [')', ...dtype('O8', '|'), [0x89], ']', 'K', [5], 'a']
  assert.equal(read(...array('numpy._core', objects)), [5], 'an array of objects is its list')
  const dictionary = read('}', 'X', [1, 0, 0, 0], 'a', ...array('numpy.core', state), 's') as Map<
    string,
    { values: Float64Array }
  >
  assert.equal(dictionary.get('a')?.values, Float64Array.of(1, 258))
})

test('arrays in Fortran order are refused, but those of one side are the same in both', () => {
  const bytes: Piece[] = ['C', [2], [1, 2]]
  const flat: Piece[] = ['K', [2], [0x85], ...dtype('u1', '|'), [0x88], ...bytes]
  assert.equal((read(...array('numpy.core', flat)) as { values: Float64Array }).values, Float64Array.of(1, 2))
  refused(
    /^its array is in Fortran order; save it with numpy\.ascontiguousarray$/,
    ...array('numpy.core', ['K', [2], 'K', [1], [0x86], ...dtype('u1', '|'), [0x88], ...bytes]),
  )
})

test('a pickle that is not one of numpy is refused with what is wrong', () => {
  refused(/^its pickle has the instruction 0x69, which numpy writes for no array of numbers$/, 'i')
  refused(
    /^its pickle calls builtins\.eval, which is not allowed; only dictionaries of arrays are read$/,
    'cbuiltins\neval\n',
    'X',
    [1, 0, 0, 0],
    '1',
    [0x85],
    'R',
  )
  refused(/calls numpy\.core\.multiarray\.scalars, which/, 'cnumpy.core.multiarray\nscalars\n', ')', 'R')
  for (const damaged of [
    [],
    ['t'],
    ['K', [1], 'a'],
    ['N', 'K', [1], 'a'],
    ['K', [1], '(', 'K', [2], 'e'],
    ['K', [1], 'K', [2], 'K', [3], 's'],
    ['K', [1], ')', 'R'],
    ['cnumpy\ndtype\n', 'K', [1], 'R'],
  ] as Piece[][])
    refused(/^its pickle is damaged; save the file again$/, ...damaged)
  refused(/^its pickle has an object that is not an array$/, 'K', [1], ')', 'b')
  refused(/^its pickle has an object that is not an array$/, ...dtype('u1'), 'K', [1], 'b')
  const scalar = 'cnumpy.core.multiarray\nscalar\n'
  refused(/^its pickle has a damaged number; save the file again$/, scalar, 'K', [1], 'C', [1], [1], [0x86], 'R')
  refused(/^its pickle has a damaged number; save the file again$/, scalar, ...dtype('u1'), 'K', [1], [0x86], 'R')
  refused(
    /^its pickle has a damaged array; save the file again$/,
    ...array('numpy.core', ['K', [2], ...dtype('u1'), [0x89], 'C', [1], [1]]),
  )
  refused(/^its pickle has a damaged array; save the file again$/, ...array('numpy.core', [')', 'K', [1], [0x89], 'C', [1], [1]]))
  refused(
    /^its pickle has a damaged array; save the file again$/,
    ...array('numpy.core', [')', ...dtype('u1'), [0x89], 'K', [1]]),
  )
  refused(
    /its array of 3 needs 6 bytes; there are 5/,
    ...array('numpy.core', ['K', [3], [0x85], ...dtype('u2'), [0x89], 'C', [5], '12345']),
  )
})

test('a pickle that ends within an instruction is refused, whatever the instruction is', () => {
  for (const pieces of [
    ...[
      [],
      ['K'],
      ['M', [1]],
      ['J', [1, 2, 3]],
      ['G', [1, 2, 3, 4, 5, 6, 7]],
      ['C'],
      ['C', [3], 'ab'],
      ['B', [3, 0, 0, 0], 'ab'],
    ],
    ...[['X', [3, 0, 0, 0], 'ab'], [[0x8c, 3], 'ab'], [[0x8e, 3, 0, 0, 0, 0, 0, 0, 0], 'ab'], [[0x8a, 3, 1, 2]], ['cnumpy']],
    ...[
      ['cnumpy\ndtype'],
      ['N', 'q'],
      ['N', 'r', [0, 0, 0]],
      ['N', 'h'],
      ['N', 'j', [0]],
      [[0x80]],
      [[0x95, 0, 0, 0, 0, 0, 0, 0]],
    ],
  ] as Piece[][])
    assert.throws(
      () => readNumpyPickle(pickle(...pieces).subarray(0, -1)),
      (error: { code: string; message: string }) => {
        assert.equal(
          [error.code, error.message],
          ['ERR_INVALID_ARG', 'its pickle is cut short; save the file again'],
          String(pieces),
        )
        return true
      },
    )
})

test.run()
