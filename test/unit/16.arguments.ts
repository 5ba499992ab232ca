// Checks of arguments that all calls share, and the errors of native code.
import { pathToFileURL } from 'node:url'
import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { allocate } from '../../ts/core/allocate.js'
import {
  checkArray,
  checkAttached,
  checkBoolean,
  checkInteger,
  checkMemory,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkSignal,
  checkText,
  checkUnique,
  show,
  unknownWord,
} from '../../ts/core/check.js'
import { ClipEsError, fromNative, invalid } from '../../ts/core/errors.js'
import { checkFile } from '../../ts/core/file_argument.js'
import { nearest } from '../../ts/core/nearest.js'
import { short } from '../../ts/core/short.js'
import { splitWords } from '../../ts/core/split_words.js'
import { refusal } from './support.js'

test('a value is shown in at most 60 characters, an array with three elements', () => {
  assert.is(show('x'.repeat(58)), `'${'x'.repeat(58)}'`)
  assert.is(show('x'.repeat(59)), `'${'x'.repeat(56)}...`)
  assert.is(show([1, 2, 3, 4]), '[ 1, 2, 3, ... 1 more item ]')
  assert.is(show({ a: { b: 1 } }), '{ a: [Object] }')
})

test('an unknown word has the nearest known one, and at most twelve are listed', () => {
  const letters = [...'abcdefghijklm']
  assert.is(
    unknownWord('c()', 'thing', 'xyz', letters.slice(1)).message,
    `c(): unknown thing 'xyz'; known: ${letters.slice(1).join(', ')}`,
  )
  assert.is(
    unknownWord('c()', 'thing', 'xyz', letters).message,
    `c(): unknown thing 'xyz'; known: ${letters.slice(0, 12).join(', ')}, …`,
  )
  assert.is(unknownWord('c()', 'thing', 'cta', ['cat']).message, "c(): unknown thing 'cta'; did you mean 'cat'? known: cat")
})

test('the nearest word has the fewest added, missing, changed or swapped letters, and at most a third of them', () => {
  for (const [word, known, found] of [
    ['abcdef', ['abcdxy', 'abcdex'], 'abcdex'],
    ['abcdef', ['abcdex', 'abcdey'], 'abcdex'],
    ['abcdef', ['abxyef'], 'abxyef'],
    ['abcdef', ['axyzef'], undefined],
    ['abcdef', ['badcef'], 'badcef'],
    ['abcdef', ['badcfe'], undefined],
    ['abcdef', ['cbadef'], 'cbadef'],
    ['abc', ['abcd'], 'abcd'],
    ['abcd', ['abc'], 'abc'],
    ['abcd', ['bcd'], 'bcd'],
    ['bcd', ['abcd'], 'abcd'],
    ['abcde', ['abc'], undefined],
    ['abc', ['abcde'], undefined],
    ['abcd', ['abcdef'], 'abcdef'],
    ['abcdefgh', ['ABCDEFGH'], 'ABCDEFGH'],
    ['ABCDEFGH', ['abcdefgx'], 'abcdefgx'],
    ['a', ['b'], undefined],
    ['ab', ['ba'], 'ba'],
    ['xb', ['by'], undefined],
    ['bx', ['yb'], undefined],
    ['', ['a'], undefined],
    ['abc', [], undefined],
    ['xabcdef', ['abcdefx', 'xabcde'], 'xabcde'],
  ] as const)
    assert.is(nearest(word, known), found, `${word} of ${known}`)
})

