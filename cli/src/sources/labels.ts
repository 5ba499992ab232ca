import { existsSync } from 'node:fs'
import { extname } from 'node:path'
import { invalid } from 'clip-es/support'
import { CsvError, parse } from 'csv-parse/sync'
import { readText } from '../files/read_text.js'
import { messageOf } from '../shared/wording.js'

/** The image-level labels of a file, by what it calls the photos, in its order. */
export type LabelsFile = Map<string, string[]>

const readers: Readonly<Record<string, (text: string, add: (photo: string, words: string[]) => void) => void>> = {
  '.csv': readCsv,
  '.json': readJson,
  '.txt': readTxt,
}

/**
 * Reads image-level labels. A photo may stand more than once: its labels are those of all its lines.
 * - `.txt`: `PHOTO LABEL LABEL …` a line, `_` for a blank; empty lines and lines that begin with `#` are ignored.
 * - `.csv`: the photo, then its labels, in columns or in one with `;` or `|` between them; a header is known by `image`, `photo`, `file`, … in
 *   its first column. Columns may be separated by `;` or tabs instead. One-hot: a header of class names, and 1 or 0 below each.
 * - `.json`: `{ "PHOTO": ["LABEL", …] }`, `{ "PHOTO": { "labels": […] } }` or `[{ "image": "PHOTO", "labels": […] }]`.
 * @throws ERR_INVALID_ARG naming the file and, where there is one, the line
 */
export function readLabels(path: string): LabelsFile {
  const reader = readers[extname(path).toLowerCase()]
  if (reader === undefined)
    throw invalid(`${path}: labels are read from ${Object.keys(readers).join(', ')} files; this one is '${extname(path)}'`)
  if (!existsSync(path)) throw invalid(`there is no labels file ${path}; name an existing one with --labels`)
  const labels: LabelsFile = new Map()
  try {
    reader(readText(path), (photo, words) => {
      const known = labels.get(photo)
      if (known === undefined) labels.set(photo, words)
      else known.push(...words)
    })
  } catch (error) {
    throw invalid(`${path}: ${messageOf(error)}`)
  }
  if (!labels.size) throw invalid(`${path}: it names no photo; write a line such as photo.jpg,cat for each photo`)
  return labels
}

function readTxt(text: string, add: (photo: string, words: string[]) => void): void {
  for (const line of text.split(/\r\n|\r|\n/)) {
    const [photo, ...words] = line.trim().split(/\s+/)
    if (photo && !photo.startsWith('#')) add(photo, words)
  }
}

const photoColumns = [
  'image',
  'photo',
  'file',
  'filename',
  'file_name',
  'image_id',
  'image_name',
  'imagename',
  'id',
  'name',
  'path',
]

/** What separates columns: the first candidate of the first line that stands outside of quotes. */
function delimiterOf(text: string): string {
  const [line = ''] = text.trimStart().split(/\r\n|\r|\n/)
  return /[,;\t]/.exec(line.replace(/"(?:[^"]|"")*"/g, ''))?.[0] ?? ','
}

const yes: readonly string[] = ['1', '1.0', 'true', 'yes']
const no: readonly string[] = ['0', '0.0', '-1', 'false', 'no', '']

/** A column for each class, with 1 where the photo shows it. VOC's -1 and 0 are no. */
function isOneHot([head = [], ...rows]: string[][]): boolean {
  const names = head.slice(1)
  const isFlag = (cell: string) => yes.includes(cell.toLowerCase()) || no.includes(cell.toLowerCase())
  if (names.length < 1 || !rows.length || names.some((name) => isFlag(name))) return false
  return rows.every((row) => row.length === head.length && row.slice(1).every(isFlag)) && rows.some((row) => row[1] !== '')
}

function readCsv(text: string, add: (photo: string, words: string[]) => void): void {
  let rows: string[][]
  const delimiter = delimiterOf(text)
  try {
    rows = parse(text, { bom: true, delimiter, relax_column_count: true, skip_empty_lines: true, trim: true })
  } catch (error) {
    if (error instanceof CsvError) throw invalid(error.message) // it names the line
    throw error
  }
  const oneHot = isOneHot(rows)
  const [head = []] = rows
  const hasHeader = oneHot || photoColumns.includes(head[0]?.toLowerCase() ?? '')
  const within = delimiter === ',' ? /[;|]/ : /[;,|]/
  for (const [photo = '', ...cells] of rows.slice(hasHeader ? 1 : 0)) {
    const words = oneHot
      ? cells.flatMap((cell, i) => (yes.includes(cell.toLowerCase()) ? [head[i + 1] as string] : []))
      : cells.flatMap((cell) => cell.split(within)).map((word) => word.trim())
    if (photo !== '')
      add(
        photo,
        words.filter((word) => word !== ''),
      )
  }
}

/** { "cat": 1, "dog": 0 } as ["cat"]; anything else as it is. */
function namesOf(value: unknown): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return value
  const entries = Object.entries(value)
  const isFlag = (flag: unknown) => typeof flag === 'boolean' || flag === 0 || flag === 1
  return entries.length && entries.every(([, flag]) => isFlag(flag))
    ? entries.flatMap(([name, flag]) => (flag ? [name] : []))
    : value
}

function readJson(text: string, add: (photo: string, words: string[]) => void): void {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw invalid(`is not JSON (${messageOf(error)})`)
  }
  if (typeof value !== 'object' || value === null) throw invalid('must be an object or a list of photos with their labels')
  for (const [key, entry] of Object.entries(value)) {
    const photo = Array.isArray(value) ? photoColumns.map((name) => entry?.[name]).find((name) => typeof name === 'string') : key
    const words = namesOf(Array.isArray(entry) ? entry : (entry?.labels ?? entry))
    if (typeof photo !== 'string') throw invalid(`[${key}] names no photo; write { "image": "…", "labels": ["…"] }`)
    if (!Array.isArray(words) || !words.every((word) => typeof word === 'string'))
      throw invalid(`'${photo}' has no list of labels; write ["…", "…"]`)
    add(photo, [...words])
  }
}
