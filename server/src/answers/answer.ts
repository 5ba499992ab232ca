import { encodeOutputs, type OutputKind } from 'clip-es/support'
import { ServerError } from '../errors.js'
import type { Format, Shapes } from '../request/schema.js'
import type { ServiceResult } from '../service/service.js'
import { jsonAnswer } from './json.js'

/** The body of an answer and what kind of content it is. */
export interface Answer {
  type: string
  /** JSON is a text. */
  body: Uint8Array | string
}

/** The kinds of content by format. The first of a wildcard is what is sent. */
export const contentTypes: Readonly<Record<Format, string>> = {
  mask: 'image/png',
  json: 'application/json',
  overlay: 'image/x-overlay+png',
  raw: 'application/octet-stream',
  npz: 'application/x-npz',
}

/** The format that a request's Accept header asks for: its first known kind. Throws ERR_NOT_ACCEPTABLE. */
export function formatOf(accept: string | undefined): Format {
  if (accept === undefined || accept.trim() === '') return 'mask'
  for (const { type } of byQuality(accept)) {
    if (type === '*/*' || type === 'image/*') return 'mask'
    if (type === 'application/*') return 'json'
    const format = (Object.keys(contentTypes) as Format[]).find((name) => contentTypes[name] === type)
    if (format) return format
  }
  const known = Object.values(contentTypes).join(', ')
  throw new ServerError(
    406,
    'ERR_NOT_ACCEPTABLE',
    `Accept is '${accept}'; the answers are ${known}`,
    'ask for one of these, or leave the header out',
  )
}

/** Kinds of content, the most wanted first. */
function byQuality(accept: string): { type: string; quality: number }[] {
  return accept
    .split(',')
    .map((part) => {
      const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase())
      const quality = parameters.find((text) => text.startsWith('q='))
      return { type, quality: quality ? Number(quality.slice(2)) : 1 }
    })
    .filter(({ quality }) => quality > 0)
    .sort((a, b) => b.quality - a.quality)
}

async function file(kind: OutputKind, result: ServiceResult): Promise<Uint8Array> {
  const { photo, names, colours, labels, ...rest } = result
  const segmented = { ...rest, photo, labels: labels.map((name) => names.indexOf(name)) }
  return (await encodeOutputs([kind], segmented, { names, colours })).get(kind) as Uint8Array
}

/** What a request is answered. */
export async function answerOf(result: ServiceResult, format: Format, shapes: Shapes): Promise<Answer> {
  switch (format) {
    case 'mask':
      return { type: 'image/png', body: await file('mask', result) }
    case 'json':
      return { type: contentTypes.json, body: JSON.stringify(await jsonAnswer(result, shapes)) }
    case 'overlay':
      return { type: 'image/png', body: await file('overlay', result) }
    case 'raw':
      return { type: contentTypes.raw, body: result.mask }
    case 'npz':
      return { type: contentTypes.npz, body: await file('cams', result) }
  }
}
