import { invalid } from './errors.js'

const quotedWord = /\s*"((?:[^"]|"")*)"\s*(,|$)|\s*([^",][^,]*?|)\s*(,|$)/y

/**
 * Words between commas; none for an empty text. A word with a comma stands in quotes, as in CSV: `"black cat, white paws",dog`. A quote inside
 * quotes is written twice.
 * @throws ERR_INVALID_ARG, a whole sentence without the text
 */
export function splitWords(text: string): string[] {
  if (text.trim() === '') return []
  const list: string[] = []
  const pattern = new RegExp(quotedWord)
  for (;;) {
    const match = pattern.exec(text)
    if (!match) throw invalid('Put a word with a comma into double quotes, and write a quote in it twice.')
    const [, quoted, quotedEnd, plain, plainEnd] = match
    const word = (quoted?.replaceAll('""', '"') ?? plain ?? '').trim()
    if (word === '') throw invalid('A word is missing before or after a comma.')
    list.push(word)
    if ((quotedEnd ?? plainEnd) === '') return list
  }
}