test('values within their limits are returned, and others refused with what was expected', () => {
  assert.equal(
    [checkNumber('c()', 'n', 1, 1, 2), checkNumber('c()', 'n', 2, 1, 2), checkNumber('c()', 'n', 9, 1, Number.POSITIVE_INFINITY)],
    [1, 2, 9],
  )
  assert.equal([checkInteger('c()', 'n', 1, 1, 2), checkInteger('c()', 'n', 2, 1, 2)], [1, 2])
  assert.equal([checkBoolean('c()', 'b', true), checkBoolean('c()', 'b', false)], [true, false])
  assert.is(checkText('c()', 't', ' a '), ' a ')
  assert.is(checkOneOf('c()', 'o', 'b', ['a', 'b']), 'b')
  assert.equal([checkArray('c()', 'a', [1], 1, 2), checkArray('c()', 'a', [1, 2], 1, 2)], [[1], [1, 2]])
  const given = [1, 2]
  assert.is.not(checkArray('c()', 'a', given, 1), given, 'a copy')
  const options = { a: 1 }
  assert.is(checkOptions('c()', options, ['a']), options)
  assert.equal(checkOptions('c()', undefined, []), {})
  const { signal } = new AbortController()
  assert.equal([checkSignal('c()', signal), checkSignal('c()', undefined)], [signal, undefined])
  checkUnique('c()', 'u', ['a', 'b'])
  for (const [call, message] of [
    [() => checkNumber('c()', 'n', 0.9, 1, 2), 'n is 0.9; expected a number from 1 to 2'],
    [() => checkNumber('c()', 'n', 2.1, 1, 2), 'n is 2.1; expected a number from 1 to 2'],
    [() => checkNumber('c()', 'n', 0, 1, Number.POSITIVE_INFINITY), 'n is 0; expected a number of 1 or more'],
    [() => checkNumber('c()', 'n', '1', 1, 2), "n is '1'; expected a number from 1 to 2"],
    [() => checkInteger('c()', 'n', 0, 1, 3), 'n is 0; expected a whole number from 1 to 3'],
    [() => checkInteger('c()', 'n', 4, 1, 3), 'n is 4; expected a whole number from 1 to 3'],
    [() => checkInteger('c()', 'n', 1.5, 1, 3), 'n is 1.5; expected a whole number from 1 to 3'],
    [() => checkBoolean('c()', 'b', 1), 'b is 1; expected true or false'],
    [() => checkText('c()', 't', ' '), "t is ' '; expected a text that is not empty"],
    [() => checkText('c()', 't', 1), 't is 1; expected a text that is not empty'],
    [() => checkOneOf('c()', 'o', 'x', ['a', 'b']), "unknown o 'x'; known: a, b"],
    [() => checkOneOf('c()', 'o', 1, ['a', 'b']), "o is 1; expected 'a' or 'b'"],
    [() => checkArray('c()', 'a', 'x', 1), "a is 'x'; expected an array"],
    [() => checkArray('c()', 'a', [], 1), 'a has 0 elements; expected 1 or more'],
    [() => checkArray('c()', 'a', [1, 2, 3], 1, 2), 'a has 3 elements; expected 1 to 2'],
    [() => checkArray('c()', 'a', [], 1, 2), 'a has 0 elements; expected 1 to 2'],
    [() => checkOptions('c()', null as never, []), 'options is null; expected an object'],
    [() => checkOptions('c()', [] as never, []), 'options is []; expected an object'],
    [() => checkOptions('c()', 'x' as never, []), "options is 'x'; expected an object"],
    [() => checkOptions('c()', { ab: 1 } as object, ['abc' as never]), "unknown option 'ab'; did you mean 'abc'? known: abc"],
    [() => checkSignal('c()', {}), 'signal is {}; expected an AbortSignal'],
    [() => checkUnique('c()', 'u', ['a', 'b', 'a']), "u has 'a' twice; leave one out"],
    [
      () => checkAttached('c()', 'm', new Uint8Array()),
      'm was transferred away before the call ended; wait for the result first',
    ],
  ] as const)
    assert.is(refusal(call), `c(): ${message}`)
  checkAttached('c()', 'm', new Uint8Array(1))
})

test('memory that other threads can change, or that can shrink or is gone, is refused', () => {
  const resizable = Reflect.construct(ArrayBuffer, [4, { maxByteLength: 8 }]) as ArrayBuffer
  checkMemory('c()', 'm', new Uint8Array(4))
  assert.is(
    refusal(() => checkMemory('c()', 'm', new Uint8Array(new SharedArrayBuffer(4)))),
    'c(): m lies in a SharedArrayBuffer, which other threads may change; copy it first',
  )
  assert.is(
    refusal(() => checkMemory('c()', 'm', new Uint8Array(resizable))),
    'c(): m lies in a resizable ArrayBuffer, which may shrink while it is in use; copy it first',
  )
  const gone = { buffer: { detached: true } } as unknown as ArrayBufferView // Node.js 20 does not say it of its own
  assert.is(
    refusal(() => checkMemory('c()', 'm', gone)),
    'c(): m lies in a detached ArrayBuffer: it was transferred away',
  )
})

