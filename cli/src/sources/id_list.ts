import { posix } from 'node:path'
import { invalid } from 'clip-es/support'
import { plainName } from '../files/existing.js'
import { readText } from '../files/read_text.js'
import { stemOf } from '../photos/names.js'
import { messageOf } from '../shared/wording.js'

// Lists differ: `ID`, `ID 1` (VOC's Main), `ID.jpg label`, `/JPEGImages/ID.jpg /SegmentationClass/ID.png`; and an ID can have dots and blanks.
// So a line is read as the longest of its beginnings that names something known.

/** 'a b c', 'a b', 'a'. */
function beginnings(line: string): string[] {
  const ends = [...line.matchAll(/\s+/g)].map(({ index }) => line.slice(0, index))
  return [line, ...ends.reverse()]
}

/** What a beginning can mean, the most literal first. */
function meanings(text: string): string[] {
  const path = text.replaceAll('\\', '/').replace(/^(\.?\/)+/, '')
  return [path, stemOf(path), posix.basename(path), stemOf(posix.basename(path))]
}

/** For a line that names nothing known: an error message must show what was meant. */
function guess(line: string): string {
  const [first = '', ...rest] = line.split(/\s+/)
  const isFirst = rest.every((word) => /^-?[01]$/.test(word) || word.includes('/'))
  const path = isFirst ? first : line
  return path.startsWith('/') ? stemOf(posix.basename(path)) : stemOf(path)
}

function textOf(file: string): string {
  try {
    return readText(file)
  } catch (error) {
    throw invalid(`${file}: ${messageOf(error)}`)
  }
}

/**
 * The IDs of a list, each once, one from each line.
 * @param isKnown whether something has this ID; names are compared in Unicode's composed form
 */
export function readIdList(file: string, isKnown: (plain: string) => boolean): string[] {
  const ids = textOf(file)
    .split(/\r\n|\r|\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '')
    .map(
      (line) =>
        beginnings(line)
          .flatMap(meanings)
          .find((id) => isKnown(plainName(id))) ?? guess(line),
    )
  return [...new Set(ids)]
}
