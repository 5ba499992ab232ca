import { ServerError } from '../errors.js'
import type { Service } from '../service/service.js'

/** Bytes of a JSON body that has a photo in base64. */
export const photoJsonBytes = ({ limits }: Service): number => Math.ceil((4 * limits.photoBytes) / 3) + limits.jsonBytes

/** A photo that is sent as a text. @param what the text, for messages. @throws ERR_BAD_REQUEST, ERR_TOO_LARGE */
export function decodePhoto(what: string, base64: unknown, { limits }: Service): Buffer {
  const photo = typeof base64 === 'string' ? Buffer.from(base64, 'base64') : Buffer.alloc(0)
  if (!photo.length)
    throw new ServerError(400, 'ERR_BAD_REQUEST', `${what} is not a photo in base64`, 'send the bytes of an image file in base64')
  if (photo.length > limits.photoBytes)
    throw new ServerError(
      413,
      'ERR_TOO_LARGE',
      `${what} has ${photo.length} bytes; at most ${limits.photoBytes} are allowed`,
      'reduce the photo first',
    )
  return photo
}
