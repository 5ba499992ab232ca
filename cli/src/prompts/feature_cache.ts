import { createHash } from 'node:crypto'
import { appendFileSync, existsSync, mkdirSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { Embeddings } from 'clip-es'
import { cacheFolder, invalid, readRegularSync } from 'clip-es/support'
import { photoState } from '../results/journal.js'
import { messageOf } from '../shared/wording.js'

const head = JSON.stringify({ format: 'clip-es image embeddings', version: 1 })

/** A photo's embedding as a line of the file holds it. */
interface Entry {
  photo: string
  /** Of the photo's file: a changed one is encoded again. */
  bytes: number
  modified: number
  /** What encoded it: `encoderKey`. */
  encoder: string
  /** The model's. */
  logitScale: number
  /** float32, little-endian, base64. */
  embedding: string
}

/** A photo as the model sees it. */
export type PhotoEmbedding = Pick<Embeddings, 'image' | 'logitScale'>

/** Names everything but the photo that an embedding depends on. */
export const encoderKey = (...parts: (string | number)[]): string =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)

/** Where a data set's embeddings are kept when no file is named. */
export function defaultCacheFile(photos: string): string {
  const name = `${basename(photos)}-${createHash('sha256').update(photos).digest('hex').slice(0, 10)}.jsonl`
  return join(cacheFolder(), 'embeddings', name)
}

/**
 * Embeddings of photos in a file: a line for each, appended as soon as it is there, so that a run that was killed goes on. A line that
 * was cut short is skipped; of several lines of a photo the last one counts.
 */
export class FeatureCache {
  readonly #known = new Map<string, Entry>()
  /** The last line was cut short: the next begins on a line of its own. */
  #torn = false

  /** @throws ERR_INVALID_ARG for a file that is something else, or in a folder that cannot be made */
  constructor(
    readonly file: string,
    readonly encoder: string,
    readonly length: number,
  ) {
    try {
      mkdirSync(dirname(file), { recursive: true })
      if (existsSync(file)) this.#read(readRegularSync(file).toString('utf8'))
      else appendFileSync(file, `${head}\n`)
    } catch (error) {
      throw invalid(`the embeddings of photos cannot be kept in ${file} (${messageOf(error)}); name another file with --cache`)
    }
  }

  #read(text: string): void {
    const [first, ...lines] = text.split('\n')
    if (first !== head && text !== '') throw invalid('it does not contain embeddings of clip-es')
    if (text === '') appendFileSync(this.file, `${head}\n`)
    this.#torn = text !== '' && !text.endsWith('\n')
    for (const line of lines) {
      const entry = parseLine(line)
      if (entry?.encoder === this.encoder) this.#known.set(entry.photo, entry)
    }
  }

  /** Undefined for a photo that is not there, or was another one then. */
  get(photo: string): PhotoEmbedding | undefined {
    const entry = this.#known.get(photo)
    const { bytes, modified } = photoState(photo)
    if (entry?.bytes !== bytes || entry.modified !== modified) return undefined
    const image = new Float32Array(new Uint8Array(Buffer.from(entry.embedding, 'base64')).buffer)
    const { logitScale } = entry
    return image.length === this.length && image.every(Number.isFinite) ? { image, logitScale } : undefined
  }

  /** @param state the photo's before it was read */
  add(photo: string, state: { bytes: number; modified: number }, { image, logitScale }: PhotoEmbedding): void {
    const { buffer, byteOffset, byteLength } = image
    const embedding = Buffer.from(buffer, byteOffset, byteLength).toString('base64')
    const entry: Entry = { photo, ...state, encoder: this.encoder, logitScale, embedding }
    const line = `${this.#torn ? '\n' : ''}${JSON.stringify(entry)}\n`
    this.#torn = true
    appendFileSync(this.file, line)
    this.#torn = false
  }
}

function parseLine(line: string): Entry | undefined {
  try {
    const entry = JSON.parse(line)
    const whole = typeof entry?.photo === 'string' && typeof entry.embedding === 'string' && entry.logitScale > 0
    return whole ? entry : undefined
  } catch {
    return undefined
  }
}