test('a file is named by a path or by a file URL', () => {
  assert.equal(
    ['a b.pt', 'C:\\m.pt', 'a:b', pathToFileURL('/a b.pt')].map((value) => checkFile('c()', 'f', value)),
    ['a b.pt', 'C:\\m.pt', 'a:b', '/a b.pt'],
  )
  const scheme = (found: string) => `a URL with the scheme '${found}'; download the file and pass its path or file URL`
  for (const [value, message] of [
    [1, 'is 1; expected a path or a file URL'],
    ['', "is ''; expected a text that is not empty"],
    ['a\0', "is 'a\\x00'; expected a path without a zero byte, which would end the path early"],
    ['FILE:///a', "is the text 'FILE:///a'; texts are paths: write new URL('file://…')"],
    ['ab://x', `is 'ab://x', ${scheme('ab')}`],
    [new URL('https://x/a'), `is 'https://x/a', ${scheme('https')}`],
  ] as const)
    assert.is(
      refusal(() => checkFile('c()', 'f', value)),
      `c(): f ${message}`,
    )
  const remote = refusal(() => checkFile('c()', 'f', new URL('file://host/a')))
  assert.match(remote, /^c\(\): f is 'file:\/\/host\/a', which names no local file \(.+\); write file:\/\/\/path$/)
})

test('words stand between commas, and words with commas in quotes', () => {
  assert.equal(splitWords(' cat , "black cat, white paws",dog'), ['cat', 'black cat, white paws', 'dog'])
  assert.equal(splitWords('"a ""b"" c"'), ['a "b" c'])
  assert.equal([splitWords(''), splitWords('  '), splitWords('a'), splitWords('a"b')], [[], [], ['a'], ['a"b']])
  const quotes = 'Put a word with a comma into double quotes, and write a quote in it twice.'
  const missing = 'A word is missing before or after a comma.'
  for (const [text, message] of [
    ['"a', quotes],
    ['"a" b', quotes],
    ['a,', missing],
    [',a', missing],
    ['a,,b', missing],
    ['"",b', missing],
  ] as const)
    assert.is(
      refusal(() => splitWords(text)),
      message,
      text,
    )
})

test('a number keeps six digits', () => {
  assert.equal([0.123456789, 1, 1234567.8].map(short), [0.123457, 1, 1234570])
})

test('a lack of memory is an error with what was needed and the remedy', () => {
  assert.equal(allocate('x', Uint8Array, 3), new Uint8Array(3))
  for (const [remedy, shown] of [
    [undefined, 'take a smaller photo or fewer labels'],
    ['buy more', 'buy more'],
  ])
    try {
      allocate('c(): cams', Float32Array, 2 ** 53, remedy)
      assert.unreachable()
    } catch (error) {
      const { code, message, cause } = error as ClipEsError
      assert.is(code, 'ERR_OUT_OF_MEMORY')
      assert.is(message, `c(): cams needs 9007199254740992 elements, more than can be allocated; ${shown}`)
      assert.instance(cause, RangeError)
    }
})

test('all codes of the add-on are kept, and anything else is reported as a bug', () => {
  const codes = [
    ...['ERR_INVALID_ARG', 'ERR_MODEL_READ', 'ERR_MODEL_FORMAT', 'ERR_LIBTORCH', 'ERR_DEVICE_UNAVAILABLE'],
    ...['ERR_OUT_OF_MEMORY', 'ERR_QUEUE_FULL', 'ERR_CLOSED', 'ERR_IO', 'ERR_INTERNAL'],
  ]
  for (const code of codes) {
    const cause = Object.assign(new Error('why'), { code })
    const error = fromNative(cause)
    assert.equal([error.name, error.code, error.message, error.cause], ['ClipEsError', code, 'why', cause])
  }
  const own = new ClipEsError('ERR_IO', 'x')
  assert.is(fromNative(own), own)
  for (const cause of [
    Object.assign(new Error('why'), { code: 'EPERM' }),
    Object.assign(new Error('why'), { code: 'toString' }),
    'why',
  ]) {
    const error = fromNative(cause)
    assert.equal([error.code, error.cause], ['ERR_INTERNAL', cause])
    assert.is(error.message, 'This is a bug in clip-es: why; please report it with this message and the call that failed')
  }
  assert.match(fromNative(undefined).message, /^This is a bug in clip-es: undefined; /)
  const cause = new Error('x')
  assert.equal([invalid('m', { cause }).code, invalid('m', { cause }).cause], ['ERR_INVALID_ARG', cause])
})

test.run()
