import { test } from 'uvu'
import * as assert from 'uvu/assert'
import { clean } from '../../ts/text/clean.js'

/** Each text becomes the other, as in openai/CLIP with ftfy 6.3.1. */
function becomes(pairs: [text: string, cleaned: string][]): void {
  for (const [text, cleaned] of pairs) assert.is(clean(text), cleaned, JSON.stringify(text))
}

test('runs of white space become one space, and white space at the ends is removed', () => {
  becomes([
    ['', ''],
    ['  a \t\n\f b ', 'a b'],
    ['a\u00a0\u2003\u3000b', 'a b'],
    ['a\r\nb\rc\u2028d\u2029e', 'a b c d e'],
  ])
})

test('letters become lower case as in Python: İ keeps its dot, and the last sigma of a word is final', () => {
  becomes([
    ['İSTANBUL', 'i\u0307stanbul'],
    ['ΟΔΟΣ ΣΟΦΟΣ', 'οδος σοφος'],
    ['STRAßE', 'straße'],
    ['Σ', 'σ'],
    ['ΑΣ.Β', 'ασ.β'],
  ])
})

test('HTML references are decoded until none is left, up to four times', () => {
  becomes([
    ['&lt;b&gt;', '<b>'],
    ['&amp;amp;amp;', '&'],
    ['&eacute;', 'é'],
    ['&#39;&#x27;', "''"],
    ['&#x1F600;', '😀'],
    ['&copy 2024', '© 2024'],
  ])
})

test('references in a text with a literal < are decoded twice only, for that text and the lines after it', () => {
  becomes([
    ['<&amp;amp;amp;', '<&amp;'],
    ['&amp;amp;amp; <', '&amp; <'],
    ['&amp;amp;amp;\n<', '& <'],
    ['<\n&amp;amp;amp;', '< &amp;'],
  ])
})

test('references written in capitals are decoded when that is unambiguous', () => {
  becomes([
    ['P&EACUTE;REZ', 'pérez'],
    ['&SZLIG;', 'ss'],
    ['&eACUTE;', '&eacute;'],
    ['&LTIMES;', '<imes;'],
  ])
})

test('references to invalid characters become nothing or the replacement character', () => {
  becomes([
    ['a&#1;b', 'ab'],
    ['a&#xFDD0;b', 'ab'],
    ['&#0;', '\ufffd'],
    ['&#xD800;', '\ufffd'],
    ['&#x110000;', '\ufffd'],
    ['&#150;', '–'],
  ])
})

test('text that only looks like a reference stays', () => {
  becomes([
    ['C & C', 'c & c'],
    ['&unknown;', '&unknown;'],
    ['&;', '&;'],
    ['&#x;', '&#x;'],
    ['&#;', '&#;'],
  ])
})

test('ligatures and digraphs are split, and the long s of one of them stays', () => {
  becomes([
    ['ﬁsh ﬂower oﬃce ﬆop', 'fish flower office stop'],
    ['ﬅop', 'ſtop'],
    ['Ĳs ǅ Ǳ ǌ', 'ijs dž dz nj'],
    ['ŉ', "'n"],
    ['æ œ', 'æ œ'],
  ])
})

test('full-width and half-width characters take their usual width', () => {
  becomes([
    ['ＦＵＬＬ　１２３！', 'full 123!'],
    ['ﾈｺ ﾊﾟﾝ', 'ネコ パン'],
    ['￦', '₩'],
    ['＆ａｍｐ；', '&'],
  ])
})

test('curly quotes become straight, low and modifier ones too; angle quotes and primes stay', () => {
  becomes([
    ['“a” ‘b’ don’t ʼtis', "\"a\" 'b' don't 'tis"],
    ['„a‟ ‚b‛', '"a" \'b\''],
    ['«a» ‹b› 5′ 6″', '«a» ‹b› 5′ 6″'],
  ])
})

test('control characters, byte-order marks and terminal colours are removed, and joiners and direction marks stay', () => {
  becomes([
    ['\ufeffa\u0000\u0007b\u007f\u206a\ufffc', 'ab'],
    ['\u001b[31mred\u001b[0m', 'red'],
    ['👩‍👧', '👩‍👧'],
    ['a\u200bb\u200f', 'a\u200bb\u200f'],
  ])
})

test('a byte-order mark that a reference hid is not white space', () => {
  becomes([['a &#xFEFF b', 'a \ufeff b']])
})

test('C1 controls are read as Windows-1252', () => {
  becomes([['\u0080 \u0085 \u0093x\u0094', '€ … "x"']])
})

test('half a surrogate pair becomes the replacement character, a whole one stays', () => {
  becomes([
    ['\ud83da', '\ufffda'],
    ['\udc31\ud83d', '\ufffd\ufffd'],
    ['\ud83d\udc31', '🐱'],
  ])
})

test('characters are composed', () => {
  becomes([
    ['e\u0301', 'é'],
    ['\u212b', 'å'],
    ['\u1112\u1161\u11ab', '한'],
  ])
})

test('mojibake is left alone', () => {
  becomes([['schÃ¶n', 'schã¶n']])
})

test.run()
