import { closeSync, openSync, readSync, realpathSync, statSync } from 'node:fs'
import { dirname, extname, relative, resolve } from 'node:path'
import { type Chunk, encodeChunk, readChunks, signature } from './png_file.js'

// Every PNG that this package writes says so in a tEXt chunk behind its header, so that a later run does not take it for a photo.

/** What a PNG of ours shows. */
export type OwnPicture = 'mask' | 'overlay' | 'confidence'

const software = 'Software\0clip-es '
const photo = 'Photo\0'

/** A mark's chunks. `source`: the photo's path from the folder of the picture. */
export function markChunks(kind: OwnPicture, source?: string): Chunk[] {
  const texts = [software + kind, ...(source === undefined ? [] : [photo + encodeURI(source)])]
  return texts.map((text) => ({ type: 'tEXt', data: Buffer.from(text, 'latin1') }))
}

const headerEnd = signature.length + 25 // length, type, 13 bytes and checksum of IHDR

/** A PNG with a mark that it did not have. */
export function withMark(png: Buffer, kind: OwnPicture): Buffer {
  return Buffer.concat([png.subarray(0, headerEnd), ...markChunks(kind).map(encodeChunk), png.subarray(headerEnd)])
}

/** What a file shows, if it is a PNG of this package. */
export function ownPicture(file: string): OwnPicture | undefined {
  if (extname(file).toLowerCase() !== '.png') return undefined
  const text = textsOf(file, 128).find((found) => found.startsWith(software))
  return text?.slice(software.length) as OwnPicture | undefined
}

/** The path of the photo that a mask of ours was made from, if it says so. */
export function photoOfMask(file: string): string | undefined {
  const text = textsOf(file, 16384).find((found) => found.startsWith(photo))
  return text === undefined ? undefined : resolve(dirname(realpathSync(file)), decodeURI(text.slice(photo.length)))
}

/** How a mask names its photo. */
export const sourceOfMask = (photoFile: string, maskFile: string): string => relative(dirname(maskFile), photoFile)

/** The tEXt chunks among the first bytes of a PNG. */
function textsOf(file: string, count: number): string[] {
  try {
    const bytes = beginningOf(file, count)
    if (!bytes.subarray(0, signature.length).equals(signature)) return []
    return [...readChunks(bytes)].filter(({ type }) => type === 'tEXt').map(({ data }) => data.toString('latin1'))
  } catch {
    return [] // whoever reads the file reports it
  }
}

function beginningOf(file: string, count: number): Buffer {
  if (!statSync(file, { throwIfNoEntry: false })?.isFile()) return Buffer.alloc(0)
  const descriptor = openSync(file, 'r')
  try {
    const bytes = Buffer.alloc(count)
    return bytes.subarray(0, readSync(descriptor, bytes, 0, count, 0))
  } finally {
    closeSync(descriptor)
  }
}
