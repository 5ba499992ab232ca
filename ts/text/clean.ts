// TypeScript reads the types of `entities/decode` as those of an ES module. Its code is loaded by require, as everywhere in this package.
import type * as Entities from 'entities/decode' with { 'resolution-mode': 'import' }

const { decodeHTML, decodeHTMLStrict } = require('entities/decode') as typeof Entities

type Rule = readonly [pattern: RegExp, replacement: string | ((match: string) => string)]

const compatible = (match: string): string => match.normalize('NFKC')

/** ftfy's repairs of characters, in ftfy's order; line breaks need none here, where white space becomes a space. */
const REPAIRS: readonly Rule[] = [
  [/[\x80-\x9f]/g, (c) => decodeHTML(`&#${c.charCodeAt(0)};`)], // C1 controls are Windows-1252, for HTML too
  [/[\u0132\u0133\u0149\u01c4-\u01cc\u01f1-\u01f3\ufb00-\ufb04\ufb06]/g, compatible], // ligatures, digraphs: ĳ, ŉ, ǆ, ﬁ
  [/\ufb05/g, '\u017ft'], // the one ligature with a long s, which NFKC would lose
  [/[\u3000\uff01-\uffef]/g, compatible], // full-width Latin, half-width Katakana and Hangul, the ideographic space
  [/[\u201c-\u201f]/g, '"'], // curly double quotes
  [/[\u02bc\u2018-\u201b]/g, "'"], // curly single quotes, so that contractions are found
  [/[\ud800-\udfff]/gu, '\ufffd'], // half a surrogate pair has no UTF-8; whole pairs do not match under /u
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the escape character is what terminals look for
  [/\x1b\[[\p{Nd};]*[a-zA-Z]/gu, ''], // terminal colours, pasted from a log
  [/(?![\t\n\f\r\x80-\x9f])\p{Cc}|[\u206a-\u206f\ufeff\ufff9-\ufffc]/gu, ''], // controls, byte-order mark, placeholders
]

const REFERENCE = /&(?:#[0-9]+|#x[0-9a-f]+|[^\t\n\f <&#;]{1,32});?/giu
const CLOSED_REFERENCE = /&#?[0-9a-z]{1,24};/gi
const UNPRINTABLE = /^(?:(?![\t\n\f\r\x80-\x9f])\p{Cc}|\p{Noncharacter_Code_Point})$/u

/** Python's html.unescape: `&eacute;`, `&lt` without its semicolon, `&#233;`. A number of no character leaves nothing. */
function unescapeAll(text: string): string {
  return text.replace(REFERENCE, (reference) => {
    const decoded = decodeHTML(reference)
    return reference.startsWith('&#') && UNPRINTABLE.test(decoded) ? '' : decoded
  })
}

/** ftfy's unescape_html: closed references only, and names of small letters also when written in capitals, `&EACUTE;`. */
function unescapeClosed(text: string): string {
  return text.replace(CLOSED_REFERENCE, (reference) => {
    if (reference.startsWith('&#')) {
      const decoded = unescapeAll(reference)
      return decoded.includes(';') ? reference : decoded
    }
    const decoded = decodeHTMLStrict(reference)
    if (decoded !== reference || reference !== reference.toUpperCase() || unescapeAll(reference) !== reference) return decoded
    const small = decodeHTMLStrict(reference.toLowerCase())
    return small === reference.toLowerCase() ? reference : small.toUpperCase()
  })
}

/** Repairs until nothing changes: one repair can uncover the next (`&amp;amp;`, a full-width `&`). */
function repair(line: string, decode: boolean): string {
  for (let before = ''; line !== before; ) {
    before = line
    if (decode) line = unescapeClosed(line)
    for (const [pattern, replacement] of REPAIRS) line = line.replace(pattern, replacement as string)
    line = line.normalize('NFC')
  }
  return line
}

/** ftfy.fix_text without its repair of mojibake: line by line; from a line with a `<` on, references are taken for meant. */
function repairLines(text: string): string {
  const lines = text.split(/(?<=\n)/)
  const markup = lines.findIndex((line) => line.includes('<'))
  return lines.map((line, i) => repair(line, markup === -1 || i < markup)).join('')
}

/**
 * What CLIP's reference tokenizer does to a text before byte-pair encoding: ftfy's repairs (all but mojibake), HTML
 * references twice, runs of white space to one space, lower case.
 * Source: openai/CLIP clip/simple_tokenizer.py (basic_clean, whitespace_clean), ftfy 6 fixes.py, Python's html.unescape.
 */
export function clean(text: string): string {
  return unescapeAll(unescapeAll(repairLines(text)))
    .replace(/\p{White_Space}+/gu, ' ') // not \s, which in JavaScript also means the byte-order mark
    .replace(/^ | $/g, '')
    .toLowerCase()
}
